/** Checksums by hand: RFC 1071's example, a known header, sums against the kernels' oracle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addWords,
  finish,
  fold,
  pseudoHeaderSum,
  sumShort,
  swap,
} from '../../src/wire/checksum.ts';
import { oracleOver } from '../../wasm/oracle.ts';
import { bytesPerOperation, holds } from '../arena/property.ts';

const viewOf = (hex: string): DataView => {
  const bytes = Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  return new DataView(bytes.buffer);
};

test('rfc1071Example_sumShort_isDdf2', () => {
  const view = viewOf('0001 f203 f4f5 f6f7');
  assert.equal(swap(sumShort(view, 0, 8)), 0xddf2);
  assert.equal(finish(swap(sumShort(view, 0, 8))), 0x220d);
});

test('ipHeader_withItsChecksum_finishesAtZero', () => {
  const view = viewOf('4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7');
  assert.equal(finish(sumShort(view, 0, 20)), 0);
  view.setUint16(10, 0);
  view.setUint16(10, finish(sumShort(view, 0, 20)), true);
  assert.equal(view.getUint16(10), 0xb861);
  view.setUint8(8, 0x3f);
  assert.notEqual(finish(sumShort(view, 0, 20)), 0);
});

test('anyBytes_sumShort_asOracle', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const oracle = oracleOver(memory);
  const u8 = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  const bytes = fc.uint8Array({ maxLength: 80 });
  holds(
    fc.property(bytes, fc.nat(7), fc.nat(0xffff), (bytes, offset, seed) => {
      u8.set(bytes, offset);
      const length = bytes.length & ~1;
      assert.equal(fold(sumShort(view, offset, length, seed)), oracle.sum(offset, length, seed));
    }),
    2000,
  );
});

test('pseudoHeader_fromIntegers_asSumOfItsBytes', () => {
  const address = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  holds(
    fc.property(address, address, fc.nat(255), fc.nat(0xffff), (from, to, protocol, length) => {
      const view = new DataView(new ArrayBuffer(12));
      view.setInt32(0, from);
      view.setInt32(4, to);
      view.setUint8(9, protocol);
      view.setUint16(10, length);
      assert.equal(pseudoHeaderSum(from, to, protocol, length), fold(sumShort(view, 0, 12)));
    }),
    1000,
  );
});

test('largeSums_fold_areCongruentAndOnlyZeroIsZero', () => {
  for (const sum of [
    0, 1, 0xfffe, 0xffff, 0x10000, 0x1fffe, 0x1ffff, 0xfffe0001, 0x7fffffff, 0xffffffff,
  ]) {
    const folded = fold(sum);
    assert.ok(folded >= 0 && folded <= 0xffff);
    assert.equal(folded % 0xffff, sum % 0xffff);
    assert.equal(folded === 0, sum === 0);
    assert.equal(swap(swap(sum)), folded);
    assert.equal(finish(sum), 0xffff - folded);
  }
});

test('negativeWords_addWords_countAsUnsigned', () => {
  assert.equal(addWords(1, -1, 0x00020003), 1 + 0xffff * 2 + 5);
});

test('headerSums_million_allocateNothing', () => {
  const view = viewOf('4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7');
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) {
      view.setUint16(4, finish(sumShort(view, 0, 20) + pseudoHeaderSum(i, ~i, 6, 20)), true);
    }
  });
  assert.ok(bytes < 0.1, `${bytes} bytes per operation`);
});

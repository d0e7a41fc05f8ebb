/** The WASM kernels against their oracle: every length, tail, alignment, and the memory's edges. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { kernelsOver } from '../../src/wire/kernels.ts';
import { oracleOver } from '../../wasm/oracle.ts';
import { bytesPerOperation, holds, randomFrom, SEED } from '../arena/property.ts';

const PAGE_BYTES = 65_536;
const memoryOf = (pages: number): WebAssembly.Memory =>
  new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });

const memory = memoryOf(20);
const u8 = new Uint8Array(memory.buffer);
const kernels = kernelsOver(memory);
const oracle = oracleOver(memory);

function fillRandom(): void {
  const random = randomFrom(SEED);
  for (let i = 0; i < u8.length; i++) u8[i] = random();
}

test('everyLengthAndAlignment_sum_asOracle', () => {
  fillRandom();
  for (let length = 0; length <= 300; length++) {
    for (let at = 4096; at < 4096 + 17; at++) {
      assert.equal(kernels.sum(at, length, 0), oracle.sum(at, length, 0), `${length} at ${at}`);
    }
  }
});

test('everyLengthAndAlignment_copyAndCopySum_writeExactlyTheirBytes', () => {
  fillRandom();
  const to = 70_000;
  for (let length = 0; length <= 200; length++) {
    for (let shift = 0; shift < 16; shift++) {
      const at = 4096 + ((shift * 7) & 15);
      for (const kernel of ['copy', 'copySum'] as const) {
        u8.fill(0xee, to - 32, to + 300);
        const sum = kernels[kernel](to + shift, at, length, 0x12345);
        if (kernel === 'copySum') assert.equal(sum, oracle.sum(at, length, 0x12345));
        assert.deepEqual(u8.slice(to + shift, to + shift + length), u8.slice(at, at + length));
        assert.ok(
          u8.subarray(to - 32, to + shift).every((b) => b === 0xee),
          'wrote before',
        );
        assert.ok(
          u8.subarray(to + shift + length, to + 300).every((b) => b === 0xee),
          'wrote after',
        );
      }
    }
  }
});

test('anyPiece_sumAndCopySum_asOracle', () => {
  fillRandom();
  const offset = fc.integer({ min: 0, max: 200_000 });
  const length = fc.oneof(fc.nat(2048), fc.nat(100_000));
  const seed = fc.oneof(fc.nat(0xffff), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
  holds(
    fc.property(offset, length, seed, fc.nat(63), (at, length, seed, shift) => {
      const expected = oracle.sum(at, length, seed);
      assert.equal(kernels.sum(at, length, seed), expected);
      assert.equal(kernels.copySum(400_000 + shift, at, length, seed), expected);
      assert.equal(oracle.sum(400_000 + shift, length, seed), expected);
    }),
    500,
  );
});

test('evenPieces_chainedBySeed_sumAsOne', () => {
  fillRandom();
  const cut = fc.nat(750).map((n) => n * 2);
  holds(
    fc.property(cut, (cut) => {
      assert.equal(kernels.sum(cut, 1500 - cut, kernels.sum(0, cut, 0)), kernels.sum(0, 1500, 0));
    }),
  );
});

test('zerosAndOnes_sum_keepTheTwoZerosApart', () => {
  u8.fill(0);
  assert.equal(kernels.sum(0, 1500, 0), 0);
  assert.equal(kernels.sum(0, 1500, 0xffff), 0xffff);
  assert.equal(kernels.sum(0, 0, 0), 0);
  assert.equal(kernels.sum(0, 0, -1), 0xffff);
  u8.fill(0xff);
  for (const length of [2, 8, 16, 64, 1460, 65_535, 65_536, 2 ** 20 - 1, 2 ** 20]) {
    assert.equal(kernels.sum(3, length, 0), oracle.sum(3, length, 0), `${length} bytes`);
  }
});

test('endOfMemory_everyTail_readsNoFurtherAndTrapsBeyond', () => {
  fillRandom();
  const end = u8.length;
  for (let length = 1; length <= 130; length++) {
    assert.equal(kernels.sum(end - length, length, 0), oracle.sum(end - length, length, 0));
    assert.equal(kernels.copySum(0, end - length, length, 0), oracle.sum(0, length, 0));
    kernels.copy(end - length, 0, length);
    assert.equal(oracle.sum(end - length, length, 0), oracle.sum(0, length, 0));
    assert.throws(() => kernels.sum(end - length + 1, length, 0), WebAssembly.RuntimeError);
    assert.throws(() => kernels.copy(end - length + 1, 0, length), WebAssembly.RuntimeError);
  }
});

test('twoGiBMemory_highOffset_isReached', () => {
  const large = memoryOf(32_767);
  const at = 32_767 * PAGE_BYTES - 1500;
  new Uint8Array(large.buffer, at, 1500).fill(1);
  assert.equal(kernelsOver(large).copySum(4096, at, 1500, 0), (750 * 257) % 0xffff);
  assert.equal(kernelsOver(large).sum(4096, 1500, 0), (750 * 257) % 0xffff);
});

test('sumCopySumCopy_million_allocateNothing', () => {
  let sum = 0;
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) {
      sum = kernels.copySum(100_000, 4096, 64, kernels.sum(4096, 64, sum));
      kernels.copy(200_000, 4096, 64);
    }
  });
  assert.ok(bytes < 0.1, `${bytes} bytes per operation`);
});

test('kernelsWat_builtAgain_givesTheCommittedBytes', () => {
  const build = fileURLToPath(new URL('../../wasm/build.mjs', import.meta.url));
  execFileSync(process.execPath, [build, '--check'], { stdio: 'pipe' });
});

/** The assembler against known encodings (RFC 9669), and what it refuses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Assembler, register } from '../../../src/nic/privileged/bpf.ts';
import { assembleXdpProgram, solicitedNode } from '../../../src/nic/privileged/xdp-program.ts';

const hex = (code: Uint8Array): string[] =>
  Array.from({ length: code.length / 8 }, (_, i) =>
    Buffer.from(code.subarray(i * 8, i * 8 + 8)).toString('hex'),
  );

test('instructions are encoded as RFC 9669 says', () => {
  const code = new Assembler()
    .alu('mov', 0, 2)
    .alu('mov', 6, register(1))
    .alu('add', 9, -1)
    .alu('mul', 8, 0x9e3779b1 | 0)
    .alu32('shr', 7, 16)
    .alu32('xor', 7, register(8))
    .load(4, 2, 1, 16)
    .load(1, 3, 7, -4)
    .store(2, 10, -8, 0x1234)
    .store(8, 10, -16, register(4))
    .loadMap(1, 0x0102)
    .call(51)
    .exit()
    .assemble();
  assert.deepEqual(hex(code), [
    'b700000002000000', // r0 = 2
    'bf16000000000000', // r6 = r1
    '07090000ffffffff', // r9 += -1
    '27080000b179379e', // r8 *= 0x9e3779b1, sign-extended
    '7407000010000000', // w7 >>= 16
    'ac87000000000000', // w7 ^= w8
    '6112100000000000', // r2 = *(u32 *)(r1 + 16)
    '7173fcff00000000', // r3 = *(u8 *)(r7 - 4)
    '6a0af8ff34120000', // *(u16 *)(r10 - 8) = 0x1234
    '7b4af0ff00000000', // *(u64 *)(r10 - 16) = r4
    '1811000002010000', // r1 = map 0x0102
    '0000000000000000',
    '8500000033000000', // call 51
    '9500000000000000', // exit
  ]);
});

test('jumps reach their labels, forwards and backwards', () => {
  const code = new Assembler()
    .label('start')
    .jumpIf('gt', 1, register(2), 'end')
    .jumpIf32('eq', 1, -1, 'end')
    .jump('start')
    .label('end')
    .exit()
    .assemble();
  assert.deepEqual(hex(code), [
    '2d21020000000000',
    '16010100ffffffff',
    '0500fdff00000000',
    '9500000000000000',
  ]);
});

test('a label that is missing or stands twice is refused', () => {
  assert.throws(() => new Assembler().jump('nowhere').assemble(), /no label nowhere/);
  assert.throws(() => new Assembler().label('a').label('a'), /label a stands twice/);
});

test('program for everything is one redirect', () => {
  const code = assembleXdpProgram({ ipv4: [], everything: true }, 5);
  assert.equal(code.length / 8, 7);
});

test('program without addresses passes all', () => {
  assert.deepEqual(hex(assembleXdpProgram({ ipv4: [] }, 5)).slice(1), [
    'b700000002000000',
    '9500000000000000',
  ]);
});

test('solicited-node address is ff02::1:ff and three bytes (RFC 4291 2.7.1)', () => {
  const address = Uint8Array.from(Buffer.from('fd770000000000000000000000abcdef', 'hex'));
  assert.equal(
    Buffer.from(solicitedNode(address)).toString('hex'),
    'ff0200000000000000000001ffabcdef',
  );
});

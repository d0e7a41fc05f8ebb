/** TCP's wire format: offsets against hand-made headers, options read and written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptionReader, writeSynOptions, writeTimestamps } from '../../src/tcp/options.ts';
import * as wire from '../../src/wire/tcp.ts';
import { randomFrom } from '../net/random.ts';

const HEADER = Uint8Array.from([
  0x9c, 0x40, 0x00, 0x07, 0x01, 0x02, 0x03, 0x04, 0xa1, 0xa2, 0xa3, 0xa4, 0x50, 0x18, 0x12, 0x34,
  0xbe, 0xef, 0x00, 0x09,
]); // biome-ignore format: 16 bytes a line
const view = new DataView(HEADER.buffer);

test('header_everyField_atItsOffset', () => {
  assert.equal(view.getUint16(wire.TCP_SOURCE_PORT), 40_000);
  assert.equal(view.getUint16(wire.TCP_DESTINATION_PORT), 7);
  assert.equal(view.getUint32(wire.TCP_SEQUENCE), 0x01020304);
  assert.equal(view.getUint32(wire.TCP_ACK), 0xa1a2a3a4);
  assert.equal(wire.headerBytes(HEADER, 0), 20);
  assert.equal(HEADER[wire.TCP_FLAGS], wire.ACK | wire.PSH);
  assert.equal(view.getUint16(wire.TCP_WINDOW), 0x1234);
  assert.equal(view.getUint16(wire.TCP_CHECKSUM), 0xbeef);
  assert.equal(view.getUint16(wire.TCP_URGENT), 9);
  assert.equal(wire.TCP_OPTIONS, wire.TCP_HEADER_BYTES);
});

test('segmentLength_synAndFin_takeANumberEach', () => {
  assert.equal(wire.segmentLength(10, wire.ACK | wire.PSH | wire.RST | wire.URG), 10);
  assert.equal(wire.segmentLength(0, wire.SYN), 1);
  assert.equal(wire.segmentLength(5, wire.FIN), 6);
  assert.equal(wire.segmentLength(0, wire.SYN | wire.FIN), 2);
});

const read = (...bytes: number[]): OptionReader | null => {
  const reader = new OptionReader();
  const padded = Uint8Array.from(bytes);
  return reader.read(new DataView(padded.buffer), 0, padded.length) ? reader : null;
};

test('options_none_defaults', () => {
  const reader = read()!;
  assert.deepEqual(
    [reader.mss, reader.scale, reader.sackPermitted, reader.hasTimestamps],
    [0, -1, false, false],
  );
});

test('options_linuxSyn_allRead', () => {
  const reader = read(2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8, 1, 3, 3, 7)!;
  assert.deepEqual([reader.mss, reader.scale, reader.sackPermitted], [1460, 7, true]);
  assert.deepEqual([reader.hasTimestamps, reader.tsVal, reader.tsEcr], [true, 9, 8]);
});

test('options_scaleAbove14_is14', () => {
  assert.equal(read(3, 3, 15, 0)!.scale, 14);
  assert.equal(read(3, 3, 255, 0)!.scale, 14);
});

test('options_endOfList_hidesTheRest', () => {
  assert.equal(read(1, 0, 2, 200)!.mss, 0);
});

test('options_badLengths_refused', () => {
  for (const bytes of [
    [2],
    [2, 0],
    [2, 1],
    [2, 5, 1, 1],
    [2, 3, 5],
    [3, 4, 1, 1],
    [4, 3, 1],
    [8, 9, 1, 1, 1, 1, 1, 1, 1],
    [99, 0],
    [99, 1],
    [99, 3, 0, 200],
  ]) {
    assert.equal(read(...bytes), null, bytes.join(' '));
  }
  assert.ok(read(99, 4, 1, 2), 'unknown and sound: skipped');
});

test('options_written_readBackTheSame', () => {
  for (let bits = 0; bits < 8; bits++) {
    const bytes = new Uint8Array(40);
    const at = new DataView(bytes.buffer);
    const [sack, scale, stamps] = [(bits & 1) !== 0, (bits & 2) !== 0 ? 7 : -1, (bits & 4) !== 0];
    const length = writeSynOptions(at, 0, 1460, sack, scale, stamps, 0x80000001 | 0, 5);
    assert.equal(length % 4, 0);
    assert.ok(length <= 20);
    const reader = new OptionReader();
    assert.ok(reader.read(at, 0, length));
    assert.deepEqual(
      [reader.mss, reader.sackPermitted, reader.scale, reader.hasTimestamps],
      [1460, sack, scale, stamps],
    );
    if (stamps) assert.deepEqual([reader.tsVal, reader.tsEcr], [0x80000001 | 0, 5]);
  }
});

test('timestamps_written_theUsualLayout', () => {
  const bytes = new Uint8Array(12);
  writeTimestamps(new DataView(bytes.buffer), 0, 1, 2);
  assert.deepEqual([...bytes], [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
});

test('options_anyBytes_neverReadBeyondTheirEnd', (t) => {
  const random = randomFrom(t);
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from({ length: random.below(41) }, () =>
      random.pick([0, 1, 2, 3, 4, 5, 8, 10, random.below(256)]),
    );
    const reader = new OptionReader();
    // a view that ends where they end: else it would throw
    reader.read(new DataView(bytes.buffer), 0, bytes.length);
    assert.ok(reader.scale >= -1 && reader.scale <= 14);
  }
});

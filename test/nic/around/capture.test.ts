/** The capturing wrapper: the file byte by byte, and as tshark reads it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Clock } from '../../../src/arena/clock.ts';
import { Capture, type CaptureOptions } from '../../../src/nic/around/capture.ts';
import { Cable, closeCable, makeCable } from '../../../src/nic/cable.ts';
import { collect, type End, makeEnds, nicSuite, RING, send, settle } from '../suite.ts';

const directory = mkdtempSync(join(tmpdir(), 'ix-capture-'));
const path = join(directory, 'test.pcap');
process.on('exit', () => rmSync(directory, { recursive: true }));

nicSuite({
  name: 'captured',
  skip: false,
  capacity: RING,
  allocates: 1, // each write of the buffer does
  connect: (a, b) => {
    const parts = makeCable(RING);
    const inner = new Cable(a.arena, a.frames, a.counters, parts, 0);
    const captured = new Capture(inner, a.arena, new Clock(), { path });
    const peer = new Cable(b.arena, b.frames, b.counters, parts, 1);
    return { a: captured, b: peer, remove: () => closeCable(parts) };
  },
});

interface Record {
  seconds: number;
  fraction: number;
  length: number;
  bytes: Buffer;
}

function readPcap(): { magic: number; snap: number; link: number; records: Record[] } {
  const file = readFileSync(path);
  const records: Record[] = [];
  let at = 24;
  while (at < file.length) {
    const kept = file.readUInt32LE(at + 8);
    records.push({
      seconds: file.readUInt32LE(at),
      fraction: file.readUInt32LE(at + 4),
      length: file.readUInt32LE(at + 12),
      bytes: file.subarray(at + 16, at + 16 + kept),
    });
    at += 16 + kept;
  }
  assert.equal(at, file.length, 'no record is cut');
  return {
    magic: file.readUInt32LE(0),
    snap: file.readUInt32LE(16),
    link: file.readUInt32LE(20),
    records,
  };
}

/** `rounds` frames there and back, 250 ms apart, in a file. */
function capture(rounds: number, options: Omit<CaptureOptions, 'path'> = {}): void {
  const ends = makeEnds();
  const parts = makeCable(RING);
  const clock = new Clock();
  clock.us = 0x7ffffff0; // wraps soon
  const inner = new Cable(ends.arena, ends.a.frames, ends.a.counters, parts, 0);
  const nic = new Capture(inner, ends.arena, clock, {
    path,
    startMs: 1_700_000_000_123,
    ...options,
  });
  const a: End = { ...ends.a, nic };
  const b: End = {
    ...ends.b,
    nic: new Cable(ends.arena, ends.b.frames, ends.b.counters, parts, 1),
  };
  for (let i = 0; i < rounds; i++) {
    send(a, i, 60 + i);
    assert.equal(collect(b, 1).length, 1);
    send(b, i, 1514 - i);
    assert.equal(collect(a, 1).length, 1);
    clock.us = (clock.us + 250_000) | 0;
  }
  settle(a);
  settle(b);
  a.nic.close();
  b.nic.close();
  closeCable(parts);
  assert.ok(a.frames.allHome() && b.frames.allHome());
}

test('both directions are written, whole, in order, with time', () => {
  capture(9);
  const { magic, link, records } = readPcap();
  assert.equal(magic, 0xa1b2c3d4);
  assert.equal(link, 1);
  assert.equal(records.length, 18);
  records.forEach(({ seconds, fraction, length, bytes }, i) => {
    const round = i >> 1;
    assert.equal(length, i % 2 === 0 ? 60 + round : 1514 - round);
    assert.equal(bytes.length, length);
    assert.equal(bytes.readUInt32BE(14), round);
    const us = 123_000 + round * 250_000;
    assert.deepEqual([seconds, fraction], [1_700_000_000 + Math.floor(us / 1e6), us % 1e6]);
  });
});

test('nanosecond file has its own magic and finer fractions', () => {
  capture(2, { nanoseconds: true });
  const { magic, records } = readPcap();
  assert.equal(magic, 0xa1b23c4d);
  assert.deepEqual(
    records.map(({ fraction }) => fraction),
    [123e6, 123e6, 373e6, 373e6],
  );
});

test('snap length cuts what is kept, not what is said', () => {
  capture(2, { snapBytes: 100 });
  const { snap, records } = readPcap();
  assert.equal(snap, 100);
  assert.deepEqual(
    records.map(({ bytes, length }) => [bytes.length, length]),
    [
      [60, 60],
      [100, 1514],
      [61, 61],
      [100, 1513],
    ],
  );
});

test('buffer much smaller than the traffic loses nothing', () => {
  capture(400, { bufferBytes: 4096 });
  assert.equal(readPcap().records.length, 800);
});

const tshark = spawnSync('tshark', ['--version']);
test('tshark opens it', { skip: tshark.status === 0 ? false : 'needs tshark' }, () => {
  for (const nanoseconds of [false, true]) {
    capture(3, { nanoseconds });
    const fields = ['frame.time_epoch', 'frame.len', 'eth.type'].flatMap((field) => ['-e', field]);
    const said = spawnSync('tshark', ['-r', path, '-T', 'fields', ...fields], { encoding: 'utf8' });
    assert.equal(said.status, 0, said.stderr);
    const lines = said.stdout.trim().split('\n');
    assert.equal(lines.length, 6);
    const [time, length, type] = lines[5]!.split('\t');
    assert.match(time!, /1700000000\.623000|2023-11-14T22:13:20\.623/);
    assert.deepEqual([length, type], ['1512', '0x88b5']);
  }
});

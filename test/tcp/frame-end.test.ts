/** Payloads that end where their frame ends: MTUs above 1500, small payloads copied together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { FRAME_BYTES } from '../../src/limits.ts';
import { isStream } from './host.ts';
import { Peer } from './peer.ts';

/** Of a frame of 1790 bytes, the longest there is: it ends where its buffer ends. */
const PAYLOAD_MAX = 1790 - 14 - 20 - 20;

const opened = (): Peer =>
  new Peer({ environment: { mtu: 1776, limits: { receiveFrames: 128 } } }).open();

/**
 * All that was told since the last call, which must be the stream from `position` on; answers where
 * it ends.
 */
function read(p: Peer, position: number): number {
  for (const { words } of p.eventsOf(EVENT.recv)) {
    assert.ok(isStream(p.host, words[0]!, words[1]!, position));
    position += words[1]!;
  }
  return position;
}

test('established_segmentsToTheFramesEnd_areWholeAndComeBack', () => {
  const p = opened();
  for (let i = 0; i < 10; i++) p.send('A', { data: PAYLOAD_MAX - (i & 1) });
  const end = read(p, 0);
  assert.equal(end, 10 * PAYLOAD_MAX - 5);
  for (let left = end; left > 0; left -= 868) {
    assert.equal(p.host.tcp.recvDone(p.handle, Math.min(868, left)), CODE.OK);
  }
  assert.equal(p.host.env.frames.receiveFree, 128);
  p.replies();
  p.close();
});

test('established_outOfOrderSegmentsToTheFramesEnd_areWholeAndComeBack', () => {
  const p = opened();
  for (let i = 9; i >= 0; i--) p.send('A', { seq: 1 + i * PAYLOAD_MAX, data: PAYLOAD_MAX });
  assert.equal(read(p, 0), 10 * PAYLOAD_MAX);
  p.seq = 1 + 10 * PAYLOAD_MAX;
  p.send('FA', { data: PAYLOAD_MAX });
  assert.equal(read(p, 10 * PAYLOAD_MAX), 11 * PAYLOAD_MAX);
  assert.equal(p.host.tcp.recvDone(p.handle, 11 * PAYLOAD_MAX), CODE.OK);
  assert.equal(p.host.env.frames.receiveFree, 128);
  p.replies();
  p.close();
});

test('established_smallSegmentsCopiedToTheFramesEnd_areWhole', () => {
  const p = opened();
  let position = 0;
  for (let length = 1; length < 400; length += 7) {
    for (let i = 0; i < 40; i++) p.send('A', { data: length });
    const before = position;
    position = read(p, position);
    assert.equal(position - before, 40 * length);
    assert.ok(p.host.field(p.handle, 'rxFrames') * FRAME_BYTES >= 40 * length);
    assert.equal(p.host.tcp.recvDone(p.handle, 40 * length), CODE.OK);
  }
  assert.equal(p.host.env.frames.receiveFree, 128);
  p.replies();
  p.close();
});

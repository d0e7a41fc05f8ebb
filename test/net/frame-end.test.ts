/**
 * What ends exactly where its frame ends: on links whose MTU is above 1500, and after reassembly.
 * The address behind it names the next frame, which is somebody else's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { FRAME_BYTES } from '../../src/limits.ts';
import { InvariantError } from '../../src/verify.ts';
import { Fixture } from './fixture.ts';
import { ipFrame, pattern, udp } from './packets.ts';
import {
  extension,
  fragments6,
  HOST6,
  icmp6Frame,
  ip6Frame,
  ipv6Choices,
  solicitation,
  udp6,
  words6,
} from './packets6.ts';

/**
 * The longest frame that AF_XDP takes with 2048-byte chunks: MTU 1776. It ends where its buffer
 * ends.
 */
const FRAME_MAX = 1790;
const MTUS = [1500, 1501, 1775, 1776];
const DESTINATION_OPTIONS = 60;
const UDP = 17;

function met(): Fixture {
  const f = new Fixture({ ...ipv6Choices(), mtu: FRAME_MAX - 14 });
  f.meetHost();
  f.deliver(solicitation());
  f.sent();
  f.counted();
  return f;
}

/** A destination options header of `bytes` (a multiple of 8), nothing but padding. */
function padding(next: number, bytes: number): number[] {
  const pads: number[] = [];
  for (let left = bytes - 2; left > 0; ) {
    const length = Math.min(left, 6);
    pads.push(...(length === 1 ? [0] : [1, length - 2, ...Array<number>(length - 2).fill(0)]));
    left -= length;
  }
  return extension(next, pads);
}

/**
 * Every frame but those that the driver and somebody else hold: the latter are written to, as an
 * owner would.
 */
function othersFrames(f: Fixture): Map<number, number> {
  const { frames, arena } = f.env;
  const others = new Map<number, number>();
  for (let frame = frames.takeReceive(); frame >= 0; frame = frames.takeReceive()) {
    others.set(frame, others.size);
  }
  const kept = [...others.keys()].at(-1)!;
  others.delete(kept);
  frames.free(kept); // the one that the datagram comes in
  for (const [frame, number] of others) arena.u8.fill(number & 255, frame, frame + FRAME_BYTES);
  return others;
}

function giveBack(f: Fixture, others: Map<number, number>): void {
  for (const [frame, number] of others) {
    for (const at of [0, 1, FRAME_BYTES - 1]) {
      assert.equal(f.env.arena.u8[frame + at], number & 255, 'another frame was touched');
    }
    f.env.frames.free(frame);
  }
}

/** An empty datagram at the end of a frame of FRAME_MAX bytes. */
const emptyAtTheEnd = (): Uint8Array => {
  const options = padding(UDP, FRAME_MAX - 14 - 40 - 8);
  return ip6Frame([...options, ...udp6([])], { next: DESTINATION_OPTIONS });
};

test('bound_emptyDatagramAtTheFramesEnd_holdsItsOwnFrame', () => {
  const f = met();
  const socket = f.stack.udp.bind(0, 7, 5);
  const frame = emptyAtTheEnd();
  assert.equal(frame.length, FRAME_MAX);
  for (let round = 0; round < 50; round++) {
    const others = othersFrames(f);
    f.deliver(frame);
    assert.equal(f.env.frames.receiveFree, 0, 'its frame is held');
    const [event] = f.events();
    const [kind, handle, , offset, length, ...source] = event!;
    assert.deepEqual([kind, handle, length], [EVENT.udp_recv, socket, 0]);
    assert.deepEqual(source.slice(0, 4), words6(HOST6));
    assert.ok(!others.has(f.env.frames.startOf(offset!)), 'it stands in its own frame');
    assert.equal(f.stack.udp.recvDone(handle!, offset!), CODE.OK);
    assert.equal(f.env.frames.receiveFree, 1);
    giveBack(f, others);
  }
  f.close();
});

test('bound_emptyDatagramsAtTheFramesEnd_comeBackWithTheSocket', () => {
  const f = met();
  const socket = f.stack.udp.bind(0, 7, 5);
  for (let i = 0; i < 20; i++) f.deliver(emptyAtTheEnd());
  f.events();
  for (let i = 0; i < 20; i++) f.deliver(emptyAtTheEnd());
  assert.equal(f.stack.udp.held, 40);
  f.stack.udp.close(socket);
  assert.equal(f.stack.udp.held, 0);
  f.close();
});

test('bound_datagramsOfEveryLengthToTheFramesEnd_areWhole', () => {
  const f = met();
  const socket = f.stack.udp.bind(0, 7, 5);
  for (const mtu of MTUS) {
    for (let short = 0; short < 3; short++) {
      const data6 = pattern(mtu - 48 - short, mtu);
      const data4 = pattern(mtu - 28 - short, mtu);
      f.deliver(ip6Frame(udp6(data6)), ipFrame(udp(data4)));
      const events = f.events();
      assert.deepEqual(
        events.map((e) => e[4]),
        [data6.length, data4.length],
      );
      for (const [i, data] of [data6, data4].entries()) {
        const offset = events[i]![3]!;
        assert.deepEqual(f.env.arena.u8.slice(offset, offset + data.length), data);
        assert.equal(f.stack.udp.recvDone(socket, offset), CODE.OK);
      }
    }
  }
  f.close();
});

test('bound_reassembledDatagramToTheFramesEnd_isWhole', () => {
  const f = met();
  const socket = f.stack.udp.bind(0, 7, 5);
  const data = pattern(FRAME_BYTES - 2 - 14 - 40 - 8, 3);
  f.deliver(...fragments6(udp6(data), UDP, 78));
  const [event] = f.events();
  const offset = event![3]!;
  assert.deepEqual(f.env.arena.u8.slice(offset, offset + event![4]!), data);
  assert.equal(f.stack.udp.recvDone(socket, offset), CODE.OK);
  f.close();
});

test('any_echoToTheFramesEnd_isAnsweredWhole', () => {
  const f = met();
  for (const mtu of MTUS) {
    const data = pattern(mtu - 48, mtu);
    f.deliver(icmp6Frame(128, 0, [0, 1, 0, 2, ...data]));
    const bytes = f.sent().reduce((sum, frame) => sum + frame.length - 14 - 40, 0);
    assert.ok(bytes >= mtu - 40, `${bytes} of ${mtu - 40}`);
  }
  f.close();
});

test('held_bytesThatAreNotInTheFrame_areAnInvariant', () => {
  const f = met();
  const { frames } = f.env;
  const frame = frames.takeReceive();
  frames.verifyInside(frame + 5, frame + FRAME_BYTES, 0);
  const wrong: [number, number, number][] = [
    [frame + FRAME_BYTES, frame, 1],
    [frame, frame + FRAME_BYTES, 1],
    [frame, frame - 1, 1],
    [frame + FRAME_BYTES, frame + FRAME_BYTES, 0], // a free frame's
  ];
  for (const words of wrong) assert.throws(() => frames.verifyInside(...words), InvariantError);
  frames.free(frame);
  f.close();
});

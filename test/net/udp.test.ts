/** UDP: sockets, datagrams in and out, and what an application may get wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { EVENTS_MAX, FRAME_BYTES } from '../../src/limits.ts';
import { Fixture } from './fixture.ts';
import { address } from './harness.ts';
import {
  checksum,
  HOST,
  HOST_MAC,
  ipFrame,
  OURS,
  parseIpv4,
  pattern,
  reassemble,
  udp,
} from './packets.ts';

const HOST_ADDRESS = address(HOST);

/** Bytes in application memory. */
function place(f: Fixture, bytes: Uint8Array): number {
  const at = f.env.arena.carve('application', Math.max(1, bytes.length), 4);
  f.env.arena.u8.set(bytes, at);
  return at;
}

function met(): Fixture {
  const f = new Fixture();
  f.meetHost();
  f.counted();
  return f;
}

/** Whether a datagram's checksum is right, pseudo-header included. */
function isSound(datagram: Uint8Array): boolean {
  const pseudo = [10, 77, 0, 2, 10, 77, 0, 1, 0, 17, datagram.length >> 8, datagram.length & 255];
  return checksum([...pseudo, ...datagram]) === 0 && (datagram[6]! | datagram[7]!) !== 0;
}

test('bound_datagram_is_an_event_until_recvDone', () => {
  const f = met();
  const socket = f.stack.udp.bind(0, 7, -5);
  f.deliver(ipFrame(udp([1, 2, 3], { sourcePort: 0xffff })));
  const [event, ...others] = f.events();
  assert.equal(others.length, 0);
  const [kind, handle, cookie, offset, length, a0, a1, a2, a3, ports, isTruncated] = event!;
  assert.deepEqual([kind, handle, cookie, length], [EVENT.udp_recv, socket, -5, 3]);
  assert.deepEqual([a0, a1, a2, a3], [0, 0, 0xffff, HOST_ADDRESS]);
  assert.deepEqual([ports, isTruncated], [(7 << 16) | 0xffff, 0]);
  assert.deepEqual(Array.from(f.env.arena.u8.subarray(offset!, offset! + 3)), [1, 2, 3]);
  assert.deepEqual(f.events(), [], 'told once');
  assert.ok(!f.env.frames.allHome(), 'the frame stays');
  assert.equal(f.stack.udp.recvDone(handle!, offset!), CODE.OK);
  assert.equal(f.stack.udp.recvDone(handle!, offset!), CODE.BAD_RANGE, 'done once');
  assert.ok(f.env.frames.allHome());
  f.close();
});

test('bound_datagramWithoutChecksum_is_accepted', () => {
  const f = met();
  f.stack.udp.bind(0, 7, 0);
  f.deliver(ipFrame(udp([1], { checksum: 0 })));
  assert.equal(f.events().length, 1);
  f.close();
});

test('bound_bytesBeyondTheLengthField_are_trimmed', () => {
  const f = met();
  f.stack.udp.bind(0, 7, 0);
  const datagram = new Uint8Array(20);
  datagram.set(udp([1, 2]));
  f.deliver(ipFrame(datagram), ipFrame(udp([])));
  assert.deepEqual(
    f.events().map((e) => e[4]),
    [2, 0],
  );
  f.close();
});

for (const [what, counter, datagram] of [
  ['header', 'udpShort', udp([]).subarray(0, 7)],
  ['lengthBelow8', 'udpBadLength', udp([1], { length: 7 })],
  ['lengthBeyondPacket', 'udpBadLength', udp([1], { length: 10 })],
  ['checksum', 'udpBadChecksum', udp([1], { checksum: 0x1111 })],
  ['sourceAddress', 'udpBadChecksum', udp([1], { source: '10.77.0.8' })],
] as const) {
  test(`bound_wrong_${what}_is_dropped_as_${counter}`, () => {
    const f = met();
    f.stack.udp.bind(0, 7, 0);
    f.deliver(ipFrame(datagram));
    assert.deepEqual(f.events(), []);
    assert.deepEqual(f.counted(), { udpIn: 1, [counter]: 1 });
    assert.equal(f.sent().length, 0);
    f.close();
  });
}

test('bound_anyBitFlipped_is_never_delivered', () => {
  const f = met();
  f.stack.udp.bind(0, 7, 0);
  const frame = ipFrame(udp(pattern(10)));
  for (let bit = 34 * 8; bit < frame.length * 8; bit++) {
    const copy = Uint8Array.from(frame);
    copy[bit >> 3]! ^= 1 << (bit & 7);
    f.deliver(copy);
  }
  assert.deepEqual(f.events(), []);
  f.close();
});

test('full_queue_drops_and_counts_and_recovers', () => {
  const f = new Fixture({ limits: { receiveFrames: 128 } });
  f.meetHost();
  const handle = f.stack.udp.bind(0, 7, 0);
  for (let i = 0; i < 40; i++) f.deliver(ipFrame(udp([i])));
  assert.equal(f.stack.udp.held, 32, 'a quarter of the receive pool');
  assert.equal(f.counted().udpQueueFull, 8);
  const events = f.events();
  assert.deepEqual(
    events.map((e) => f.env.arena.u8[e[3]!]),
    Array.from({ length: 32 }, (_, i) => i),
  );
  for (const event of events) f.stack.udp.recvDone(handle, event[3]!);
  f.deliver(ipFrame(udp([99])));
  assert.equal(f.events().length, 1);
  f.close();
});

test('one_socket_cannot_hold_more_than_its_share', () => {
  const f = new Fixture({ limits: { receiveFrames: 2048 } });
  f.stack.udp.bind(0, 7, 0);
  f.stack.udp.bind(0, 8, 0);
  for (let i = 0; i < 300; i++) f.deliver(ipFrame(udp([i])));
  assert.equal(f.stack.udp.held, 256);
  f.deliver(ipFrame(udp([1], { port: 8 })));
  assert.equal(f.stack.udp.held, 257);
  f.close();
});

test('full_eventArray_keeps_the_rest_for_the_next_turn', () => {
  const f = new Fixture({ limits: { receiveFrames: 8192, udpSockets: 8 } });
  const sockets = [7, 8, 9].map((port) => f.stack.udp.bind(0, port, port));
  for (let i = 0; i < 250; i++) {
    for (const port of [7, 8, 9]) f.deliver(ipFrame(udp([i], { port })));
  }
  const first = f.events();
  assert.equal(first.length, EVENTS_MAX);
  const { eventsDeferred } = f.counted();
  assert.equal(eventsDeferred, 1);
  const all = [...first, ...f.events()];
  assert.equal(all.length, 750);
  for (const socket of sockets) {
    const own = all.filter((e) => e[1] === socket).map((e) => f.env.arena.u8[e[3]!]);
    assert.deepEqual(
      own,
      Array.from({ length: 250 }, (_, i) => i),
      'in order, none lost, none twice',
    );
  }
  f.close();
});

test('close_takes_back_queued_and_read_frames', () => {
  const f = met();
  const handle = f.stack.udp.bind(0, 7, 0);
  f.deliver(ipFrame(udp([1])), ipFrame(udp([2])));
  const [event] = f.events();
  f.deliver(ipFrame(udp([3])));
  assert.equal(f.stack.udp.close(handle), CODE.OK);
  assert.ok(f.env.frames.allHome());
  assert.deepEqual(f.events(), []);
  assert.equal(f.stack.udp.recvDone(handle, event![3]!), CODE.BAD_HANDLE);
  assert.equal(f.stack.udp.close(handle), CODE.BAD_HANDLE);
  f.counted();
  f.deliver(ipFrame(udp([4])));
  assert.equal(f.counted().udpNoPort, 1);
  const again = f.stack.udp.bind(0, 7, 0);
  assert.ok(again > 0 && again !== handle, 'the port is free, the handle is not the old one');
  f.close();
});

test('application_wrongArguments_are_answered_by_code', () => {
  const f = met();
  const { udp: u } = f.stack;
  const handle = u.bind(0, 7, 0);
  assert.equal(u.bind(0, 7, 0), CODE.IN_USE);
  assert.equal(u.bind(address('10.77.0.9'), 8, 0), CODE.NO_ROUTE);
  assert.equal(u.bind(0, 65_536, 0), CODE.BAD_RANGE);
  assert.equal(u.bind(0, -1, 0), CODE.BAD_RANGE);
  for (const bad of [0, -1, handle + 1, handle + (1 << 20), 0x7fff_ffff, -0x8000_0000, 1000]) {
    assert.equal(u.send(bad, 0, 0, HOST_ADDRESS, 9), CODE.BAD_HANDLE);
    assert.equal(u.recvDone(bad, 0), CODE.BAD_HANDLE);
    assert.equal(u.close(bad), CODE.BAD_HANDLE);
    assert.equal(u.portOf(bad), CODE.BAD_HANDLE);
  }
  assert.equal(u.send(handle, 4096, 4, HOST_ADDRESS, 0), CODE.BAD_RANGE);
  assert.equal(u.send(handle, 4096, 4, HOST_ADDRESS, 65_536), CODE.BAD_RANGE);
  assert.equal(u.send(handle, 4096, -1, HOST_ADDRESS, 9), CODE.BAD_RANGE);
  assert.equal(u.send(handle, 4096, 65_508, HOST_ADDRESS, 9), CODE.TOO_LONG);
  assert.equal(u.send(handle, 4096, 4, address('127.0.0.1'), 9), CODE.NO_ROUTE);
  const { frames } = f.env;
  for (const offset of [0, -1, frames.base - 1, frames.base, frames.transmitBase, frames.end]) {
    assert.equal(u.recvDone(handle, offset), CODE.BAD_RANGE);
  }
  f.deliver(ipFrame(udp([1])));
  const other = u.bind(0, 8, 0);
  const [event] = f.events();
  assert.equal(u.recvDone(other, event![3]!), CODE.BAD_RANGE, 'a frame of another socket');
  f.deliver(ipFrame(udp([2])));
  const untold = frames.base + FRAME_BYTES;
  assert.equal(frames.indexOf(event![3]!), 0);
  assert.equal(u.recvDone(handle, untold), CODE.BAD_RANGE, 'a frame that it was not told of');
  f.close();
});

test('allBound_bind_says_so', () => {
  const f = new Fixture({ limits: { udpSockets: 3 } });
  const handles = [1, 2, 3].map((port) => f.stack.udp.bind(0, port, 0));
  assert.equal(f.stack.udp.bind(0, 4, 0), CODE.NO_FLOW);
  f.stack.udp.close(handles[1]!);
  assert.ok(f.stack.udp.bind(0, 4, 0) > 0);
  f.close();
});

test('bindPort0_picks_distinct_ephemeral_ports', () => {
  const f = new Fixture({ limits: { udpSockets: 100 } });
  const ports = Array.from({ length: 100 }, () => f.stack.udp.portOf(f.stack.udp.bind(0, 0, 0)));
  assert.equal(new Set(ports).size, 100);
  for (const port of ports) assert.ok(port >= 49_152 && port <= 65_535);
  f.close();
});

test('reused_generations_never_repeat_within_2047_and_stay_positive', () => {
  const f = new Fixture({ limits: { udpSockets: 1 } });
  const seen = new Set<number>();
  for (let i = 0; i < 2047; i++) {
    const handle = f.stack.udp.bind(0, 7, 0);
    assert.ok(handle > 0);
    seen.add(handle);
    f.stack.udp.close(handle);
  }
  assert.equal(seen.size, 2047);
  f.close();
});

test('bound_send_is_a_datagram_and_one_event', () => {
  const f = met();
  const handle = f.stack.udp.bind(0, 7, 33);
  for (const size of [0, 1, 2, 17, 1471, 1472]) {
    const data = pattern(size);
    assert.equal(f.stack.udp.send(handle, place(f, data), size, HOST_ADDRESS, 4000), size);
    const [frame, ...others] = f.sent();
    assert.equal(others.length, 0);
    const ip = parseIpv4(frame!);
    assert.deepEqual(
      [ip.isSound, ip.to, ip.source, ip.destination, ip.protocol, ip.fragment],
      [true, HOST_MAC, OURS, HOST, 17, 0],
    );
    assert.deepEqual(Array.from(ip.payload.subarray(0, 6)), [0, 7, 0x0f, 0xa0, ...lengthOf(size)]);
    assert.ok(isSound(ip.payload), `${size} bytes`);
    assert.deepEqual(ip.payload.subarray(8), data);
  }
  const [event, ...others] = f.events();
  assert.equal(others.length, 0);
  assert.deepEqual(event!.slice(0, 5), [EVENT.udp_sent, handle, 33, 2963, 6]);
  assert.deepEqual(f.events(), []);
  f.close();
});

const lengthOf = (size: number): number[] => [(size + 8) >> 8, (size + 8) & 255];

test('bound_sendWhoseChecksumIsZero_sends_ffff', () => {
  const f = met();
  const handle = f.stack.udp.bind(0, 7, 0);
  const at = place(f, new Uint8Array(2));
  let found = 0;
  for (let value = 0; value < 0x10000; value += 1) {
    f.env.arena.view.setUint16(at, value);
    f.stack.udp.send(handle, at, 2, HOST_ADDRESS, 4000);
    const { payload } = parseIpv4(f.sent()[0]!);
    assert.ok((payload[6]! | payload[7]!) !== 0);
    if (payload[6] === 0xff && payload[7] === 0xff) {
      assert.ok(isSound(payload));
      found++;
    }
  }
  assert.equal(found, 1);
  f.close();
});

test('bound_sendBeyondTheMtu_leaves_in_fragments', () => {
  const f = met();
  const handle = f.stack.udp.bind(0, 7, 0);
  for (const size of [1473, 1480, 1481, 2952, 2953, 9001, 65_507]) {
    const data = pattern(size);
    assert.equal(f.stack.udp.send(handle, place(f, data), size, HOST_ADDRESS, 4000), size);
    const sent = f.sent();
    assert.equal(sent.length, Math.ceil((size + 8) / 1480));
    const datagram = reassemble(sent);
    assert.ok(isSound(datagram), `${size} bytes`);
    assert.deepEqual(datagram.subarray(8), data);
  }
  f.close();
});

test('sends_ids_differ', () => {
  const f = met();
  const handle = f.stack.udp.bind(0, 7, 0);
  for (let i = 0; i < 100; i++) f.stack.udp.send(handle, 4096, 1, HOST_ADDRESS, 4000);
  assert.equal(new Set(f.sent().map((frame) => parseIpv4(frame).id)).size, 100, 'RFC 6864 4.3');
  f.close();
});

test('noFrames_send_says_again', () => {
  const f = new Fixture({ limits: { transmitFrames: 3 } });
  f.meetHost();
  const handle = f.stack.udp.bind(0, 7, 0);
  assert.equal(f.stack.udp.send(handle, 4096, 5000, HOST_ADDRESS, 9), CODE.AGAIN);
  assert.equal(f.sent().length, 0, 'all fragments or none');
  const taken = [1, 2, 3].map(() => f.env.frames.takeTransmit());
  assert.equal(f.stack.udp.send(handle, 4096, 5, HOST_ADDRESS, 9), CODE.AGAIN);
  for (const frame of taken) f.env.frames.free(frame);
  assert.deepEqual(f.events(), [], 'nothing was sent');
  f.close();
});

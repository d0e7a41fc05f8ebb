/**
 * The stack as a whole: timers find their owners, nothing is allocated, and no frame can hurt it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTER_NAMES } from '../../src/counters.ts';
import { TRANSMIT_HEADROOM } from '../../src/limits.ts';
import { timerRanges } from '../../src/net/both/environment.ts';
import { bytesPerOperation } from '../arena/property.ts';
import { Fixture } from '../net/fixture.ts';
import { address, passTime } from '../net/harness.ts';
import {
  arp,
  EVERYBODY,
  fragments,
  HOST,
  icmp,
  ipFrame,
  OURS,
  pattern,
  udp,
} from '../net/packets.ts';
import { type Random, randomFrom } from '../net/random.ts';

test('expired_timers_find_their_owners', () => {
  const f = new Fixture();
  const { wheel, clock, limits } = f.env;
  const ranges = timerRanges(limits);
  wheel.arm(3, (clock.us + 100) | 0);
  wheel.arm(ranges.application + 5, (clock.us + 100) | 0);
  f.pass(1);
  assert.deepEqual([f.tcp.expired, f.timers], [[3], [5]]);
  f.stack.flush();
  assert.equal(f.tcp.flushes, 1);
  f.close();
});

test('start_atAnyTimeOfTheClocksRound_timersExpire', () => {
  for (const us of [0, 2 ** 30, -(2 ** 31), -(2 ** 30), -(2 ** 30) + 5, -1_000_000]) {
    const f = new Fixture();
    f.env.clock.us = us;
    f.stack.start();
    f.env.wheel.arm(timerRanges(f.env.limits).application + 5, (us + 1000) | 0);
    f.env.clock.us = (us + 2000) | 0;
    f.stack.advance();
    assert.deepEqual(f.timers, [5], `at ${us}`);
    f.close();
  }
});

/** Frames of every kind that the stack knows, to be damaged. */
function specimens(random: Random): Uint8Array[] {
  const id = random.below(3);
  const data = pattern(random.below(1000), random.below(256));
  const quote = ipFrame(pattern(8), { protocol: 6, source: OURS }).subarray(14);
  return [
    arp(),
    arp({ operation: 2, sender: `10.77.0.${random.below(256)}` }),
    arp({ target: HOST }),
    ipFrame(data, { protocol: 6, options: random.below(2) ? [1, 68, 4, 5, 0, 0, 0, 0] : [] }),
    ipFrame(udp(data, { port: 7 })),
    ipFrame(udp(data, { port: random.below(65_536) })),
    ipFrame(udp(data, { port: 7, destination: '10.77.0.255' }), { destination: '10.77.0.255' }),
    ipFrame(icmp(8, 0, 1, data), { protocol: 1 }),
    ipFrame(icmp(3, random.below(16), 1, quote), { protocol: 1 }),
    ipFrame(data, { protocol: random.below(256) }),
    ...fragments(udp(pattern(3000)), { id, protocol: 17 }, 600),
    ...fragments(icmp(8, 0, 1, pattern(2500)), { id, protocol: 1 }, 1500),
    ipFrame(pattern(64), { id, protocol: 17, fragment: random.next() & 0x3fff }),
  ];
}

/** Some bytes changed, some cut off, some added; checksums made right again now and then. */
function damage(random: Random, frame: Uint8Array): Uint8Array {
  const copy = new Uint8Array(random.below(8) === 0 ? random.below(1514) : frame.length);
  copy.set(frame.subarray(0, copy.length));
  for (let n = random.below(4); n > 0 && copy.length > 0; n--) {
    const at = random.below(random.below(2) === 0 ? copy.length : Math.min(44, copy.length));
    copy[at] = random.below(4) === 0 ? random.pick([0, 1, 0x7f, 0x80, 0xff]) : random.below(256);
  }
  if (random.below(2) === 0) repairHeader(copy);
  return copy;
}

function repairHeader(frame: Uint8Array): void {
  const header = ((frame[14] ?? 0) & 15) * 4;
  if (frame.length < 14 + header || header < 20) return;
  frame[24] = 0;
  frame[25] = 0;
  let sum = 0;
  for (let i = 14; i < 14 + header; i += 2) sum += (frame[i]! << 8) | frame[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  frame[24] = (~sum >> 8) & 255;
  frame[25] = ~sum & 255;
}

test('any_damagedFrame_never_throws_and_is_always_counted', (t) => {
  const random = randomFrom(t);
  const rounds = Number(process.env['ROUNDS'] ?? 400);
  const f = new Fixture({ limits: { receiveFrames: 1024 } });
  const socket = f.stack.udp.bind(0, 7, 0);
  const ours = f.stack.udp.bind(address(OURS), 8, 0);
  let frames = 0;
  for (let round = 0; round < rounds; round++) {
    for (const frame of specimens(random)) {
      const segments = f.tcp.segments.length;
      f.counted();
      f.deliver(damage(random, frame));
      frames++;
      const isCounted = Object.keys(f.counted()).length > 0;
      assert.ok(
        isCounted || f.tcp.segments.length > segments,
        'every frame is counted or delivered',
      );
    }
    for (const [kind, handle, , offset] of f.events()) {
      if (kind === 7 && random.below(8) > 0) f.stack.udp.recvDone(handle!, offset!);
    }
    if (random.below(20) === 0) f.stack.udp.send(random.pick([socket, ours]), 4096, 3000, -1, 9);
    f.sent();
    f.pass(random.below(3000));
  }
  t.diagnostic(`${frames} frames`);
  const { frames: pools } = f.env;
  const held = pools.receiveCount - pools.receiveFree;
  assert.equal(held, f.stack.udp.held, 'only sockets hold received frames');
  f.close();
});

test('any_randomBytes_never_throw', (t) => {
  const random = randomFrom(t);
  const f = new Fixture();
  for (let round = 0; round < 5000; round++) {
    const frame = Uint8Array.from({ length: random.below(200) }, () => random.below(256));
    if (random.below(4) > 0) frame.set([2, 0, 0, 0, 0, 2].slice(0, frame.length));
    if (random.below(2) === 0 && frame.length > 15) frame.set([8, random.pick([0, 6]), 0x45], 12);
    f.counted();
    f.deliver(frame);
    assert.ok(Object.keys(f.counted()).length > 0);
  }
  f.close();
});

/** Bytes allocated by one call of `work`. */
const allocatedBy = (work: () => void): number =>
  bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) work();
  }, 100_000);

test('steady_packets_allocate_nothing', (t) => {
  const f = new Fixture();
  f.meetHost();
  f.env.nic.isRecording = false;
  f.tcp.isNoting = false;
  const { arena, frames, counters } = f.env;
  const socket = f.stack.udp.bind(0, 7, 0);
  const noPort = ipFrame(udp(pattern(64), { port: 9 }));
  const [first, second] = fragments(udp(pattern(700)), { id: 5 }, 600);
  const works: [string, () => void][] = (
    [
      ['tcp', [ipFrame(pattern(100), { protocol: 6 })]],
      ['udp', [ipFrame(udp(pattern(64)))]],
      ['udp no port', [noPort]],
      ['echo', [ipFrame(icmp(8, 0, 1, pattern(56)), { protocol: 1 })]],
      ['arp', [arp()]],
      ['wrong checksum', [ipFrame(pattern(100), { protocol: 6, checksum: 1 })]],
      [
        'wrong destination',
        [ipFrame(pattern(100), { destination: '10.77.0.9' }, { to: EVERYBODY })],
      ],
      ['options', [ipFrame(pattern(100), { protocol: 6, options: [7, 4, 4, 0] })]],
      ['fragments', [first!, second!]],
    ] as [string, Uint8Array[]][]
  ).map(([name, sequence]) => {
    const stored = sequence.map((bytes) => {
      const at = arena.carve(name, bytes.length, 4);
      arena.u8.set(bytes, at);
      return { at, length: bytes.length };
    });
    return [
      name,
      () => {
        for (let i = 0; i < stored.length; i++) {
          const bytes = stored[i]!;
          const frame = frames.takeReceive() + 256;
          arena.kernels.copy(frame, bytes.at, bytes.length);
          f.stack.receive(frame, bytes.length);
        }
        f.sink.clear();
        f.stack.emit(f.sink);
        for (let i = 0; i < f.sink.count; i++) {
          f.stack.udp.recvDone(socket, arena.i32[f.sink.header + 16 + i * 16 + 3]!);
        }
      },
    ];
  });
  const to = address(HOST);
  works.push(['send', () => void f.stack.udp.send(socket, 4096, 100, to, 9)]);
  works.push(['send fragments', () => void f.stack.udp.send(socket, 4096, 2000, to, 9)]);
  works.push(['write header', () => sendSegment(f, to)]);
  works.push([
    'timers',
    () => {
      passTime(f.env, 16);
      f.stack.advance();
    },
  ]);
  for (const [name, work] of works) {
    const bytes = allocatedBy(work);
    t.diagnostic(`${name}: ${bytes.toFixed(2)} bytes`);
    assert.ok(bytes < 1, `${name} allocates ${bytes} bytes each time`);
  }
  for (const name of COUNTER_NAMES) assert.ok(counters.get(name) >= 0);
  f.close();
});

function sendSegment(f: Fixture, to: number): void {
  const neighbour = f.stack.ip.v4.neighbourFor(to);
  const frame = f.env.frames.takeTransmit() + TRANSMIT_HEADROOM;
  f.stack.ip.v4.writeHeader(frame, to, f.stack.ip.v4.address, 6, 0, 20);
  f.stack.ip.v4.transmit(frame, 40, neighbour);
}

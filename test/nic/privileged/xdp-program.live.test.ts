/**
 * What the XDP program takes and leaves to the kernel: frame by frame, and with a kernel as peer.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { openXdp } from '../../../src/nic/privileged/open.ts';
import { enterNamespace, needsRoot } from '../../control/namespace.ts';
import { makeVeth, openPacketSocket } from '../links.ts';
import { type End, makeEnds, RING } from '../suite.ts';

enterNamespace();
const skip = needsRoot;

const OURS = 0x0a4d0002;
const ALSO_OURS = 0xc0a80a63 | 0; // above 2^31: sign extension would show
const NOT_OURS = 0x0a4d0003;
const OURS_6 = Buffer.from('fd770000000000000000000000123456', 'hex');
const ALL_NODES = Buffer.from('ff020000000000000000000000000001', 'hex');
const SOLICITED = Buffer.from('ff0200000000000000000001ff123456', 'hex');

const bytes = (...parts: (number | Uint8Array)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : part)));
const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 255);
const u32 = (value: number): Buffer => Buffer.of(value >>> 24, value >>> 16, value >>> 8, value);
const MAC = Buffer.from('02fffffffff1', 'hex');

const ethernet = (type: number, payload: Buffer): Buffer =>
  bytes(Buffer.alloc(6, 0xff), MAC, u16(type), payload);
const ipv4 = (destination: number, fragment = 0, protocol = 253): Buffer =>
  bytes(
    0x45,
    0,
    u16(40),
    u16(1),
    u16(fragment),
    64,
    protocol,
    u16(0),
    u32(0x0a4d0001),
    u32(destination),
    Buffer.alloc(20),
  );
const arp = (operation: number, target: number, lengths = 0x0604): Buffer =>
  bytes(
    u16(1),
    u16(0x0800),
    u16(lengths),
    u16(operation),
    MAC,
    u32(0x0a4d0001),
    Buffer.alloc(6),
    u32(target),
    Buffer.alloc(18),
  );
const ipv6 = (destination: Uint8Array): Buffer =>
  bytes(0x60, 0, 0, 0, u16(8), 253, 64, OURS_6, destination, Buffer.alloc(8));
const changed = (address: Uint8Array, at: number): Buffer => {
  const other = Buffer.from(address);
  other[at] = other[at]! ^ 1;
  return other;
};

const CASES: [name: string, frame: Buffer, isOurs: boolean][] = [
  ['IPv4 to our address', ethernet(0x0800, ipv4(OURS)), true],
  ['IPv4 to our second address', ethernet(0x0800, ipv4(ALSO_OURS)), true],
  ['first fragment', ethernet(0x0800, ipv4(OURS, 0x2000)), true],
  ['last fragment', ethernet(0x0800, ipv4(OURS, 185)), true],
  ['TCP', ethernet(0x0800, ipv4(OURS, 0, 6)), true],
  ['IPv4 to another address', ethernet(0x0800, ipv4(NOT_OURS)), false],
  ['IPv4 broadcast', ethernet(0x0800, ipv4(-1)), false],
  ['IPv4 cut before the destination ends', ethernet(0x0800, ipv4(OURS).subarray(0, 19)), false],
  ['ARP request for our address', ethernet(0x0806, arp(1, OURS)), true],
  ['ARP reply to our address', ethernet(0x0806, arp(2, ALSO_OURS)), true],
  ['ARP request for another address', ethernet(0x0806, arp(1, NOT_OURS)), false],
  ['ARP with other address lengths', ethernet(0x0806, arp(1, OURS, 0x0606)), false],
  ['ARP cut before the target ends', ethernet(0x0806, arp(1, OURS).subarray(0, 27)), false],
  ['IPv6 to our address', ethernet(0x86dd, ipv6(OURS_6)), true],
  ['IPv6 to our solicited-node address', ethernet(0x86dd, ipv6(SOLICITED)), true],
  ['IPv6 to all nodes', ethernet(0x86dd, ipv6(ALL_NODES)), false],
  ...[0, 5, 10, 15].map((at): [string, Buffer, boolean] => [
    `IPv6 to an address that differs in byte ${at}`,
    ethernet(0x86dd, ipv6(changed(OURS_6, at))),
    false,
  ]),
  ['IPv6 cut before the destination ends', ethernet(0x86dd, ipv6(OURS_6).subarray(0, 39)), false],
  ['IPv4 in a VLAN', ethernet(0x8100, bytes(u16(5), u16(0x0800), ipv4(OURS))), false],
  ['IPv4 in VLAN 256', ethernet(0x8100, bytes(u16(256), u16(0x0800), ipv4(OURS))), false],
  ['IPv4, priority tag', ethernet(0x8100, bytes(u16(0), u16(0x0800), ipv4(OURS))), true],
  ['IPv4, priority tag 7', ethernet(0x8100, bytes(u16(0xf000), u16(0x0800), ipv4(OURS))), true],
  [
    'IPv4 to another, priority tag',
    ethernet(0x8100, bytes(u16(0), u16(0x0800), ipv4(NOT_OURS))),
    false,
  ],
  ['ARP, priority tag', ethernet(0x8100, bytes(u16(0), u16(0x0806), arp(1, OURS))), true],
  ['IPv6, priority tag', ethernet(0x8100, bytes(u16(0), u16(0x86dd), ipv6(OURS_6))), true],
  ['IPv4, 802.1ad priority tag', ethernet(0x88a8, bytes(u16(0), u16(0x0800), ipv4(OURS))), true],
  [
    'two tags',
    ethernet(0x8100, bytes(u16(0), u16(0x8100), u16(0), u16(0x0800), ipv4(OURS))),
    false,
  ],
  [
    'IPv4 cut behind a tag',
    ethernet(0x8100, bytes(u16(0), u16(0x0800), ipv4(OURS).subarray(0, 19))),
    false,
  ],
  ['another type', ethernet(0x88b5, ipv4(OURS)), false],
  ['a header alone', ethernet(0x0800, Buffer.alloc(0)), false],
];

/** Frames of one end now, as bytes. */
function take(end: End): Buffer[] {
  end.nic.reclaim();
  const count = end.nic.receive(64);
  return Array.from({ length: count }, (_, i) => {
    const offset = end.nic.rxOffsets[i]!;
    const copy = Buffer.from(end.arena.u8.slice(offset, offset + end.nic.rxLengths[i]!));
    end.frames.free(offset);
    return copy;
  });
}

for (const mode of ['native', 'generic'] as const) {
  test(`frames for our addresses are redirected, all others passed (${mode})`, { skip }, (t) => {
    t.after(makeVeth('ixta', 'ixtb'));
    const near = makeEnds();
    const addresses = { ipv4: [OURS, ALSO_OURS], ipv6: [OURS_6] };
    const { a } = near;
    const opened = openXdp(a.arena, a.frames, a.counters, {
      ...addresses,
      ifname: 'ixta',
      mode,
      ringEntries: RING,
    });
    const ours: End = { ...a, nic: opened.nic };
    const kernel: End = { ...near.b, nic: openPacketSocket(near.b, 'ixta') };
    const { frames, arena } = near.b;
    const sender = openPacketSocket(near.b, 'ixtb');
    for (const [name, frame, isOurs] of CASES) {
      const offset = frames.takeTransmit() + 2;
      arena.u8.set(frame, offset);
      sender.transmit(offset, frame.length);
      sender.kick();
      const got = { ours: 0, kernel: 0 };
      const until = performance.now() + 1000;
      while (got.ours + got.kernel === 0 && performance.now() < until) {
        got.ours += take(ours).length;
        got.kernel += take(kernel).length;
      }
      assert.deepEqual(got, isOurs ? { ours: 1, kernel: 0 } : { ours: 0, kernel: 1 }, name);
    }
    opened.close();
    sender.close();
    kernel.nic.close();
    assert.ok(a.frames.allHome() && frames.allHome());
  });
}

test('program_aKernelOnTheOtherSide_reachesTheKernelOnOurs_andAsksUsForOurAddress', {
  skip,
  timeout: 30_000,
}, async (t) => {
  t.after(makeVeth('ixta', 'ixtb'));
  // The far end moves into a network namespace of its own, which lives as long as this child.
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => holder.kill());
  await once(holder.stdout!, 'data');
  const run = async (...command: string[]): Promise<number> => {
    const [name, ...rest] = command as [string, ...string[]];
    const [status] = await once(
      spawn(name, rest, { stdio: ['ignore', 'ignore', 'inherit'] }),
      'exit',
    );
    return status as number;
  };
  const there = (...command: string[]) => run('nsenter', '-t', `${holder.pid}`, '-n', ...command);
  assert.equal(await run('ip', 'link', 'set', 'ixtb', 'netns', `${holder.pid}`), 0);
  assert.equal(await run('ip', 'address', 'add', '10.77.0.3/24', 'dev', 'ixta'), 0);
  assert.equal(await there('ip', 'address', 'add', '10.77.0.1/24', 'dev', 'ixtb'), 0);
  assert.equal(await there('ip', 'link', 'set', 'ixtb', 'up'), 0);
  const { a } = makeEnds();
  const opened = openXdp(a.arena, a.frames, a.counters, {
    ifname: 'ixta',
    ipv4: [OURS],
    ringEntries: RING,
  });
  const ours: End = { ...a, nic: opened.nic };
  const connect = (address: string): string =>
    `require('net').connect(9, '${address}').on('error', (e) => process.exit(e.code === 'ECONNREFUSED' ? 0 : 1)); setTimeout(() => process.exit(2), 1500)`;
  // The kernel behind the program answers (refuses) a connection to its own address.
  assert.equal(await there(process.execPath, '-e', connect('10.77.0.3')), 0);
  assert.deepEqual(take(ours), [], 'nothing of that came to us');
  // A connection to our address: the kernel asks for us, several times, and nobody else answers.
  assert.notEqual(await there(process.execPath, '-e', connect('10.77.0.2')), 0);
  const asked = take(ours);
  assert.ok(asked.length >= 1);
  for (const frame of asked) {
    assert.equal(frame.readUInt16BE(12), 0x0806);
    assert.equal(frame.readInt32BE(38), OURS);
  }
  opened.close();
  assert.ok(a.frames.allHome());
});

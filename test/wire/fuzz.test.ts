/**
 * Every parser under fuzzing, from a kept corpus: corpus/*.hex, one Ethernet frame each.
 *
 * - The corpus has a frame for every header, option, message and extension that src/wire and
 *   src/net read, the crooked ones that break others' parsers, and segments of a Linux kernel. A
 *   frame that ever breaks something is added to it.
 * - Frames go through the whole stack, TCP included (listening on port 7, with flows open), under
 *   VERIFY. None may throw, go uncounted or keep memory.
 * - Mutations: bits, bytes at their edges, lengths off by one, cuts, growth, splices; with
 *   checksums made right in most, so that what lies behind them is reached. ROUNDS and SEED as
 *   elsewhere.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { arp, checksum } from '../net/packets.ts';
import { checksum6, ipv6Choices, solicitation, text6 } from '../net/packets6.ts';
import { type Random, randomFrom } from '../net/random.ts';
import { Host } from '../tcp/host.ts';

const PORT = 7;
const FRAME_MAX = 1514;
const EDGES = [0, 1, 2, 3, 4, 5, 0x0f, 0x40, 0x45, 0x46, 0x60, 0x7f, 0x80, 0xfe, 0xff];

interface Specimen {
  name: string;
  bytes: Uint8Array;
}

const corpus: Specimen[] = globSync(fileURLToPath(new URL('corpus/*.hex', import.meta.url)))
  .sort()
  .map((file) => ({
    name: basename(file, '.hex'),
    bytes: Uint8Array.from(Buffer.from(readFileSync(file, 'utf8').replaceAll('\n', ''), 'hex')),
  }));

/** A host with a listener, its neighbours known, everything that comes accepted and consumed. */
function makeHost(): Host {
  const host = new Host({
    ...ipv6Choices({ slaac: true }),
    limits: { receiveFrames: 1024, transmitFrames: 512 },
  });
  const { tcp, udp } = host.stack;
  assert.ok(tcp.listen(1, 0, PORT, 16, 0) > 0);
  assert.ok(udp.bind(2, PORT, 0) > 0);
  host.onEvent = ({ kind, handle, words }) => {
    if (kind === EVENT.knock) tcp.accept(handle, 1);
    else if (kind === EVENT.recv) tcp.recvDone(handle, words[1]!);
    else if (kind === EVENT.recv_end) assert.ok(tcp.close(handle) <= CODE.OK);
    else if (kind === EVENT.udp_recv) udp.recvDone(handle, words[0]!);
  };
  deliver(host, arp());
  deliver(host, solicitation());
  return host;
}

function deliver(host: Host, frame: Uint8Array): void {
  host.env.nic.inject(frame);
  host.turn();
  host.env.nic.takeSent();
}

/**
 * A flow of the stack as its peer sees it: Ethernet to TCP header of what the peer would send next.
 */
interface Open {
  template: Uint8Array;
  seq: number;
  ack: number;
}

/** Completes a handshake from the corpus's SYN; undefined: all flows are in use. */
function openFlow(host: Host, from: number): Open | undefined {
  const syn = corpus.find(({ name }) => name === 'tcp-syn-linux')!.bytes.slice();
  setHalf(syn, 34, from);
  repair(syn);
  host.env.nic.takeSent();
  host.env.nic.inject(syn);
  host.turn();
  const isAnswer = (frame: Uint8Array): boolean => half(frame, 36) === from && frame[47] === 0x12;
  const reply = host.env.nic.takeSent().find(isAnswer);
  if (!reply) return undefined;
  const flow = { template: syn.slice(0, 38), seq: word(syn, 38) + 1, ack: word(reply, 38) + 1 };
  const ack = corpus.find(({ name }) => name === 'linux-ack')!.bytes;
  deliver(host, aim(ack, flow, 0, 0));
  return flow;
}

/** A TCP frame with the flow's ports, and numbers that are off by so much. */
function aim(frame: Uint8Array, flow: Open, seqOff: number, ackOff: number): Uint8Array {
  const copy = Uint8Array.from(frame);
  if (copy.length < 54 || half(copy, 12) !== 0x0800 || copy[14] !== 0x45 || copy[23] !== 6)
    return copy;
  copy.set(flow.template.subarray(34, 38), 34);
  setWord(copy, 38, flow.seq + seqOff);
  setWord(copy, 42, flow.ack + ackOff);
  repair(copy);
  return copy;
}

const word = (bytes: Uint8Array, at: number): number =>
  half(bytes, at) * 65_536 + half(bytes, at + 2);

function setWord(bytes: Uint8Array, at: number, value: number): void {
  setHalf(bytes, at, (value >>> 16) & 0xffff);
  setHalf(bytes, at + 2, value & 0xffff);
}

const half = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

function setHalf(bytes: Uint8Array, at: number, value: number): void {
  if (at + 1 >= bytes.length) return;
  bytes[at] = value >>> 8;
  bytes[at + 1] = value & 255;
}

/** Where the checksum of a transport protocol lies. */
const SUM_AT: Record<number, number> = { 1: 2, 6: 16, 17: 6, 58: 2 };

/** Makes the checksums of an IPv4 or IPv6 packet right, as far as its headers can be read. */
function repair(frame: Uint8Array): void {
  const type = half(frame, 12);
  const ip = frame.subarray(14);
  if (type === 0x0800) {
    const header = ((ip[0] ?? 0) & 15) * 4;
    if (header < 20 || header > ip.length) return;
    setHalf(ip, 10, 0);
    setHalf(ip, 10, checksum(ip.subarray(0, header)));
    const payload = ip.subarray(header, Math.max(header, Math.min(half(ip, 2), ip.length)));
    const pseudo = [...ip.subarray(12, 20), 0, ip[9]!, payload.length >>> 8, payload.length & 255];
    repairTransport(ip[9]!, payload, (p) => checksum(ip[9] === 1 ? p : [...pseudo, ...p]));
  } else if (type === 0x86dd && ip.length >= 40) {
    const [source, destination] = [text6(ip.subarray(8, 24)), text6(ip.subarray(24, 40))];
    const next = ip[6]!;
    const payload = ip.subarray(40, Math.min(40 + half(ip, 4), ip.length));
    repairTransport(next, payload, (p) => checksum6(p, next, source, destination));
  }
}

function repairTransport(
  protocol: number,
  payload: Uint8Array,
  sum: (payload: Uint8Array) => number,
): void {
  const at = SUM_AT[protocol];
  if (at === undefined || at + 2 > payload.length) return;
  setHalf(payload, at, 0);
  setHalf(payload, at, sum(payload));
}

function mutate(random: Random, bytes: Uint8Array): Uint8Array {
  let frame = Uint8Array.from(bytes);
  const at = (): number => {
    const reach = random.below(3) === 0 ? frame.length : Math.min(frame.length, 94);
    return random.below(Math.max(1, reach));
  };
  for (let n = 1 + random.below(4); n > 0; n--) {
    const i = at();
    switch (random.below(8)) {
      case 0:
      case 1:
        frame[i] = (frame[i] ?? 0) ^ (1 << random.below(8));
        break;
      case 2:
      case 3:
        frame[i] = random.pick(EDGES);
        break;
      case 4:
        frame[i] = (frame[i] ?? 0) + random.pick([-1, 1]);
        break;
      case 5:
        frame = frame.slice(0, i);
        break;
      case 6:
        frame = Uint8Array.from([...frame, ...Array(random.below(64)).fill(random.below(256))]);
        break;
      default: {
        const other = random.pick(corpus).bytes;
        frame = Uint8Array.from([...frame.subarray(0, i), ...other.subarray(i)]);
      }
    }
  }
  if (random.below(4) > 0) repair(frame);
  return frame.slice(0, FRAME_MAX);
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Delivers a frame; it must change a counter. Errors carry the frame, to be kept in the corpus. */
function check(host: Host, name: string, frame: Uint8Array): void {
  host.counted();
  try {
    deliver(host, frame);
    assert.ok(Object.keys(host.counted()).length > 0, 'the frame is in no counter');
  } catch (error) {
    throw new Error(`${name}: ${hexOf(frame)}`, { cause: error });
  }
}

test('corpus_everyFrame_countedAndNothingHeld', () => {
  assert.ok(corpus.length >= 80, `${corpus.length} frames`);
  const host = makeHost();
  for (const { name, bytes } of corpus) check(host, name, bytes);
  host.close();
});

test('corpus_everyPrefix_countedAndNothingHeld', () => {
  const host = makeHost();
  for (const { name, bytes } of corpus) {
    for (let length = 0; length < Math.min(bytes.length, 110); length++) {
      const cut = bytes.slice(0, length);
      check(host, name, cut);
      repair(cut);
      check(host, name, cut);
    }
    host.pass(31_000);
    host.turn();
  }
  host.close();
});

test('corpus_mutated_countedAndNothingHeld', (t) => {
  const random = randomFrom(t);
  const rounds = Number(process.env['ROUNDS'] ?? 120);
  const host = makeHost();
  let flow = openFlow(host, 1000)!;
  for (let round = 0; round < rounds; round++) {
    flow = openFlow(host, 1024 + round) ?? flow;
    for (const { name, bytes } of corpus) {
      check(host, name, mutate(random, bytes));
      const off = (): number => random.pick([0, 0, 0, 1, -1, 100, -100, 70_000]);
      check(host, name, aim(mutate(random, bytes), flow, off(), off()));
    }
    if (random.below(10) === 0) {
      host.pass(random.below(40_000));
      host.turn();
    }
  }
  const seen = (name: Parameters<Host['count']>[0]): boolean => host.count(name) > 0;
  const reached = [
    'tcpOpened',
    'tcpBadOption',
    'udpIn',
    'icmpEchoIn',
    'icmp6EchoIn',
    'ndpIn',
    'ip6BadOption',
    'ipFragmentsIn',
    'arpIn',
  ] as const;
  for (const name of reached) assert.ok(seen(name), `${name}: what lies behind was reached`);
  // A half-open flow whose peer keeps saying something ends late: its SYN-ACK backs off to 60 s.
  for (let minute = 0; minute < 12; minute++) {
    host.pass(60_000);
    host.turn();
  }
  host.close();
});

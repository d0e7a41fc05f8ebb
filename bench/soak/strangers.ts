/**
 * The frame source of the soak: random, spoilt and sound frames at full rate over AF_XDP, from the
 * host's end of a link.
 *
 * - Takes the frames of the strangers' addresses off its interface; everything else on it stays the
 *   kernel's, so that a well-behaved client can use the same link.
 * - Opens connections, talks on them, spoils what it says, and forgets some of it. At the end it
 *   resets whatever the server still has of them: probes every tuple, and answers what comes back
 *   with RST, until nothing does.
 *
 * Usage: node bench/soak/strangers.ts IFNAME SERVER SERVER_MAC SECONDS SEED
 * Prints one JSON object: { frames, seconds, rate, opened, opened6 (of them over IPv6), left }.
 * Started by bench/soak.ts.
 */
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { parseAddress } from '../../src/control/link/address.ts';
import { Counters } from '../../src/counters.ts';
import { BATCH_MAX, limitsFor, TRANSMIT_HEADROOM } from '../../src/limits.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';
import { bytesOfIpv6 } from '../../src/wire/ipv6-text.ts';
import {
  isIpv6,
  STRANGERS,
  STRANGERS_FIRST,
  strangers6,
  TUPLES,
  tupleOf,
  tupleOf6,
} from './addresses.ts';
import { Dice } from './dice.ts';
import { CLOSED, Flows, OPEN, SYN_SENT } from './flows.ts';
import { anyFlags, FrameWriter, type Segment } from './frames.ts';
import { Requests } from './requests.ts';

const [ifname, server, serverMac, seconds, seed] = process.argv.slice(2);
if (seed === undefined)
  throw new Error('usage: strangers.ts IFNAME SERVER SERVER_MAC SECONDS SEED');

const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;
const PSH = 8;
/** Of what is sent, one in so many is a SYN: the others need connections to talk on. */
const SYN_EVERY = 20;
const SPOIL_EVERY = 3;
const DRAIN_MS = 40_000;
/** tcp/constants.ts CHALLENGE_INTERVAL_MS, and some more. */
const CHALLENGE_MS = 5500;

const limits = limitsFor();
const arena = new Arena(80 * 2 ** 20);
arena.bindNative();
const frames = new Frames(arena, limits.receiveFrames, limits.transmitFrames);
const addresses = Array.from({ length: STRANGERS }, (_, i) => STRANGERS_FIRST + i);
const { nic, close } = openXdp(arena, frames, new Counters(arena), {
  ifname: ifname!,
  ipv4: addresses,
  ipv6: strangers6().map(bytesOfIpv6),
  ringEntries: limits.ringEntries,
});
const view = arena.view;
const dice = new Dice(Number(seed));
const flows = new Flows();
const mac = (bytes: ArrayLike<number>) => {
  const at = new DataView(Uint8Array.from(bytes as number[]).buffer);
  return [at.getInt32(0), at.getUint16(4)] as const;
};
const [ownHigh, ownLow] = mac(nic.mac);
const [serverHigh, serverLow] = mac(serverMac!.split(':').map((part) => Number.parseInt(part, 16)));
const ends = { ownHigh, ownLow, serverHigh, serverLow, server: parseAddress(server!) };
const writer = new FrameWriter(view, arena.u8, arena.kernels, dice, ends);
const requests = new Requests(arena.u8, dice);
const segment: Segment = { tuple: 0, flags: 0, seq: 0, ack: 0, window: 65_535, options: 0 };

let sent = 0;
let opened = 0;
let opened6 = 0;
let answers = 0;
let isDraining = false;

/** Takes a frame, has it written, sends it. */
function send(write: (at: number) => number): boolean {
  const frame = frames.takeTransmit();
  if (frame < 0) return false;
  const at = frame + TRANSMIT_HEADROOM;
  nic.transmit(at, write(at));
  sent++;
  return true;
}

function writeSegment(at: number, tuple: number, flags: number, bytes = 0): number {
  segment.tuple = tuple;
  segment.flags = flags;
  segment.seq = flows.next[tuple]!;
  segment.ack = flows.expected[tuple]!;
  segment.window = 65_535;
  segment.options = 0;
  return writer.segment(at, segment, bytes);
}

/**
 * Asks whether there is a connection: a segment that no window holds is answered, by ACK or RST.
 */
function probe(at: number, tuple: number): number {
  segment.tuple = tuple;
  segment.flags = ACK;
  segment.seq = dice.word();
  segment.ack = dice.word();
  segment.options = 0;
  return writer.segment(at, segment, 0);
}

/** A segment on an open connection: what comes next, or near it, or anything. */
function talk(at: number, tuple: number): number {
  segment.tuple = tuple;
  const isWild = dice.once(3);
  segment.flags = isWild ? anyFlags(dice) : dice.once(200) ? FIN | ACK : PSH | ACK;
  segment.options = isWild && dice.once(2) ? 4 * dice.below(11) : 0;
  const bytes = dice.once(4) ? 0 : requests.write(writer.payloadAt(at, segment.options, tuple));
  const off = (): number => (isWild ? dice.pick([0, 0, 1, -1, 100, -100, 70_000, dice.word()]) : 0);
  segment.seq = flows.next[tuple]! + off();
  segment.ack = flows.expected[tuple]! + off();
  segment.window = dice.once(10) ? dice.pick([0, 1, 100]) : 65_535;
  if (!isWild) flows.next[tuple] = (flows.next[tuple]! + bytes + (segment.flags & FIN)) | 0;
  return writer.segment(at, segment, Math.min(bytes, 1400));
}

function anyFrame(at: number): number {
  const tuple = dice.below(TUPLES);
  if (dice.once(SYN_EVERY)) {
    if (flows.state[tuple] === CLOSED) flows.set(tuple, SYN_SENT);
    flows.next[tuple] = dice.word();
    return writeSegment(at, tuple, SYN);
  }
  const open = flows.pickOpen(dice);
  let length: number;
  if (isIpv6(tuple) && dice.once(2)) {
    length = anyFrame6(at, tuple);
    return dice.once(SPOIL_EVERY) ? writer.spoil(at, length, tuple) : length;
  }
  switch (dice.below(12)) {
    case 0:
      return writer.noise(at);
    case 1:
      length = writer.anyDatagram(at, tuple);
      break;
    case 2:
      length = writer.echo(at, tuple);
      break;
    case 3:
      length = writer.datagram(at, tuple);
      break;
    case 4:
      length = writer.fragment(at, tuple);
      break;
    case 5:
      length = dice.once(8) ? writer.arp(at, tuple, 1 + dice.below(2)) : writer.noise(at);
      break;
    default:
      length = open < 0 ? writer.echo(at, tuple) : talk(at, open);
  }
  return dice.once(SPOIL_EVERY) ? writer.spoil(at, length, tuple) : length;
}

function anyFrame6(at: number, tuple: number): number {
  const { v6 } = writer;
  switch (dice.below(7)) {
    case 0:
      return v6.echo(at, tuple);
    case 1:
      return v6.datagram(at, tuple);
    case 2:
      return v6.fragment(at, tuple);
    case 3:
      return v6.error(at, tuple);
    case 4:
      return v6.discovery(at, tuple);
    case 5:
      return v6.any(at, tuple);
    default:
      return v6.chain(at, tuple);
  }
}

/** What the server says to a stranger. */
function hear(at: number): void {
  const type = view.getUint16(at + 12);
  if (type === 0x0806) {
    const tuple = tupleOf(view.getInt32(at + 14 + 24), 20_000);
    if (tuple >= 0) send((to) => writer.arp(to, tuple, 2));
  } else if (type === 0x86dd) hear6(at);
  else if (view.getUint8(at + 23) === 6) {
    const header = (view.getUint8(at + 14) & 15) << 2;
    const tcp = at + 14 + header;
    const tuple = tupleOf(view.getInt32(at + 30), view.getUint16(tcp + 2));
    hearSegment(tuple, tcp, view.getUint16(at + 16) - header);
  }
}

/** A solicitation is answered; the rest is as over IPv4. */
function hear6(at: number): void {
  const next = view.getUint8(at + 20);
  const transport = at + 54;
  if (next === 58 && view.getUint8(transport) === 135) {
    const tuple = tupleOf6(view.getInt32(transport + 20), 20_000);
    if (tuple >= 0) send((to) => writer.v6.advertisement(to, tuple));
  } else if (next === 6) {
    const tuple = tupleOf6(view.getInt32(at + 50), view.getUint16(transport + 2));
    hearSegment(tuple, transport, view.getUint16(at + 18));
  }
}

/** `bytes` of header and payload at `tcp`. */
function hearSegment(tuple: number, tcp: number, bytes: number): void {
  if (tuple < 0) return;
  const flags = view.getUint8(tcp + 13);
  if ((flags & RST) !== 0) return flows.set(tuple, CLOSED);
  answers++;
  const payload = bytes - (view.getUint8(tcp + 12) >> 4) * 4;
  const length = payload + (flags & FIN) + ((flags & SYN) >> 1);
  flows.expected[tuple] = (view.getInt32(tcp + 4) + length) | 0;
  flows.next[tuple] = view.getInt32(tcp + 8);
  if (isDraining || (flags & FIN) !== 0) {
    flows.set(tuple, CLOSED);
    send((to) => writeSegment(to, tuple, RST));
  } else if ((flags & SYN) !== 0) {
    if (flows.state[tuple] !== OPEN) {
      opened++;
      if (isIpv6(tuple)) opened6++;
    }
    flows.set(tuple, OPEN);
    send((to) => writeSegment(to, tuple, ACK));
  } else if (length > 0 && dice.once(2)) send((to) => writeSegment(to, tuple, ACK));
}

function turn(): void {
  nic.reclaim();
  const count = nic.receive(BATCH_MAX);
  for (let i = 0; i < count; i++) {
    hear(nic.rxOffsets[i]!);
    frames.free(nic.rxOffsets[i]!);
  }
}

/** Turns for a while; what is heard meanwhile is counted in `answers`. */
async function listen(ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    turn();
    nic.kick();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

for (const tuple of addresses.map((_, i) => i * (TUPLES / STRANGERS))) {
  send((at) => writer.arp(at, tuple, 1));
}
nic.kick();
const start = performance.now();
const end = start + Number(seconds) * 1000;
while (performance.now() < end) {
  for (let round = 0; round < 16; round++) {
    turn();
    for (let i = 0; i < BATCH_MAX && send(anyFrame); i++);
    nic.kick();
  }
}
const elapsed = (performance.now() - start) / 1000;
const rate = sent / elapsed;

isDraining = true;
await listen(500);
const drainEnd = performance.now() + DRAIN_MS;
let left = 0;
// The server answers so many challenges in so long: a silence counts when it outlasts that.
for (let silentSince = 0; performance.now() < drainEnd; ) {
  answers = 0;
  for (let tuple = 0; tuple < TUPLES; tuple++) {
    send((at) => writeSegment(at, tuple, RST));
    send((at) => probe(at, tuple));
    if (tuple % BATCH_MAX === 0) await listen(2);
  }
  await listen(CHALLENGE_MS / 8);
  left = answers;
  if (left > 0) silentSince = 0;
  else if (silentSince === 0) silentSince = performance.now();
  else if (performance.now() - silentSince > CHALLENGE_MS) break;
}
close();
console.log(JSON.stringify({ frames: sent, seconds: elapsed, rate, opened, opened6, left }));

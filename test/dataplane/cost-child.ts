/**
 * Measures what a message costs the whole of a server: elastic thread, stack, gate, libix and an
 * echo application, on a driver that is an array. Run by cost.test.ts, or by hand: cost-child.ts
 * [connections].
 *
 * - The peers are prepared frames, one a connection, whose sequence numbers, timestamps and
 *   checksum are moved on in place; what that costs is measured by itself and subtracted.
 */
import echo from '../../src/apps/echo.ts';
import type { Arena } from '../../src/arena/arena.ts';
import type { Frames } from '../../src/arena/frames.ts';
import { openThread } from '../../src/dataplane/thread.ts';
import { openInlineSide } from '../../src/domain/inline.ts';
import type { Nic } from '../../src/nic/nic.ts';

const CONNECTIONS = Number(process.argv[2] ?? 32);
const BYTES = 64;
const HEADERS = 14 + 20 + 32;
const SERVER = 0x0a4d0002;
const CLIENT = 0x0a4d0001;
const ECHO_PORT = 7;
const SYN = 2;
const ACK = 16;
const PSH = 8;

/** Complement sum of 16-bit words of `frame` from `start` to `end`, not folded. */
function sum(view: DataView, start: number, end: number): number {
  let total = 0;
  for (let at = start; at < end; at += 2) total += view.getUint16(at);
  return total;
}
const fold = (total: number): number => {
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
};

class Peer {
  readonly bytes = new Uint8Array(HEADERS + BYTES);
  readonly view = new DataView(this.bytes.buffer);
  seq = 1000;
  ack = 0;
  /** Checksum of all that does not move. */
  #constant = 0;
  #length = 0;

  constructor(port: number) {
    const { view } = this;
    this.bytes.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    view.setUint16(14, 0x4500);
    view.setUint16(20, 0x4000);
    view.setUint16(22, 0x4006);
    view.setInt32(26, CLIENT);
    view.setInt32(30, SERVER);
    view.setUint16(34, port);
    view.setUint16(36, ECHO_PORT);
    for (let i = 0; i < BYTES; i++) view.setUint8(HEADERS + i, i * 7);
  }

  prepare(flags: number, length: number): void {
    const { view } = this;
    this.#length = HEADERS + length;
    view.setUint16(16, this.#length - 14);
    view.setUint16(24, 0);
    view.setUint16(24, 0xffff - fold(sum(view, 14, 34)));
    view.setUint16(46, 0x8000 | flags);
    view.setUint16(48, 0xffff);
    view.setInt32(54, 0x0101080a);
    view.setInt32(62, 0);
    for (const at of [38, 42, 50, 58]) view.setInt32(at, 0);
    this.#constant = sum(view, 26, this.#length) + 6 + this.#length - 34;
  }

  /** Moves the frame on by what was said, and copies it to `at`. Returns its length. */
  write(target: Uint8Array, at: number, stamp: number): number {
    const { view, seq, ack } = this;
    view.setInt32(38, seq);
    view.setInt32(42, ack);
    view.setInt32(58, stamp);
    const total =
      this.#constant +
      (seq >>> 16) +
      (seq & 0xffff) +
      (ack >>> 16) +
      (ack & 0xffff) +
      (stamp >>> 16) +
      (stamp & 0xffff);
    view.setUint16(50, 0xffff - fold(total));
    for (let i = 0; i < this.#length; i++) target[at + i] = this.bytes[i]!;
    return this.#length;
  }
}

const peers = Array.from({ length: CONNECTIONS }, (_, i) => new Peer(10_000 + i));

class ArrayNic implements Nic {
  readonly name = 'array';
  readonly mac = new Uint8Array([2, 0, 0, 0, 0, 2]);
  readonly mtu = 1500;
  readonly fds: readonly number[] = [];
  readonly rxOffsets = new Int32Array(64);
  readonly rxLengths = new Int32Array(64);
  readonly sent: number[] = [];
  /** Frames of the next batch. */
  waiting = 0;
  /** Frames that were transmitted, and whether they are kept. */
  count = 0;
  keeps = true;
  readonly #arena: Arena;
  readonly #frames: Frames;

  constructor(arena: Arena, frames: Frames) {
    this.#arena = arena;
    this.#frames = frames;
  }

  receive(max: number): number {
    const count = Math.min(this.waiting, max);
    this.waiting -= count;
    return count;
  }

  transmit(offset: number, length: number): void {
    this.count++;
    if (this.keeps) this.sent.push(...this.#arena.u8.slice(offset, offset + length));
    this.#frames.free(offset);
  }

  kick(): void {}
  reclaim(): void {}
  receiveLent = () => 0;
  close(): void {}
}

let nic!: ArrayNic;
const dataplane = openThread({
  limits: { flows: 4096 },
  net: { address: SERVER, prefixLength: 24, gateway: 0 },
  policy: 'spin',
  openNic: ({ arena, frames }) => {
    nic = new ArrayNic(arena, frames);
    return nic;
  },
  openSide: (parts) => openInlineSide(parts, 0, { report: () => true, stop: () => {} }),
  failed: (error) => {
    throw error;
  },
});
const { arena, frames, thread } = dataplane;
await echo(dataplane.side.ix, {});
thread.turn();

function put(bytes: Uint8Array): void {
  const frame = frames.takeReceive() + 258;
  arena.u8.set(bytes, frame);
  nic.rxOffsets[nic.waiting] = frame;
  nic.rxLengths[nic.waiting++] = bytes.length;
}

/** The neighbour, so that answers have somewhere to go. */
const arp = new Uint8Array(42);
arp.set([
  255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1,
]);
new DataView(arp.buffer).setInt32(28, CLIENT);
new DataView(arp.buffer).setInt32(38, SERVER);
put(arp);
thread.turn();

const scratch = new Uint8Array(2048);
for (const peer of peers) {
  peer.prepare(SYN, 0);
  nic.sent.length = 0;
  put(scratch.slice(0, peer.write(scratch, 0, 1)));
  thread.turn();
  const answer = new DataView(new Uint8Array(nic.sent).buffer);
  peer.seq += 1;
  peer.ack = (answer.getInt32(38) + 1) | 0;
  peer.prepare(ACK, 0);
  put(scratch.slice(0, peer.write(scratch, 0, 1)));
  thread.turn();
  peer.prepare(ACK | PSH, BYTES);
}
thread.turn();
nic.keeps = false;
let stamp = 1;

function prepareBatch(): void {
  stamp++;
  for (let i = 0; i < CONNECTIONS; i++) {
    const peer = peers[i]!;
    const frame = frames.takeReceive() + 258;
    nic.rxOffsets[i] = frame;
    nic.rxLengths[i] = peer.write(arena.u8, frame, stamp);
    peer.seq = (peer.seq + BYTES) | 0;
    peer.ack = (peer.ack + BYTES) | 0;
  }
  nic.waiting = CONNECTIONS;
}

/** CPU time of `batches` times `work`, ns a message. */
function timed(batches: number, work: () => void): number {
  const start = process.cpuUsage();
  for (let i = 0; i < batches; i++) work();
  return (process.cpuUsage(start).user * 1000) / batches / CONNECTIONS;
}

const serve = (): void => {
  prepareBatch();
  thread.turn();
};
/** What the peers alone cost: the same frames, which nobody gets. */
const prepareOnly = (): void => {
  prepareBatch();
  for (let i = 0; i < CONNECTIONS; i++) frames.free(nic.rxOffsets[i]!);
  nic.waiting = 0;
  for (const peer of peers) {
    peer.seq = (peer.seq - BYTES) | 0;
    peer.ack = (peer.ack - BYTES) | 0;
  }
};

const BATCHES = Math.ceil(1_000_000 / CONNECTIONS);
const ROUNDS = 5;
timed(2 * BATCHES, serve);
timed(2 * BATCHES, prepareOnly);
const before = nic.count;
const rounds = Array.from({ length: ROUNDS }, () =>
  Math.round(timed(BATCHES, serve) - timed(BATCHES, prepareOnly)),
);
const answered = (nic.count - before) / (ROUNDS * BATCHES * CONNECTIONS);
const ns = rounds.sort((a, b) => a - b)[ROUNDS >> 1];
console.log(JSON.stringify({ ns, rounds, answered }));
dataplane.close();
process.exit(0);

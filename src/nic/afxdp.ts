/**
 * AF_XDP: the driver on the hottest path. Four rings in the arena, shared with the kernel.
 *
 * - A frame is the pool's, the stack's, or lent to the kernel (fill and receive ring, transmit and
 *   completion ring). `#lent` has one byte a frame for the last case: the kernel keeps dropped
 *   receive frames on a list of its own, where no ring shows them; by `#lent` `close` finds them.
 * - At most half the receive pool is lent, the rest is for flows that hold data. What is lent fits
 *   the fill ring and the receive ring, so neither can overflow.
 * - In copy mode as few frames as the traffic needs go round, because all of them are written to in
 *   turn: LEND_MIN stay in the second-level cache (4096: 385,000, 512: 456,000 echoes a second). A
 *   backlog of half of what is lent doubles it at once, a long calm halves it again.
 * - Ring indexes run modulo 2^32 and are cached; the shared ones are touched once a batch.
 * - The fill ring has entries before the socket is bound (why: xsk.ts).
 * - `transmit` writes a descriptor; `kick` publishes all of them and rings once. A kick that the
 *   kernel answers with EAGAIN is repeated while frames still leave: one sends 32 in copy mode
 *   before Linux 6.17. Any other refusal (ENOBUFS, EBUSY) waits for the next kick. While the link
 *   is down or gone kicks are rare (link-backoff.ts), and no reason to stay awake; what was
 *   published leaves when it is up again.
 * - How far the kernel is in the transmit ring is the later of two indexes, because up to Linux
 *   6.12 a kick that ends with EAGAIN leaves the ring's consumer index where it was. Each
 *   descriptor that is taken gives one completion, so that ring's producer is never ahead of truth.
 * - Lengths are checked here: some kernels complete a refused descriptor, others never do.
 *
 * Made by dataplane/nics.ts and privileged/open.ts. Read first:
 * Documentation/networking/af_xdp.rst; ixy's ixgbe.c.
 */
import type { Arena } from '../arena/arena.ts';
import type { Clock } from '../arena/clock.ts';
import type { Frames } from '../arena/frames.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { BATCH_MAX, FRAME_BYTES, TRANSMIT_HEADROOM } from '../limits.ts';
import { EAGAIN, POLLIN, sys } from '../native/sys.ts';
import { assert, VERIFY } from '../verify.ts';
import { LinkBackoff } from './link-backoff.ts';
import type { Nic } from './nic.ts';
import { Xsk, type XskOptions, type XskStatistics } from './xsk.ts';

const C_RX_FRAMES = COUNTER.rxFrames;
const C_RX_BYTES = COUNTER.rxBytes;
const C_RX_LEFT = COUNTER.rxLeft;
const C_TX_FRAMES = COUNTER.txFrames;
const C_TX_BYTES = COUNTER.txBytes;
const C_TX_FULL = COUNTER.txFull;
const C_TX_BAD_LENGTH = COUNTER.txBadLength;
const C_RX_NO_FRAME = COUNTER.rxNoFrame;
const C_RX_SHORT = COUNTER.rxShort;
const C_RX_TOO_LONG = COUNTER.rxTooLong;
const C_KICKS = COUNTER.kicks;
const C_KICK_AGAIN = COUNTER.kickAgain;
const C_LINK_REFUSED = COUNTER.linkRefused;

const NEED_WAKEUP = 1;
/**
 * Receive frames lent at least; a calm is so many batches in a row that needed a quarter at most.
 */
const LEND_MIN = 512;
const CALM_BATCHES = 16_384;
/**
 * Kicks of one `kick` that show no frame leaving, and are repeated all the same: a NIC completes
 * later, and where the consumer index waits too nothing tells a kick that sent 32 from one that
 * found the device busy. 96 frames, then.
 */
const BLIND_KICKS = 2;
const ETHERNET_BYTES = 14;
const XDP_HEADROOM = 256;
/** The longest frame that a receive buffer takes. */
const RECEIVE_MAX = FRAME_BYTES - XDP_HEADROOM - TRANSMIT_HEADROOM;

export interface AfXdpOptions extends XskOptions {
  ifname: string;
  mac: Uint8Array;
  mtu: number;
  /** Receive frames lent to the kernel, always; default: as traffic needs, up to ringEntries. */
  lend?: number;
  /** Why zero-copy is not wished for, where it is not. */
  copyWhy?: string;
  /** The stack's: how long to leave a link alone that is down. */
  clock?: Clock;
}

export class AfXdp implements Nic {
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly fds: readonly number[];
  readonly rxOffsets = new Int32Array(BATCH_MAX);
  readonly rxLengths = new Int32Array(BATCH_MAX);
  readonly copied: { readonly zeroCopy: boolean; readonly why: string };

  readonly #xsk: Xsk;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #link: LinkBackoff;
  readonly #i32: Int32Array;
  readonly #fd: number;
  readonly #base: number;
  readonly #entries: number;
  readonly #mask: number;
  readonly #lendMax: number;
  /** 1 for each frame that the kernel may touch. */
  readonly #lent: Uint8Array;
  /** struct pollfd, to wake a zero-copy driver that waits for fill entries. */
  readonly #pollOffset: number;

  readonly #rxProducer: number;
  readonly #rxConsumer: number;
  readonly #rxDescriptors: number;
  readonly #txProducer: number;
  readonly #txConsumer: number;
  readonly #txDescriptors: number;
  readonly #txFlags: number;
  readonly #fillProducer: number;
  readonly #fillFlags: number;
  readonly #fillDescriptors: number;
  readonly #doneProducer: number;
  readonly #doneConsumer: number;
  readonly #doneDescriptors: number;

  #lendMin: number;
  /**
   * Receive frames to be lent now, and batches since the last that needed over a quarter of them.
   */
  #lendTarget: number;
  #calm = 0;
  /** Receive ring: next to take. */
  #rxNext = 0;
  /** Transmit ring: next to write, what the kernel was told, how far it was seen to be. */
  #txNext = 0;
  #txPublished = 0;
  #txSeen = 0;
  /** Frames may wait in the transmit ring that an earlier kick did not send. */
  #kickOwed = false;
  #fillNext = 0;
  #doneNext = 0;
  /** Receive frames in fill ring, kernel and receive ring. */
  #receiveLent = 0;
  /** Frames of the receive pool on their way out. */
  #receiveSending = 0;
  #txBytes = 0;
  /** The receive pool had no frame to lend: counted once until it has again. */
  #isDry = false;
  #open = true;

  constructor(arena: Arena, frames: Frames, counters: Counters, options: AfXdpOptions) {
    const { ringEntries } = options;
    assert((ringEntries & (ringEntries - 1)) === 0, 'af_xdp: ringEntries must be a power of two');
    this.name = `af_xdp ${options.ifname} queue ${options.queue}`;
    this.mac = options.mac;
    this.mtu = Math.min(options.mtu, RECEIVE_MAX - ETHERNET_BYTES);
    const xsk = new Xsk(arena, frames, options);
    this.#xsk = xsk;
    this.#fd = xsk.fd;
    this.fds = [xsk.fd];
    this.#frames = frames;
    this.#counters = counters;
    this.#link = new LinkBackoff(options.clock);
    this.#i32 = arena.i32;
    this.#base = frames.base;
    this.#entries = ringEntries;
    this.#mask = ringEntries - 1;
    this.#lendMax = Math.min(options.lend ?? ringEntries, ringEntries, frames.receiveCount >> 1);
    this.#lendMin = options.lend ? this.#lendMax : Math.min(LEND_MIN, this.#lendMax);
    // A zero-copy driver takes its buffers while it is bound: as many as it may have.
    this.#lendTarget = options.copy === 'copy' ? this.#lendMin : this.#lendMax;
    this.#lent = new Uint8Array(frames.receiveCount + frames.transmitCount);
    this.#pollOffset = arena.carve('af_xdp poll', 8, 8);
    this.#i32[this.#pollOffset >> 2] = xsk.fd;
    this.#rxProducer = xsk.rx.producer;
    this.#rxConsumer = xsk.rx.consumer;
    this.#rxDescriptors = xsk.rx.descriptors;
    this.#txProducer = xsk.tx.producer;
    this.#txConsumer = xsk.tx.consumer;
    this.#txDescriptors = xsk.tx.descriptors;
    this.#txFlags = xsk.tx.flags;
    this.#fillProducer = xsk.fill.producer;
    this.#fillFlags = xsk.fill.flags;
    this.#fillDescriptors = xsk.fill.descriptors;
    this.#doneProducer = xsk.completion.producer;
    this.#doneConsumer = xsk.completion.consumer;
    this.#doneDescriptors = xsk.completion.descriptors;
    this.#bind();
    const { zeroCopy, refusal } = xsk;
    this.copied = { zeroCopy, why: zeroCopy ? '' : refusal || (options.copyWhy ?? '') };
    if (zeroCopy) this.#lendMin = this.#lendMax;
    this.#lendTarget = this.#lendMin;
  }

  /** With buffers in the fill ring; if the kernel refuses, they come home. */
  #bind(): void {
    try {
      this.#lend();
      this.#xsk.bind();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  receive(max: number): number {
    const i32 = this.#i32;
    const first = this.#rxNext;
    let count = (Atomics.load(i32, this.#rxProducer) - first) | 0;
    if (count === 0) return 0;
    if (count << 2 > this.#lendTarget) this.#lendMore(count);
    else if (++this.#calm === CALM_BATCHES) this.#lendLess();
    if (count > max) {
      this.#counters.add(C_RX_LEFT, (count - max) | 0);
      count = max;
    }
    if (count > BATCH_MAX) count = BATCH_MAX;
    const base = this.#base;
    const lent = this.#lent;
    const offsets = this.rxOffsets;
    const lengths = this.rxLengths;
    let good = 0;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      // struct xdp_desc: u64 address, u32 length, u32 options
      const word = this.#rxDescriptors + (((first + i) & this.#mask) << 2);
      const offset = base + i32[word]!;
      const length = i32[word + 2]!;
      lent[this.#frames.indexOf(offset)] = 0;
      if (length > RECEIVE_MAX || length < ETHERNET_BYTES) {
        this.#frames.free(offset);
        this.#counters.bump(length < ETHERNET_BYTES ? C_RX_SHORT : C_RX_TOO_LONG);
        continue;
      }
      offsets[good] = offset;
      lengths[good] = length;
      good++;
      bytes += length;
    }
    this.#rxNext = (first + count) | 0;
    this.#receiveLent = (this.#receiveLent - count) | 0;
    Atomics.store(i32, this.#rxConsumer, this.#rxNext);
    this.#counters.add(C_RX_FRAMES, good);
    this.#counters.add(C_RX_BYTES, bytes);
    return good;
  }

  transmit(offset: number, length: number): void {
    const next = this.#txNext;
    const room = FRAME_BYTES - ((offset - this.#base) & (FRAME_BYTES - 1));
    if (VERIFY) assert(length >= ETHERNET_BYTES && length <= room, 'af_xdp: bad transmit length');
    if (((next - this.#txSeen) | 0) >= this.#entries) this.#look();
    const full = ((next - this.#txSeen) | 0) >= this.#entries;
    if (full || length < ETHERNET_BYTES || length > room) {
      this.#frames.free(offset);
      this.#counters.bump(full ? C_TX_FULL : C_TX_BAD_LENGTH);
      return;
    }
    const word = this.#txDescriptors + ((next & this.#mask) << 2);
    // The upper half of the address, and options, are 0 for ever.
    this.#i32[word] = offset - this.#base;
    this.#i32[word + 2] = length;
    this.#lent[this.#frames.indexOf(offset)] = 1;
    if (this.#frames.isReceive(offset)) this.#receiveSending = (this.#receiveSending + 1) | 0;
    this.#txNext = (next + 1) | 0;
    this.#txBytes = (this.#txBytes + length) | 0;
  }

  kick(): void {
    const next = this.#txNext;
    const fresh = (next - this.#txPublished) | 0;
    if (fresh !== 0) {
      Atomics.store(this.#i32, this.#txProducer, next);
      this.#txPublished = next;
      this.#counters.add(C_TX_FRAMES, fresh);
      this.#counters.add(C_TX_BYTES, this.#txBytes);
      this.#txBytes = 0;
    } else if (!this.#kickOwed && !this.#link.isDown) return;
    if ((Atomics.load(this.#i32, this.#txFlags) & NEED_WAKEUP) === 0) {
      this.#kickOwed = false; // zero copy, and the NIC is reading the ring already
      return;
    }
    if (!this.#link.mayTry()) return;
    this.#counters.bump(C_KICKS);
    const result = sys.kick(this.#fd);
    if (this.#link.heard(result)) {
      this.#kickOwed = false;
      this.#counters.bump(C_LINK_REFUSED);
      return;
    }
    this.#kickOwed = result < 0 && this.#kickAgain(result);
  }

  /** How far the kernel is in the transmit ring, as far as it shows: the later of both indexes. */
  #look(): void {
    const consumer = Atomics.load(this.#i32, this.#txConsumer);
    const completed = Atomics.load(this.#i32, this.#doneProducer);
    this.#txSeen = ((completed - consumer) | 0) > 0 ? completed : consumer;
  }

  /**
   * After a kick that failed: goes on while the kernel says EAGAIN and frames leave, or may have.
   * True if some still wait.
   */
  #kickAgain(result: number): boolean {
    for (let blind = 0; ; ) {
      const before = this.#txSeen;
      this.#look();
      if (this.#txSeen === this.#txPublished) return false;
      this.#counters.bump(C_KICK_AGAIN);
      if (result !== -EAGAIN) return true;
      if (this.#txSeen === before && ++blind > BLIND_KICKS) return true;
      result = sys.kick(this.#fd);
      if (result === 0) return false;
    }
  }

  reclaim(): void {
    this.#complete();
    this.#lend();
  }

  #complete(): void {
    const i32 = this.#i32;
    const first = this.#doneNext;
    const count = (Atomics.load(i32, this.#doneProducer) - first) | 0;
    if (count === 0) return;
    const frames = this.#frames;
    for (let i = 0; i < count; i++) {
      const word = this.#doneDescriptors + (((first + i) & this.#mask) << 1);
      const offset = this.#base + i32[word]!;
      this.#lent[frames.indexOf(offset)] = 0;
      if (frames.isReceive(offset)) this.#receiveSending = (this.#receiveSending - 1) | 0;
      frames.free(offset);
    }
    this.#doneNext = (first + count) | 0;
    Atomics.store(i32, this.#doneConsumer, this.#doneNext);
  }

  #lend(): void {
    const want = (this.#lendTarget - this.#receiveLent) | 0;
    if (want <= 0) return;
    const i32 = this.#i32;
    const frames = this.#frames;
    const first = this.#fillNext;
    let count = 0;
    for (; count < want; count++) {
      const offset = frames.takeReceive();
      if (offset < 0) {
        if (!this.#isDry) this.#counters.bump(C_RX_NO_FRAME);
        this.#isDry = true;
        break;
      }
      const word = this.#fillDescriptors + (((first + count) & this.#mask) << 1);
      i32[word] = offset - this.#base; // the upper half is 0 for ever
      this.#lent[frames.indexOf(offset)] = 1;
    }
    if (count === want) this.#isDry = false;
    if (count === 0) return;
    this.#fillNext = (first + count) | 0;
    this.#receiveLent = (this.#receiveLent + count) | 0;
    Atomics.store(i32, this.#fillProducer, this.#fillNext);
    if ((Atomics.load(i32, this.#fillFlags) & NEED_WAKEUP) !== 0) {
      // Zero copy only: poll(2) tells the NIC of new entries.
      i32[(this.#pollOffset >> 2) + 1] = POLLIN;
      sys.wait(this.#pollOffset, 1, 0);
    }
  }

  /** `waiting` frames are more than a quarter of what is lent. */
  #lendMore(waiting: number): void {
    this.#calm = 0;
    if (waiting << 1 <= this.#lendTarget) return;
    this.#lendTarget = Math.min(this.#lendTarget << 1, this.#lendMax);
  }

  #lendLess(): void {
    this.#calm = 0;
    this.#lendTarget = Math.max(this.#lendTarget >> 1, this.#lendMin);
  }

  /** False while frames wait for another kick: the thread must not sleep yet. */
  prepareSleep(): boolean {
    return !this.#kickOwed;
  }

  receiveLent(): number {
    return this.#receiveLent + this.#receiveSending;
  }

  statistics(): XskStatistics {
    return this.#xsk.statistics();
  }

  /**
   * What did not fit the receive ring, what found the fill ring empty, and the rest: each frame in
   * one of them. In copy mode the kernel counts a frame without a buffer twice. In zero-copy mode
   * it counts how often the NIC looked for buffers and found none, which loses nothing by itself;
   * what a NIC drops for it is in its own counters (`ip -s link`).
   */
  kernelDrops(): Record<string, number> {
    const { rxDropped, rxRingFull, fillRingEmpty } = this.#xsk.statistics();
    if (this.copied.zeroCopy) return { rxDropped, rxRingFull };
    return { rxDropped: Math.max(0, rxDropped - fillRingEmpty), rxRingFull, fillRingEmpty };
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#xsk.release();
    for (let index = 0; index < this.#lent.length; index++) {
      if (this.#lent[index] === 1) this.#frames.free(this.#base + index * FRAME_BYTES);
    }
    this.#lent.fill(0);
    this.#receiveLent = 0;
    this.#receiveSending = 0;
  }
}

/**
 * A driver over any descriptor that moves one frame a read or write: TAP, a packet socket.
 *
 * - Receives into frames lent beforehand (up to BATCH_MAX); `reclaim` lends new ones.
 * - `transmit` queues, `kick` writes all of them; the kernel copies, so they are free at once. What
 *   it has no room for now (EAGAIN, ENOBUFS) waits for the next kick; what it refuses is dropped:
 *   txLinkDown when the interface is down or gone, else txRefused.
 * - A device that was removed is readable for ever without anything to read: `isGone` says so, and
 *   nobody should poll it.
 * - The descriptor must be non-blocking, and is closed by `close`. The arena must be the bound one.
 * - One system call a frame: for rootless use, not for speed.
 *
 * Made by dataplane/nics.ts, around/overheard.ts and privileged/tap.ts.
 */
import type { Arena } from '../arena/arena.ts';
import type { Frames } from '../arena/frames.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { BATCH_MAX, FRAME_BYTES, TRANSMIT_HEADROOM } from '../limits.ts';
import { EAGAIN, ENOBUFS, SYS, sys } from '../native/sys.ts';
import { assert, VERIFY } from '../verify.ts';
import { isGoneError, isLinkError } from './link-backoff.ts';
import type { Nic } from './nic.ts';

const C_RX_FRAMES = COUNTER.rxFrames;
const C_RX_BYTES = COUNTER.rxBytes;
const C_TX_FRAMES = COUNTER.txFrames;
const C_TX_BYTES = COUNTER.txBytes;
const C_TX_FULL = COUNTER.txFull;
const C_TX_BAD_LENGTH = COUNTER.txBadLength;
const C_TX_REFUSED = COUNTER.txRefused;
const C_RX_NO_FRAME = COUNTER.rxNoFrame;
const C_RX_SHORT = COUNTER.rxShort;
const C_RX_TOO_LONG = COUNTER.rxTooLong;
const C_KICKS = COUNTER.kicks;
const C_KICK_AGAIN = COUNTER.kickAgain;
const C_LINK_DOWN = COUNTER.txLinkDown;

const ETHERNET_BYTES = 14;
const CAPACITY = FRAME_BYTES - TRANSMIT_HEADROOM;
/** [offset, length] */
const PAIR_WORDS = 2;

export interface FrameFileOptions {
  fd: number;
  name: string;
  mac: Uint8Array;
  mtu: number;
  /** Frames that can wait for a kick; limits.ringEntries. */
  entries: number;
}

export class FrameFile implements Nic {
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly fds: readonly number[];
  readonly rxOffsets = new Int32Array(BATCH_MAX);
  readonly rxLengths = new Int32Array(BATCH_MAX);

  readonly #fd: number;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #i32: Int32Array;
  readonly #entries: number;
  /** Byte offsets of the two lists of pairs. */
  readonly #rxList: number;
  readonly #txList: number;
  /** Frames lent: pairs [0, #lent) of the receive list. */
  #lent = 0;
  /** Frames to write: pairs [0, #waiting) of the transmit list. */
  #waiting = 0;
  /** The receive pool had no frame to lend: counted once until it has again. */
  #isDry = false;
  #isGone = false;
  #open = true;

  constructor(arena: Arena, frames: Frames, counters: Counters, options: FrameFileOptions) {
    this.name = options.name;
    this.mac = options.mac;
    this.mtu = Math.min(options.mtu, CAPACITY - ETHERNET_BYTES);
    this.fds = [options.fd];
    this.#fd = options.fd;
    this.#frames = frames;
    this.#counters = counters;
    this.#i32 = arena.i32;
    this.#entries = options.entries;
    this.#rxList = arena.carve(`${options.name} receive list`, BATCH_MAX * PAIR_WORDS * 4, 64);
    this.#txList = arena.carve(
      `${options.name} transmit list`,
      options.entries * PAIR_WORDS * 4,
      64,
    );
    this.reclaim();
  }

  receive(max: number): number {
    let room = this.#lent;
    if (room > max) room = max;
    if (room === 0) return 0;
    const count = sys.readFrames(this.#fd, this.#rxList, room, CAPACITY);
    if (count <= 0) {
      if (isGoneError(count)) this.#isGone = true;
      return 0;
    }
    const i32 = this.#i32;
    const list = this.#rxList >> 2;
    let good = 0;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const offset = i32[list + i * PAIR_WORDS]!;
      const length = i32[list + i * PAIR_WORDS + 1]!;
      if (length < ETHERNET_BYTES || length >= CAPACITY) {
        // A read that fills the frame may have been cut.
        this.#counters.bump(length < ETHERNET_BYTES ? C_RX_SHORT : C_RX_TOO_LONG);
        this.#frames.free(offset);
        continue;
      }
      this.rxOffsets[good] = offset;
      this.rxLengths[good] = length;
      good++;
      bytes += length;
    }
    // The last frames of the list move into the places of those that were used.
    const left = (this.#lent - count) | 0;
    for (let i = 0; i < count && i < left; i++) {
      const from = left > count ? this.#lent - 1 - i : count + i;
      i32[list + i * PAIR_WORDS] = i32[list + from * PAIR_WORDS]!;
    }
    this.#lent = left;
    this.#counters.add(C_RX_FRAMES, good);
    this.#counters.add(C_RX_BYTES, bytes);
    return good;
  }

  transmit(offset: number, length: number): void {
    if (VERIFY) assert(length >= ETHERNET_BYTES && length <= CAPACITY, 'nic: bad transmit length');
    const full = this.#waiting >= this.#entries;
    if (full || length < ETHERNET_BYTES || length > CAPACITY) {
      this.#frames.free(offset);
      this.#counters.bump(full ? C_TX_FULL : C_TX_BAD_LENGTH);
      return;
    }
    const word = (this.#txList >> 2) + this.#waiting * PAIR_WORDS;
    this.#i32[word] = offset;
    this.#i32[word + 1] = length;
    this.#waiting = (this.#waiting + 1) | 0;
  }

  kick(): void {
    if (this.#waiting === 0) return;
    this.#counters.bump(C_KICKS);
    const list = this.#txList >> 2;
    let done = 0;
    while (done < this.#waiting) {
      const result = sys.writeFrames(
        this.#fd,
        this.#txList + done * PAIR_WORDS * 4,
        this.#waiting - done,
      );
      if (result > 0) {
        this.#written(done, result);
        done += result;
      } else if (result === -EAGAIN || result === -ENOBUFS) {
        this.#counters.bump(C_KICK_AGAIN);
        break;
      } else {
        this.#counters.bump(isLinkError(result) ? C_LINK_DOWN : C_TX_REFUSED);
        this.#frames.free(this.#i32[list + done * PAIR_WORDS]!);
        done++;
      }
    }
    if (done < this.#waiting) {
      this.#i32.copyWithin(list, list + done * PAIR_WORDS, list + this.#waiting * PAIR_WORDS);
    }
    this.#waiting = (this.#waiting - done) | 0;
  }

  #written(first: number, count: number): void {
    const i32 = this.#i32;
    let bytes = 0;
    for (let i = first; i < first + count; i++) {
      const word = (this.#txList >> 2) + i * PAIR_WORDS;
      bytes += i32[word + 1]!;
      this.#frames.free(i32[word]!);
    }
    this.#counters.add(C_TX_FRAMES, count);
    this.#counters.add(C_TX_BYTES, bytes);
  }

  reclaim(): void {
    const list = this.#rxList >> 2;
    while (this.#lent < BATCH_MAX) {
      const frame = this.#frames.takeReceive();
      if (frame < 0) {
        if (!this.#isDry) this.#counters.bump(C_RX_NO_FRAME);
        this.#isDry = true;
        return;
      }
      this.#i32[list + this.#lent * PAIR_WORDS] = frame + TRANSMIT_HEADROOM;
      this.#lent = (this.#lent + 1) | 0;
    }
    this.#isDry = false;
  }

  isGone(): boolean {
    return this.#isGone;
  }

  receiveLent(): number {
    return this.#lent;
  }

  /** False while frames wait for another kick: the thread must not sleep yet. */
  prepareSleep(): boolean {
    return this.#waiting === 0;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    sys.syscall(SYS.close, this.#fd);
    for (let i = 0; i < this.#lent; i++) this.#frames.free(this.#i32[(this.#rxList >> 2) + i * 2]!);
    for (let i = 0; i < this.#waiting; i++) {
      this.#frames.free(this.#i32[(this.#txList >> 2) + i * 2]!);
    }
    this.#lent = 0;
    this.#waiting = 0;
  }
}

/**
 * A driver around a driver that writes every frame to a pcap file, which Wireshark and tshark open.
 *
 * - Both directions in one file, in the order the dataplane saw them; transmitted frames as handed
 *   to the driver (some may be dropped by it).
 * - Time is the `clock`: all frames of a batch carry the batch's time. It starts at `startMs`
 *   (default: now), so a run under virtual time gives the same file each time.
 * - Frames gather in a buffer of fixed size in the arena; it is written out when half full (at
 *   `kick`), when a frame does not fit, before sleeping, and on close. Writing blocks the thread: a
 *   tool, not for service.
 *
 * Used by dataplane/nics.ts (`--capture`). Read first: draft-ietf-opsawg-pcap.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Arena } from '../../arena/arena.ts';
import type { Clock } from '../../arena/clock.ts';
import type { Nic } from '../nic.ts';
import { AroundNic } from './around.ts';

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const LINKTYPE_ETHERNET = 1;
const HEADER_BYTES = 24;
const RECORD_BYTES = 16;
const SECOND_US = 1_000_000;

export interface CaptureOptions {
  /** The file's path; or its descriptor, open for writing, which stays the caller's. */
  path: string | number;
  /** Bytes kept of each frame, default all. */
  snapBytes?: number;
  /** Resolution of the file; the clock has microseconds either way. */
  nanoseconds?: boolean;
  /** Time of the first clock reading, milliseconds since 1970. */
  startMs?: number;
  bufferBytes?: number;
}

export class Capture extends AroundNic {
  readonly #arena: Arena;
  readonly #clock: Clock;
  readonly #snapBytes: number;
  readonly #fractionPerUs: number;
  readonly #buffer: number;
  readonly #bufferBytes: number;
  #fill = 0;
  #file: number;
  readonly #isOurs: boolean;
  /** The clock when last read (not before the first frame), and the time of day then. */
  #lastUs = 0;
  #isRunning = false;
  #seconds: number;
  #microseconds: number;

  constructor(inner: Nic, arena: Arena, clock: Clock, options: CaptureOptions) {
    super(inner, `captured ${inner.name}`);
    this.#arena = arena;
    this.#clock = clock;
    this.#snapBytes = options.snapBytes ?? 65_535;
    this.#fractionPerUs = options.nanoseconds ? 1000 : 1;
    this.#bufferBytes = options.bufferBytes ?? 2 ** 20;
    this.#buffer = arena.carve('capture', this.#bufferBytes);
    const startMs = options.startMs ?? Date.now();
    this.#seconds = Math.floor(startMs / 1000) | 0;
    this.#microseconds = Math.round((startMs % 1000) * 1000) | 0;
    const { path } = options;
    this.#isOurs = typeof path === 'string';
    this.#file = typeof path === 'string' ? openSync(path, 'w') : path;
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, options.nanoseconds ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, true);
    header.setUint16(4, 2, true);
    header.setUint16(6, 4, true);
    header.setUint32(16, this.#snapBytes, true);
    header.setUint32(20, LINKTYPE_ETHERNET, true);
    writeSync(this.#file, header);
  }

  override receive(max: number): number {
    const count = this.inner.receive(max);
    for (let i = 0; i < count; i++) this.#record(this.rxOffsets[i]!, this.rxLengths[i]!);
    return count;
  }

  override transmit(offset: number, length: number): void {
    this.#record(offset, length);
    this.inner.transmit(offset, length);
  }

  override kick(): void {
    this.inner.kick();
    if (this.#fill > this.#bufferBytes >> 1) this.flush();
  }

  override prepareSleep(): boolean {
    this.flush();
    return super.prepareSleep();
  }

  override close(): void {
    this.inner.close();
    if (this.#file < 0) return;
    this.flush();
    if (this.#isOurs) closeSync(this.#file);
    this.#file = -1;
  }

  /** Writes out what is buffered. */
  flush(): void {
    for (let done = 0; done < this.#fill; ) {
      done += writeSync(this.#file, this.#arena.u8, this.#buffer + done, this.#fill - done);
    }
    this.#fill = 0;
  }

  #record(offset: number, length: number): void {
    const kept = Math.min(length, this.#snapBytes);
    if (this.#fill + RECORD_BYTES + kept > this.#bufferBytes) this.flush();
    this.#readClock();
    const { view } = this.#arena;
    const at = this.#buffer + this.#fill;
    view.setUint32(at, this.#seconds, true);
    view.setUint32(at + 4, this.#microseconds * this.#fractionPerUs, true);
    view.setUint32(at + 8, kept, true);
    view.setUint32(at + 12, length, true);
    this.#arena.kernels.copy(at + RECORD_BYTES, offset, kept);
    this.#fill = (this.#fill + RECORD_BYTES + kept) | 0;
  }

  #readClock(): void {
    if (!this.#isRunning) {
      this.#isRunning = true;
      this.#lastUs = this.#clock.us;
    }
    const elapsedUs = (this.#clock.us - this.#lastUs) | 0;
    if (elapsedUs <= 0) return;
    this.#lastUs = this.#clock.us;
    const microseconds = this.#microseconds + elapsedUs;
    this.#seconds = (this.#seconds + Math.floor(microseconds / SECOND_US)) | 0;
    this.#microseconds = (microseconds % SECOND_US) | 0;
  }
}

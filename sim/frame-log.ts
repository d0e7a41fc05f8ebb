/**
 * The last frames of a run, to be told when it fails, and all of them as a pcap file when asked
 * for.
 *
 * - A frame is logged when it is sent, with its fate: what a tap beside the sender would see.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { FRAME_BYTES } from '../src/limits.ts';
import { describeFrame } from '../src/nic/around/trace.ts';

const KEPT = 40;

export class FrameLog {
  readonly #bytes = Buffer.alloc(KEPT * FRAME_BYTES);
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
  readonly #lengths = new Int32Array(KEPT);
  readonly #times = new Float64Array(KEPT);
  readonly #fates: string[] = [];
  #count = 0;
  #pcap = -1;
  readonly #record = Buffer.alloc(16);

  /** Every frame from now on goes to this file. */
  capture(path: string): void {
    this.#pcap = openSync(path, 'w');
    const header = Buffer.alloc(24);
    header.writeUInt32LE(0xa1b2c3d4, 0);
    header.writeUInt16LE(2, 4);
    header.writeUInt16LE(4, 6);
    header.writeUInt32LE(65_535, 16);
    header.writeUInt32LE(1, 20); // Ethernet
    writeSync(this.#pcap, header);
  }

  add(nowUs: number, bytes: Uint8Array, offset: number, length: number, fate: string): void {
    const slot = this.#count++ % KEPT;
    this.#bytes.set(bytes.subarray(offset, offset + length), slot * FRAME_BYTES);
    this.#lengths[slot] = length;
    this.#times[slot] = nowUs;
    this.#fates[slot] = fate;
    if (this.#pcap >= 0) this.#write(nowUs, slot * FRAME_BYTES, length);
  }

  #write(nowUs: number, at: number, length: number): void {
    const record = this.#record;
    record.writeUInt32LE(Math.floor(nowUs / 1e6), 0);
    record.writeUInt32LE(nowUs % 1e6, 4);
    record.writeUInt32LE(length, 8);
    record.writeUInt32LE(length, 12);
    writeSync(this.#pcap, record);
    writeSync(this.#pcap, this.#bytes, at, length);
  }

  /** The last frames, one line each, oldest first. */
  last(count = 30): string[] {
    const lines: string[] = [];
    for (let i = Math.max(0, this.#count - Math.min(count, KEPT)); i < this.#count; i++) {
      const slot = i % KEPT;
      const text = describeFrame(this.#view, slot * FRAME_BYTES, this.#lengths[slot]!);
      const seconds = (this.#times[slot]! / 1e6).toFixed(6).padStart(12);
      lines.push(`${seconds} ${text}${this.#fates[slot] ? ` (${this.#fates[slot]})` : ''}`);
    }
    return lines;
  }

  close(): void {
    if (this.#pcap >= 0) closeSync(this.#pcap);
    this.#pcap = -1;
    this.#count = 0;
  }
}

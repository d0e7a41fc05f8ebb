/**
 * Answers of the binary protocol: a header of 24 bytes, and what is behind it, in scratch space.
 *
 * - `take` remembers what a header repeats of its request. `begin` writes a header, `at` is where
 *   its body goes on; numbers are big-endian.
 * - An error has a status and a text, as memcached words them.
 *
 * Called by binary.ts. Read first: memcached's doc/protocol-binary.txt.
 */
import type { KvConnection, KvHost, Memory } from './host.ts';
import { COPY_MAX, type Replies } from './replies.ts';

export const HEADER = 24;
const SCRATCH_BYTES = 2048;
const RESPONSE = 0x81;

export const STATUS = {
  ok: 0,
  notFound: 1,
  exists: 2,
  tooLarge: 3,
  invalid: 4,
  notStored: 5,
  notNumeric: 6,
  unknown: 0x81,
  noMemory: 0x82,
} as const;

const TEXTS: readonly (readonly [status: number, text: string])[] = [
  [STATUS.notFound, 'Not found'],
  [STATUS.exists, 'Data exists for key.'],
  [STATUS.tooLarge, 'Too large.'],
  [STATUS.invalid, 'Invalid arguments'],
  [STATUS.notStored, 'Not stored.'],
  [STATUS.notNumeric, 'Non-numeric server-side value for incr or decr'],
  [STATUS.unknown, 'Unknown command'],
  [STATUS.noMemory, 'Out of memory allocating item'],
];

export class BinaryAnswer {
  at = 0;
  readonly start: number;
  /** Of the request. */
  opcode = 0;
  opaque = 0;
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  readonly #copy: Memory['kernels']['copy'];
  readonly #replies: Replies;
  /** By status: where its text lies. */
  readonly #offsets = new Int32Array(256);
  readonly #lengths = new Int32Array(256);

  static readonly valueMax: number = COPY_MAX;

  constructor(host: KvHost, replies: Replies) {
    this.#view = host.view;
    this.#u8 = host.u8;
    this.#copy = host.kernels.copy;
    this.#replies = replies;
    this.start = host.alloc(SCRATCH_BYTES, 64);
    for (const [status, words] of TEXTS) {
      const span = host.text(words);
      this.#offsets[status] = span.offset;
      this.#lengths[status] = span.length;
    }
  }

  get length(): number {
    return this.at - this.start;
  }

  take(opcode: number, opaque: number): void {
    this.opcode = opcode;
    this.opaque = opaque;
  }

  begin(
    status: number,
    extras: number,
    key: number,
    body: number,
    casLo: number,
    casHi: number,
  ): void {
    const view = this.#view;
    const start = this.start;
    this.#u8[start] = RESPONSE;
    this.#u8[start + 1] = this.opcode;
    view.setUint16(start + 2, key, false);
    this.#u8[start + 4] = extras;
    this.#u8[start + 5] = 0;
    view.setUint16(start + 6, status, false);
    view.setInt32(start + 8, body, false);
    view.setInt32(start + 12, this.opaque, true);
    view.setInt32(start + 16, casHi, false);
    view.setInt32(start + 20, casLo, false);
    this.at = start + HEADER;
  }

  u32(value: number): void {
    this.#view.setInt32(this.at, value, false);
    this.at += 4;
  }

  append(start: number, length: number): void {
    this.#copy(this.at, start, length);
    this.at += length;
  }

  send(c: KvConnection, record: number): void {
    this.#replies.reply(c, record, this.start, this.length);
  }

  /** An answer without a body. */
  ok(c: KvConnection, record: number, casLo: number, casHi: number): void {
    this.begin(STATUS.ok, 0, 0, 0, casLo, casHi);
    this.send(c, record);
  }

  error(c: KvConnection, record: number, status: number): void {
    const length = this.#lengths[status]!;
    this.begin(status, 0, 0, length, 0, 0);
    this.append(this.#offsets[status]!, length);
    this.send(c, record);
  }

  /** An error, and then the end of the connection. */
  refuse(c: KvConnection, record: number, status: number): void {
    this.error(c, record, status);
    this.#replies.end(c, record);
  }
}

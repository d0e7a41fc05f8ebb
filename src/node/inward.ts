/**
 * The reading half of a handle: bytes from its conduit to whoever reads the handle.
 *
 * - net.js is given bytes by `onread`, as it is by a socket of the kernel's. A native reader (TLS,
 *   http's parser, nghttp2) is given them by C++ (`readBuffer`), from the moment on in which
 *   somebody asks whether the handle is a StreamBase: only native readers ask. Both ways are right
 *   for net.js, so a question too many costs time only.
 * - Between readStop and readStart nothing is told, neither bytes nor the end nor a reset: what the
 *   conduit brings all the same is kept. readStart calls nobody back by itself.
 * - A reset drops what is kept, as the kernel does.
 *
 * Called by handle.ts.
 */
import type { Conduit } from './conduit.ts';
import { EOF } from './errno.ts';
import { type JsStream, node } from './internals.ts';
import type { Slab } from './slab.ts';
import { tick } from './ticks.ts';
import { TLS, Units } from './units.ts';

/** Runs a function in an async context. */
export type Context = <T>(run: (...args: never[]) => T, ...args: unknown[]) => T;

const { words, read, offset: at } = node.state;

const call = (reader: JsStream, memory?: ArrayBuffer): unknown =>
  reader.onread.call(reader, memory);

export class Inward {
  /** Bytes handed over. */
  bytes = 0;
  isReading = false;
  /** Its reader is C++. */
  isNative = false;
  /** Where it was connected; an accepted one has none. */
  context: Context | undefined;
  /** TLS over it, whose reader hears of errors. */
  wrap: JsStream | undefined;
  readonly #handle: JsStream;
  readonly #slab: Slab;
  #kept: Buffer[] = [];
  /** What follows the bytes: EOF, or -errno; 0: nothing yet. */
  #last = 0;
  #isLastTold = false;
  #isScheduled = false;
  #userBuffer: Uint8Array | undefined;
  /** What a native reader's bytes are made of; null: of nothing that is known. */
  #units: Units | null | undefined;

  constructor(handle: JsStream, slab: Slab) {
    this.#handle = handle;
    this.#slab = slab;
  }

  /** The end has been told. */
  get isOver(): boolean {
    return this.#isLastTold;
  }

  useUserBuffer(buffer: Uint8Array): void {
    this.#userBuffer = buffer;
  }

  start(conduit: Conduit | undefined): void {
    this.isReading = true;
    if (this.#kept.length > 0 || (this.#last !== 0 && !this.#isLastTold)) this.#soon(conduit);
    else conduit?.resume();
  }

  stop(conduit: Conduit | undefined): void {
    this.isReading = false;
    conduit?.pause();
  }

  #soon(conduit: Conduit | undefined): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#catchUp();
      if (this.isReading) conduit?.resume();
    });
  }

  /** Nobody reads any more. */
  close(): void {
    this.isReading = false;
    this.#kept = [];
    this.#isLastTold = true;
  }

  arrived(memory: Buffer, offset: number, length: number): void {
    if (this.isReading && this.#kept.length === 0) return this.#hand(memory, offset, length);
    this.#kept.push(Buffer.from(memory.subarray(offset, offset + length)));
  }

  #catchUp(): void {
    while (this.isReading && this.#kept.length > 0) {
      const piece = this.#kept.shift()!;
      this.#hand(piece, 0, piece.length);
    }
    if (this.#kept.length === 0) this.#tellLast();
  }

  #hand(memory: Buffer, offset: number, length: number): void {
    if (this.#userBuffer !== undefined && !this.isNative) {
      return this.#intoUserBuffer(memory, offset, length);
    }
    if (this.isNative) return this.#intoNative(memory, offset, offset + length);
    this.bytes += length;
    const slab = this.#slab;
    slab.copy(memory, offset, length);
    words[read] = length;
    words[at] = slab.offset;
    this.#tell(this.#handle, slab.memory);
  }

  /**
   * TLS and HTTP/2 are given one record or frame at a time, each a callback as from C++: so a
   * program has seen what one of them says (handshake done, a session, bytes) before the next is
   * looked at, as behind a read of the kernel's.
   */
  #intoNative(memory: Buffer, offset: number, end: number): void {
    if (this.#units === undefined) {
      const first = (): Buffer => memory.subarray(offset, end);
      this.#units = (this.wrap ? new Units(TLS) : Units.startingWith(first())) ?? null;
    }
    for (let from = offset; from < end; ) {
      if (!this.isReading) {
        if (!this.#isLastTold) this.#kept.unshift(Buffer.from(memory.subarray(from, end)));
        return;
      }
      const behind = this.#units?.behind(memory, from, end) ?? end;
      this.bytes += behind - from;
      this.#handle.readBuffer(memory.subarray(from, behind));
      from = behind;
      if (from < end) tick();
    }
  }

  #tell(reader: JsStream, memory?: ArrayBuffer): unknown {
    const { context } = this;
    return context === undefined ? call(reader, memory) : context(call, reader, memory);
  }

  /** The `onread` option: the program's own buffer, full at most, or the next one it answers. */
  #intoUserBuffer(memory: Buffer, offset: number, length: number): void {
    const end = offset + length;
    for (let from = offset; from < end; ) {
      if (!this.isReading) {
        this.#kept.unshift(Buffer.from(memory.subarray(from, end)));
        return;
      }
      const buffer = this.#userBuffer!;
      const part = Math.min(end - from, buffer.length);
      buffer.set(memory.subarray(from, from + part));
      from += part;
      this.bytes += part;
      words[read] = part;
      const next = this.#tell(this.#handle);
      if (next instanceof Uint8Array) this.#userBuffer = next;
    }
  }

  /** The other end has closed its side: told behind all bytes. */
  ended(): void {
    this.#last ||= EOF;
    if (this.isReading && this.#kept.length === 0) this.#tellLast();
  }

  /** Its life is over, by -errno: told at once, or when somebody reads. */
  failed(status: number): void {
    if (this.#isLastTold) return;
    this.#last = status;
    this.#kept = [];
    if (this.isReading) this.#tellLast();
  }

  #tellLast(): void {
    if (this.#last === 0 || this.#isLastTold || !this.isReading) return;
    this.#isLastTold = true;
    if (this.isNative && this.#last === EOF) return this.#handle.emitEOF();
    words[read] = this.#last;
    this.#tell(this.wrap ?? this.#handle);
  }
}

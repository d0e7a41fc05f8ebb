/**
 * The writing half of a handle: bytes from net.js or from C++ to its conduit.
 *
 * - net.js asks with a call that answers 0 (done), -errno, or a request that is completed later:
 *   the conduit had not room for all, and the rest waits here, in order, until it has.
 * - C++ (TLS, HTTP/2) gives a request of its own, which is always completed later.
 * - FIN goes behind what waits.
 *
 * Called by handle.ts.
 */
import type { Conduit, TextEncoding } from './conduit.ts';
import { ECANCELED } from './errno.ts';
import { node } from './internals.ts';

/** What net.js waits for: it puts `oncomplete` in when it has been given one. */
export interface WriteRequest {
  oncomplete: ((status: number) => void) | null;
  /** null: not completed yet. */
  readonly writeStatus: null;
}

type Done = (status: number) => void;

interface Waiting {
  readonly bytes: Uint8Array;
  from: number;
  /** Of its request's last piece. */
  done: Done | undefined;
}

const { words, written, error } = node.state;

export class Outward {
  /** Bytes given to be written. */
  bytes = 0;
  #waiting: Waiting[] = [];
  #shutdown: Done | undefined;
  hasShutDown = false;

  get isWaiting(): boolean {
    return this.#waiting.length > 0 || this.#shutdown !== undefined;
  }

  /** Bytes that the conduit has not taken. */
  get waitingBytes(): number {
    return this.#waiting.reduce((sum, { bytes, from }) => sum + bytes.length - from, 0);
  }

  // --- from net.js ---

  write(conduit: Conduit, bytes: Uint8Array): 0 | WriteRequest {
    this.#put(conduit, bytes);
    return this.#answer(bytes.length);
  }

  writeText(conduit: Conduit, text: string, encoding: TextEncoding): 0 | WriteRequest {
    return this.#answer(this.#putText(conduit, text, encoding));
  }

  writeChunks(conduit: Conduit, chunks: readonly unknown[], isAllBuffers: boolean) {
    let length = 0;
    if (isAllBuffers) {
      for (const chunk of chunks as Uint8Array[]) {
        length += chunk.length;
        this.#put(conduit, chunk);
      }
      return this.#answer(length);
    }
    // Pairs: a chunk, and its encoding or 'buffer'.
    for (let i = 0; i < chunks.length; i += 2) {
      const chunk = chunks[i] as string | Uint8Array;
      if (typeof chunk !== 'string') {
        length += chunk.length;
        this.#put(conduit, chunk);
      } else length += this.#putText(conduit, chunk, chunks[i + 1] as BufferEncoding);
    }
    return this.#answer(length);
  }

  #putText(conduit: Conduit, text: string, encoding: BufferEncoding): number {
    const known = ENCODINGS[encoding];
    const taken =
      known === undefined || this.#waiting.length > 0 ? -1 : conduit.writeText(text, known);
    if (taken >= 0) {
      this.bytes += taken;
      return taken;
    }
    const bytes = Buffer.from(text, encoding);
    this.#put(conduit, bytes);
    return bytes.length;
  }

  #put(conduit: Conduit, bytes: Uint8Array): void {
    this.bytes += bytes.length;
    const isBehind = this.#waiting.length > 0;
    const taken = isBehind ? 0 : conduit.write(bytes, 0);
    if (isBehind || taken < bytes.length) {
      this.#waiting.push({ bytes, from: taken, done: undefined });
    }
  }

  #answer(length: number): 0 | WriteRequest {
    words[written] = length;
    words[error] = 0;
    const last = this.#waiting.at(-1);
    if (last === undefined) return 0;
    const request: WriteRequest = { oncomplete: null, writeStatus: null };
    last.done = (status) => request.oncomplete?.(status);
    return request;
  }

  // --- from C++ ---

  /** `done` is called later, in any case. */
  writeNative(conduit: Conduit, buffers: readonly Uint8Array[], done: Done): void {
    for (const buffer of buffers) this.#put(conduit, buffer);
    const last = this.#waiting.at(-1);
    if (last === undefined) process.nextTick(done, 0);
    else last.done = done;
  }

  // --- from below ---

  drained(conduit: Conduit): void {
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0]!;
      next.from += conduit.write(next.bytes, next.from);
      if (next.from < next.bytes.length) return;
      this.#waiting.shift();
      next.done?.(0);
    }
    if (this.#shutdown !== undefined) this.#finish(conduit);
  }

  // --- the end ---

  /** `done` is called later. */
  shutdown(conduit: Conduit, done: Done): void {
    this.#shutdown = done;
    if (this.#waiting.length === 0) process.nextTick(() => this.#finish(conduit));
  }

  #finish(conduit: Conduit): void {
    const done = this.#shutdown;
    if (done === undefined) return;
    this.#shutdown = undefined;
    this.hasShutDown = true;
    // As the kernel's: told in a later turn of the event loop, in which a program may still ask the
    // socket that it has just heard the last of; but before a peer in this thread hears of it.
    setImmediate(done, 0);
    conduit.end();
  }

  /** What waits is not sent any more: its requests are to be completed with `status`. */
  cancel(status = ECANCELED): void {
    const waiting = this.#waiting;
    const shutdown = this.#shutdown;
    this.#waiting = [];
    this.#shutdown = undefined;
    for (const { done } of waiting) done?.(status);
    shutdown?.(status);
  }
}

/** Those that a conduit can write by itself. */
const ENCODINGS: Readonly<Record<string, TextEncoding>> = {
  utf8: 'utf8',
  'utf-8': 'utf8',
  latin1: 'latin1',
  binary: 'latin1',
  ascii: 'latin1',
  ucs2: 'ucs2',
  'ucs-2': 'ucs2',
  utf16le: 'ucs2',
  'utf-16le': 'ucs2',
};

/**
 * Application memory as libix hands it out: a bump allocator for start-up, and two pools of blocks
 * that connections borrow while bytes are on the way.
 *
 * - Send blocks hold bytes that `write` copied until the peer has acknowledged them.
 * - Gather blocks hold a message that arrived in pieces until it is whole.
 * - An idle connection holds no block.
 */
import { integer, isInt } from './arguments.ts';

export const SEND_BLOCK_BYTES = 2048;
export const GATHER_BYTES = 8192;

export class ApplicationMemoryError extends Error {
  readonly code = 'IX_APPLICATION_MEMORY';
}

export class ApplicationMemory {
  readonly #start: number;
  readonly #end: number;
  #next: number;

  constructor(offset: number, bytes: number) {
    this.#start = offset;
    this.#next = offset;
    this.#end = offset + bytes;
  }

  /** Whether these bytes can be sent from where they lie (src/gate/abi.ts sendv). */
  holds(offset: number, length: number): boolean {
    if (!isInt(offset) || !isInt(length)) return false;
    return length >= 0 && offset >= this.#start && length <= this.#end - offset;
  }

  get free(): number {
    return this.#end - this.#next;
  }

  alloc(bytes: number, alignment = 8): number {
    integer('alloc: bytes', bytes, 0);
    integer('alloc: alignment', alignment, 1);
    const offset = Math.ceil(this.#next / alignment) * alignment;
    if (offset + bytes > this.#end) {
      throw new ApplicationMemoryError(
        `application memory: ${bytes} bytes asked, ${this.free} free; start with more (--memory MiB)`,
      );
    }
    this.#next = offset + bytes;
    return offset;
  }
}

/** A pool of equal blocks: a free stack of offsets. */
export class Blocks {
  readonly blockBytes: number;
  readonly #stack: Int32Array;
  readonly count: number;
  #free: number;

  constructor(memory: ApplicationMemory, count: number, blockBytes: number) {
    this.blockBytes = blockBytes;
    this.count = count;
    this.#stack = new Int32Array(count);
    const base = memory.alloc(count * blockBytes, 64);
    for (let i = 0; i < count; i++) this.#stack[i] = base + (count - 1 - i) * blockBytes;
    this.#free = count;
  }

  get free(): number {
    return this.#free;
  }

  /** Offset of a block, or -1 when all are lent. */
  take(): number {
    if (this.#free === 0) return -1;
    this.#free = (this.#free - 1) | 0;
    return this.#stack[this.#free]!;
  }

  give(offset: number): void {
    this.#stack[this.#free] = offset;
    this.#free = (this.#free + 1) | 0;
  }
}

/**
 * Memory that received bytes are copied into: they become the program's, who may keep them as long
 * as he likes.
 *
 * - Small pieces share a slab, as Node's own buffers do; a long one has memory of its own.
 *
 * Called by inward.ts.
 */
const SLAB_BYTES = 65_536;
const OWN_BYTES = SLAB_BYTES / 4;
const ALIGNMENT = 8;

export class Slab {
  /** Where the last piece lies. */
  memory: ArrayBuffer = new ArrayBuffer(0);
  offset = 0;
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #used = 0;

  /** Copies `length` bytes; `memory` and `offset` say where they are until the next one. */
  copy(from: Uint8Array, offset: number, length: number): void {
    const isOwn = length >= OWN_BYTES;
    if (!isOwn && this.#used + length > SLAB_BYTES) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#used = 0;
    }
    const target = isOwn ? Buffer.allocUnsafeSlow(length) : this.#slab;
    const at = isOwn ? 0 : this.#used;
    target.set(from.subarray(offset, offset + length), at);
    this.memory = target.buffer as ArrayBuffer;
    this.offset = target.byteOffset + at;
    if (!isOwn) this.#used = Math.ceil((at + length) / ALIGNMENT) * ALIGNMENT;
  }
}

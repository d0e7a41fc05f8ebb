/**
 * A C structure for a system call: bytes by offset, with the views its pointers name kept alive.
 *
 * - Native byte order (the machines are little-endian). Set-up code only.
 */
import { sys } from '../native/sys.ts';

export class Struct {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  /** What `pointer` named: must outlive the system call. */
  readonly #named: ArrayBufferView[] = [];

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u16(offset: number, value: number): this {
    this.#view.setUint16(offset, value, true);
    return this;
  }

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: number | bigint): this {
    this.#view.setBigUint64(offset, BigInt(value), true);
    return this;
  }

  /** The address of `view`'s first byte. */
  pointer(offset: number, view: ArrayBufferView): this {
    this.#named.push(view);
    return this.u64(offset, sys.address(view));
  }

  /** ASCII, zero padded, cut to `capacity` - 1 bytes. */
  text(offset: number, value: string, capacity: number): this {
    this.bytes.set(Buffer.from(value, 'latin1').subarray(0, capacity - 1), offset);
    return this;
  }

  readU16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  readU32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  readU64(offset: number): number {
    return Number(this.#view.getBigUint64(offset, true));
  }
}

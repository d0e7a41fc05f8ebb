/**
 * Decimal numbers in memory, read as C's strtol family reads them (memcached's safe_strto*) and
 * written.
 *
 * - `parse*` leave their result in `lo` and `hi` (int32 halves of a 64-bit number) and say whether
 *   it was one.
 * - What memcached accepts is accepted: leading blanks and a sign, and anything after the digits
 *   that begins with a blank or NUL. So `-18446744073709551615` is 1, and flags or an exptime of
 *   2^32 are 0.
 * - 64-bit arithmetic is done on two halves in doubles below 2^53: no BigInt, nothing allocated.
 */
const TWO_32 = 2 ** 32;
/** Above this a high half is negative. */
const MAX_HIGH = 2 ** 31 - 1;
const ZERO = 48;
/** A value and its CRLF are counted in an int32. */
export const LENGTH_MAX: number = 2 ** 31 - 1 - 2;

const isBlank = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);

export class Numbers {
  lo = 0;
  hi = 0;
  readonly #u8: Uint8Array;
  /** Digits, least significant first, while a number is written. */
  readonly #digits = new Uint8Array(20);

  constructor(u8: Uint8Array) {
    this.#u8 = u8;
  }

  /** strtoull: an unsigned 64-bit number. */
  parseU64(offset: number, length: number): boolean {
    const value = this.#parseDigits(offset, length);
    if (value >= 0) {
      this.lo = value;
      this.hi = 0;
      return true;
    }
    return this.#parseSlow(offset, offset + length, false);
  }

  /** strtoul into 32 bits: like memcached's, it takes 64 bits and keeps the low half. */
  parseU32(offset: number, length: number): boolean {
    return this.parseU64(offset, length);
  }

  /**
   * strtol into 32 bits: a signed 64-bit number, of which memcached keeps the low half, in `lo`.
   * Who must not be told less than was said looks at `hi`, too.
   */
  parseI32(offset: number, length: number): boolean {
    const value = this.#parseDigits(offset, length);
    if (value >= 0) {
      this.lo = value;
      this.hi = 0;
      return true;
    }
    return this.#parseSlow(offset, offset + length, true);
  }

  /**
   * The length of a value, or -1. One of more than 31 bits is none: memcached keeps its low half,
   * and then takes most of the value for commands.
   */
  parseLength(offset: number, length: number): number {
    return this.parseI32(offset, length) && this.hi === 0 && this.lo >= 0 ? this.lo : -1;
  }

  /** The common case: up to nine digits and nothing else; -1 otherwise. */
  #parseDigits(offset: number, length: number): number {
    if (length === 0 || length > 9) return -1;
    const u8 = this.#u8;
    let value = 0;
    for (let i = offset; i < offset + length; i++) {
      const digit = u8[i]! - ZERO;
      if (digit < 0 || digit > 9) return -1;
      value = (value * 10 + digit) | 0;
    }
    return value;
  }

  #parseSlow(offset: number, end: number, isSigned: boolean): boolean {
    const u8 = this.#u8;
    let i = offset;
    while (i < end && isBlank(u8[i]!)) i++;
    let isNegative = false;
    if (i < end && (u8[i] === 43 || u8[i] === 45)) {
      isNegative = u8[i] === 45;
      i++;
    }
    const first = i;
    let low = 0;
    let high = 0;
    for (; i < end; i++) {
      const digit = u8[i]! - ZERO;
      if (digit < 0 || digit > 9) break;
      const t = low * 10 + digit;
      high = high * 10 + Math.floor(t / TWO_32);
      low = t % TWO_32;
      if (high >= TWO_32) return false;
    }
    if (i === first) return false;
    if (i < end && u8[i] !== 0 && !isBlank(u8[i]!)) return false;
    return isSigned ? this.#setI32(low, high, isNegative) : this.#setU64(low, high, isNegative);
  }

  #setI32(low: number, high: number, isNegative: boolean): boolean {
    if (high > MAX_HIGH && !(isNegative && high === MAX_HIGH + 1 && low === 0)) return false;
    this.lo = low | 0;
    this.hi = high | 0;
    if (isNegative) this.#negate();
    return true;
  }

  /** A minus sign negates modulo 2^64; the result must then look positive as a signed number. */
  #setU64(low: number, high: number, isNegative: boolean): boolean {
    this.lo = low | 0;
    this.hi = high | 0;
    if (!isNegative) return true;
    this.#negate();
    return this.hi >= 0;
  }

  #negate(): void {
    this.lo = -this.lo | 0;
    this.hi = this.lo === 0 ? -this.hi | 0 : ~this.hi;
  }

  /** `lo`, `hi` += or -= the given number: modulo 2^64, or stopping at 0. */
  add(lo: number, hi: number): void {
    const sum = (this.lo >>> 0) + (lo >>> 0);
    this.lo = sum | 0;
    this.hi = (this.hi + hi + (sum >= TWO_32 ? 1 : 0)) | 0;
  }

  subtract(lo: number, hi: number): void {
    const thisHi = this.hi >>> 0;
    const thatHi = hi >>> 0;
    const borrow = this.lo >>> 0 < lo >>> 0 ? 1 : 0;
    if (thisHi < thatHi + borrow) {
      this.lo = 0;
      this.hi = 0;
      return;
    }
    this.lo = (this.lo - lo) | 0;
    this.hi = (thisHi - thatHi - borrow) | 0;
  }

  /** Writes an unsigned number of two halves at `offset`; returns how many digits. */
  writeU64(offset: number, lo: number, hi: number): number {
    if (hi === 0) return this.writeU32(offset, lo);
    const digits = this.#digits;
    let low = lo >>> 0;
    let high = hi >>> 0;
    let count = 0;
    while (high > 0 || low > 0) {
      const t = (high % 10) * TWO_32 + low;
      high = Math.floor(high / 10);
      low = Math.floor(t / 10);
      digits[count++] = ZERO + (t % 10);
    }
    for (let i = 0; i < count; i++) this.#u8[offset + i] = digits[count - 1 - i]!;
    return count;
  }

  /** Writes an unsigned 32-bit number (bits of an int32) at `offset`; returns how many digits. */
  writeU32(offset: number, value: number): number {
    const u8 = this.#u8;
    if (value >= 0 && value < 10) {
      u8[offset] = ZERO + value;
      return 1;
    }
    const digits = this.#digits;
    let count = 0;
    if (value < 0) {
      // One digit leaves an int32.
      const big = value >>> 0;
      digits[count++] = ZERO + (big % 10);
      value = Math.floor(big / 10) | 0;
    }
    while (value > 0) {
      const tenth = (value / 10) | 0;
      digits[count++] = ZERO + value - tenth * 10;
      value = tenth;
    }
    for (let i = 0; i < count; i++) u8[offset + i] = digits[count - 1 - i]!;
    return count;
  }
}

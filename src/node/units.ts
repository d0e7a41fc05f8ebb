/**
 * Where the units of a protocol end in a stream of bytes, whatever pieces it comes in: TLS's
 * records, HTTP/2's frames.
 *
 * - Of HTTP/2, a SETTINGS or PING behind another goes with what follows: nghttp2 counts a flood of
 *   them only while nothing is answered.
 * - Bytes that are neither are pieces all the same: nothing is lost or held back.
 *
 * Called by inward.ts. Read first: RFC 8446 5.1, RFC 9113 3.4 and 4.1.
 */
interface Header {
  readonly bytes: number;
  /** Where the length of the body is, big-endian, and behind it. */
  readonly lengthFrom: number;
  readonly lengthTo: number;
  readonly typeAt: number;
  /** Types, as bits, of which those behind the first do not end a unit. */
  readonly passing: number;
}

export const TLS: Header = { bytes: 5, lengthFrom: 3, lengthTo: 5, typeAt: 0, passing: 0 };
const TYPE_BITS = 32;
/** SETTINGS, PING. */
const FLOODING = (1 << 4) | (1 << 6);
export const HTTP2: Header = {
  ...{ bytes: 9, lengthFrom: 0, lengthTo: 3, typeAt: 3 },
  passing: FLOODING,
};

/** A client of HTTP/2 begins with it. */
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** A server of HTTP/2 begins with a SETTINGS frame, of stream 0. */
const SETTINGS = 4;
const STREAM_AT = 5;

export class Units {
  readonly #header: Header;
  /** Of the header of the unit that has begun. */
  #headerBytes = 0;
  /** Of its body, still to come. */
  #left = 0;
  /** It ends a unit. */
  #isLast = true;
  #type = -1;

  constructor(header: Header, prefaceBytes = 0) {
    this.#header = header;
    if (prefaceBytes === 0) return;
    this.#headerBytes = header.bytes;
    this.#left = prefaceBytes;
  }

  /** Those of a connection that begins with these bytes; undefined: none that are known. */
  static startingWith(first: Buffer): Units | undefined {
    if (first.toString('latin1', 0, PREFACE.length) === PREFACE) {
      return new Units(HTTP2, PREFACE.length);
    }
    const isHttp2 =
      first.length >= HTTP2.bytes &&
      first[HTTP2.typeAt] === SETTINGS &&
      first.readUInt32BE(STREAM_AT) === 0;
    return isHttp2 ? new Units(HTTP2) : undefined;
  }

  /** The index behind the unit that begins, or goes on, at `from`; `end` if it is longer. */
  behind(memory: Uint8Array, from: number, end: number): number {
    const { bytes, lengthFrom, lengthTo, typeAt } = this.#header;
    while (from < end) {
      for (; from < end && this.#headerBytes < bytes; from++, this.#headerBytes++) {
        const at = this.#headerBytes;
        if (at === lengthFrom) this.#left = 0;
        if (at >= lengthFrom && at < lengthTo) this.#left = (this.#left << 8) | memory[from]!;
        if (at === typeAt) this.#begins(memory[from]!);
      }
      if (this.#headerBytes < bytes) return end;
      const part = Math.min(this.#left, end - from);
      this.#left -= part;
      from += part;
      if (this.#left > 0) return end;
      this.#headerBytes = 0;
      if (this.#isLast) return from;
    }
    return end;
  }

  #begins(type: number): void {
    const isPassing = type < TYPE_BITS && ((this.#header.passing >> type) & 1) === 1;
    this.#isLast = !isPassing || type !== this.#type;
    this.#type = type;
  }
}

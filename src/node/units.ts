/**
 * Where the units of a protocol end in a stream of bytes, whatever pieces it comes in: TLS's
 * records, HTTP/2's frames.
 *
 * - Bytes that are neither are pieces all the same: nothing is lost or held back.
 *
 * Called by inward.ts. Read first: RFC 8446 5.1, RFC 9113 3.4 and 4.1.
 */
interface Header {
  readonly bytes: number;
  /** Where the length of the body is, big-endian, and behind it. */
  readonly lengthFrom: number;
  readonly lengthTo: number;
}

export const TLS: Header = { bytes: 5, lengthFrom: 3, lengthTo: 5 };
export const HTTP2: Header = { bytes: 9, lengthFrom: 0, lengthTo: 3 };

/** A client of HTTP/2 begins with it. */
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** A server of HTTP/2 begins with a SETTINGS frame, of stream 0. */
const TYPE_AT = 3;
const SETTINGS = 4;
const STREAM_AT = 5;

export class Units {
  readonly #header: Header;
  /** Of the header of the unit that has begun. */
  #headerBytes = 0;
  /** Of its body, still to come. */
  #left = 0;

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
      first[TYPE_AT] === SETTINGS &&
      first.readUInt32BE(STREAM_AT) === 0;
    return isHttp2 ? new Units(HTTP2) : undefined;
  }

  /** The index behind the unit that begins, or goes on, at `from`; `end` if it is longer. */
  behind(memory: Uint8Array, from: number, end: number): number {
    const { bytes, lengthFrom, lengthTo } = this.#header;
    for (; from < end && this.#headerBytes < bytes; from++, this.#headerBytes++) {
      if (this.#headerBytes === lengthFrom) this.#left = 0;
      if (this.#headerBytes < lengthFrom || this.#headerBytes >= lengthTo) continue;
      this.#left = (this.#left << 8) | memory[from]!;
    }
    if (this.#headerBytes < bytes) return end;
    const part = Math.min(this.#left, end - from);
    this.#left -= part;
    if (this.#left === 0) this.#headerBytes = 0;
    return from + part;
  }
}

/**
 * The netlink message format: a 16-byte header, a fixed family header, then type-length-value
 * attributes.
 *
 * - Integers are in the machine's order (little-endian here); IP addresses in network order.
 * - Attributes are aligned to 4 bytes and nest.
 *
 * Used by netlink.ts. Read first: man 7 netlink, man 3 rtnetlink; linux/netlink.h.
 */
const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const NLA_TYPE_MASK = 0x3fff;
const REQUEST_BYTES_MAX = 1024;

const align = (n: number): number => (n + 3) & ~3;

/** A request under construction. */
export class Message {
  readonly view = new DataView(new ArrayBuffer(REQUEST_BYTES_MAX));
  #end = HEADER_BYTES;

  constructor(type: number, flags: number) {
    this.view.setUint16(4, type, true);
    this.view.setUint16(6, flags, true);
  }

  /**
   * A family header of `bytes`: its first bytes, and an interface index at 4 (where all families
   * have it).
   */
  header(bytes: number, first: readonly number[] = [], index = 0): this {
    if (index !== 0) this.view.setInt32(this.#end + 4, index, true);
    new Uint8Array(this.view.buffer).set(first, this.#end);
    this.#end += bytes;
    return this;
  }

  /** Flags of a link and which of them are meant: bytes 8 and 12 of struct ifinfomsg. */
  flags(flags: number, mask: number): this {
    this.view.setUint32(HEADER_BYTES + 8, flags, true);
    this.view.setUint32(HEADER_BYTES + 12, mask, true);
    return this;
  }

  word(type: number, value: number): this {
    this.view.setUint32(this.#open(type, 4), value, true);
    return this;
  }

  /** An IPv4 address, given as a big-endian integer, or an IPv6 address as four of them. */
  address(type: number, value: number | readonly number[]): this {
    const words = typeof value === 'number' ? [value] : value;
    const at = this.#open(type, words.length * 4);
    for (const [i, word] of words.entries()) this.view.setInt32(at + 4 * i, word);
    return this;
  }

  text(type: number, value: string): this {
    const at = this.#open(type, value.length + 1);
    for (let i = 0; i < value.length; i++) this.view.setUint8(at + i, value.charCodeAt(i));
    return this;
  }

  nested(type: number, content: () => void): this {
    const start = this.#end;
    this.#open(type, 0);
    content();
    this.view.setUint16(start, this.#end - start, true);
    return this;
  }

  /** The bytes to send. */
  finish(sequence: number): Uint8Array {
    this.view.setUint32(0, this.#end, true);
    this.view.setUint32(8, sequence, true);
    return new Uint8Array(this.view.buffer, 0, this.#end);
  }

  /** Writes an attribute's header and returns where its value goes. */
  #open(type: number, bytes: number): number {
    const at = this.#end;
    this.view.setUint16(at, ATTRIBUTE_HEADER_BYTES + bytes, true);
    this.view.setUint16(at + 2, type, true);
    this.#end = align(at + ATTRIBUTE_HEADER_BYTES + bytes);
    return at + ATTRIBUTE_HEADER_BYTES;
  }
}

export interface Answer {
  type: number;
  sequence: number;
  /** Everything after the message header. */
  body: DataView;
}

export function messagesIn(bytes: Uint8Array<ArrayBuffer>, length: number): Answer[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const found: Answer[] = [];
  for (let at = 0; at + HEADER_BYTES <= length; ) {
    const size = view.getUint32(at, true);
    if (size < HEADER_BYTES || at + size > length) break;
    found.push({
      type: view.getUint16(at + 4, true),
      sequence: view.getUint32(at + 8, true),
      body: part(view, at + HEADER_BYTES, size - HEADER_BYTES),
    });
    at += align(size);
  }
  return found;
}

/** Attributes by type, from `start` to the end; the last one wins. */
export function readAttributes(body: DataView, start: number): Map<number, DataView> {
  const found = new Map<number, DataView>();
  for (let at = start; at + ATTRIBUTE_HEADER_BYTES <= body.byteLength; ) {
    const size = body.getUint16(at, true);
    if (size < ATTRIBUTE_HEADER_BYTES || at + size > body.byteLength) break;
    const type = body.getUint16(at + 2, true) & NLA_TYPE_MASK;
    found.set(type, part(body, at + ATTRIBUTE_HEADER_BYTES, size - ATTRIBUTE_HEADER_BYTES));
    at += align(size);
  }
  return found;
}

/** A zero-terminated string; '' for an attribute that is not there. */
export function textOf(value: DataView | undefined): string {
  if (!value) return '';
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

const part = (view: DataView, offset: number, length: number): DataView =>
  new DataView(view.buffer, view.byteOffset + offset, length);

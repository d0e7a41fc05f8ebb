/**
 * Questions to a name server and its answers, as far as addresses are asked for.
 *
 * - `writeQuestion` writes one question, with EDNS0 (RFC 6891) so that answers need not be cut.
 * - `readAnswer` believes nothing: a message that is not the answer to this question, or not whole,
 *   is none. Names follow pointers backwards only, so every one has an end.
 * - Addresses count that belong to the name, or to what it is another name for (CNAME), in whatever
 *   order they stand.
 *
 * Called by resolver.ts. Read first: RFC 1035 4; RFC 5452 9.1.
 */
import { formatIpv6 } from '../wire/ipv6-text.ts';

export const TYPE_A = 1;
export const TYPE_AAAA = 28;
const TYPE_CNAME = 5;
const TYPE_OPT = 41;
const CLASS_IN = 1;

const HEADER_BYTES = 12;
const RECORD_BYTES = 10;
const FLAGS_RECURSION_DESIRED = 0x0100;
const FLAG_ANSWER = 0x8000;
const FLAG_CUT = 0x0200;
const RCODE = 0x000f;
/** What fits an Ethernet frame wherever it comes through. */
const ANSWER_MAX = 1232;
const LABEL_MAX = 63;
const NAME_MAX = 253;
const POINTER = 0xc0;
/** Other names of other names. */
const ALIASES_MAX = 16;
/** Longest question: header, name, type and class, EDNS0. */
export const QUESTION_BYTES_MAX = 512;

export interface Answer {
  /** 0: no error, 3: there is no such name. */
  readonly rcode: number;
  readonly isCut: boolean;
  readonly addresses: readonly string[];
}

/** Whether it can be asked for: labels of 1 to 63 bytes, 253 in all. */
export function isName(name: string): boolean {
  if (name.length === 0 || name.length > NAME_MAX || /[^\x21-\x7e]/.test(name)) return false;
  return name.split('.').every((label) => label.length > 0 && label.length <= LABEL_MAX);
}

/** A name that `isName`, into `to`: the question's bytes. */
export function writeQuestion(to: Buffer, id: number, name: string, type: number): number {
  to.writeUInt16BE(id, 0);
  to.writeUInt16BE(FLAGS_RECURSION_DESIRED, 2);
  [1, 0, 0, 1].forEach((count, i) => void to.writeUInt16BE(count, 4 + 2 * i));
  let at = HEADER_BYTES;
  for (const label of name.split('.')) {
    at = to.writeUInt8(label.length, at);
    at += to.write(label, at, 'latin1');
  }
  at = to.writeUInt8(0, at);
  for (const word of [type, CLASS_IN]) at = to.writeUInt16BE(word, at);
  at = to.writeUInt8(0, at); // the root, for OPT
  for (const word of [TYPE_OPT, ANSWER_MAX, 0, 0, 0]) at = to.writeUInt16BE(word, at);
  return at;
}

/** Reads on from `at`; what does not fit throws, and `readAnswer` says undefined. */
class Reader {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  word(): number {
    this.at += 2;
    return this.#bytes.readUInt16BE(this.at - 2);
  }

  take(length: number): Buffer {
    if (this.at + length > this.#bytes.length) throw new RangeError('cut');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  /** In lower case, without the dot at its end. */
  name(): string {
    const labels: string[] = [];
    let at = this.at;
    let end = 0;
    for (let length = 0, lowest = at; ; ) {
      const first = this.#bytes.readUInt8(at);
      if (first === 0) break;
      if (first >= POINTER) {
        const to = this.#bytes.readUInt16BE(at) & 0x3fff;
        if (to >= lowest) throw new RangeError('a pointer forwards');
        end ||= at + 2;
        at = lowest = to;
        continue;
      }
      length += first + 1;
      if (first > LABEL_MAX || length > NAME_MAX + 1) throw new RangeError('no name');
      if (at + 1 + first > this.#bytes.length) throw new RangeError('cut');
      labels.push(this.#bytes.toString('latin1', at + 1, at + 1 + first).toLowerCase());
      at += 1 + first;
    }
    this.at = end || at + 1;
    return labels.join('.');
  }
}

interface Record {
  readonly owner: string;
  readonly type: number;
  /** Of A and AAAA the address, of CNAME the name. */
  readonly data: string;
}

/** undefined: not the answer to this question. */
export function readAnswer(
  bytes: Buffer,
  id: number,
  name: string,
  type: number,
): Answer | undefined {
  try {
    return answerOf(bytes, id, name.toLowerCase(), type);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function answerOf(bytes: Buffer, id: number, name: string, type: number): Answer | undefined {
  const reader = new Reader(bytes, 0);
  if (reader.word() !== id) return undefined;
  const flags = reader.word();
  const [questions, answers] = [reader.word(), reader.word()];
  if ((flags & FLAG_ANSWER) === 0 || questions !== 1) return undefined;
  reader.at = HEADER_BYTES;
  if (reader.name() !== name || reader.word() !== type || reader.word() !== CLASS_IN) {
    return undefined;
  }
  const isCut = (flags & FLAG_CUT) !== 0;
  const records = recordsOf(reader, answers, isCut);
  return { rcode: flags & RCODE, isCut, addresses: addressesOf(records, name, type) };
}

/** One that is cut has the records that are whole. */
function recordsOf(reader: Reader, count: number, isCut: boolean): Record[] {
  const records: Record[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const owner = reader.name();
      const [type, kind] = [reader.word(), reader.word()];
      reader.take(RECORD_BYTES - 6); // time to live: nothing is kept
      const length = reader.word();
      const end = reader.at + length;
      if (type === TYPE_CNAME) records.push({ owner, type, data: reader.name() });
      else if (kind === CLASS_IN && length === bytesOf(type)) {
        records.push({ owner, type, data: addressText(reader.take(length)) });
      }
      reader.at = end;
    }
  } catch (error) {
    if (!isCut || !(error instanceof RangeError)) throw error;
  }
  return records;
}

const bytesOf = (type: number): number => (type === TYPE_A ? 4 : type === TYPE_AAAA ? 16 : -1);

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  return formatIpv6([0, 4, 8, 12].map((at) => bytes.readInt32BE(at)));
}

function addressesOf(records: readonly Record[], name: string, type: number): string[] {
  const names = new Set([name]);
  for (let i = 0; i < ALIASES_MAX; i++) {
    const known = names.size;
    for (const each of records) {
      if (each.type === TYPE_CNAME && names.has(each.owner)) names.add(each.data);
    }
    if (names.size === known) break;
  }
  return records
    .filter((each) => each.type === type && names.has(each.owner))
    .map(({ data }) => data);
}

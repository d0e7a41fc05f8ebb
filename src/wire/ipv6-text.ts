/**
 * IPv6 addresses as people write them, and as the stack has them: four big-endian words as int32.
 *
 * - Reads every form of RFC 4291 2.2 (`::`, an IPv4 address at the end), writes RFC 5952's.
 * - Allocates: for set-up, messages and traces, never for service.
 */
import { isIPv6 } from 'node:net';
import { formatIpv4 } from './ipv4-text.ts';

/** Four words, or undefined when it is no IPv6 address. No zones ('%eth0'): there is one link. */
export function parseIpv6(text: string): number[] | undefined {
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const plain = dotted ? dotted[1] + hexOf(dotted.slice(2).map(Number)) : text;
  const [head = '', tail] = plain.split('::') as [string, string | undefined];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array<string>(8 - left.length - right.length).fill('0');
  const groups = [...left, ...zeros, ...right].map((group) => Number.parseInt(group, 16));
  return [0, 2, 4, 6].map((i) => (groups[i]! << 16) | groups[i + 1]!);
}

const hexOf = ([a = 0, b = 0, c = 0, d = 0]: number[]): string =>
  `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;

/** The first longest run of two or more zero groups is '::'; IPv4-mapped ones end dotted. */
export function formatIpv6(words: ArrayLike<number>): string {
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = Array.from(words);
  if (w0 === 0 && w1 === 0 && w2 === 0xffff) {
    return `::ffff:${formatIpv4(w3)}`;
  }
  const groups = [w0, w1, w2, w3].flatMap((word) => [word >>> 16, word & 0xffff]);
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run++;
    if (run <= length) continue;
    start = i;
    length = run;
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (start < 0) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** 16 bytes in the order of the wire. */
export const bytesOfIpv6 = (words: ArrayLike<number>): Uint8Array =>
  Uint8Array.from(
    Array.from(words).flatMap((word) => [
      word >>> 24,
      (word >>> 16) & 255,
      (word >>> 8) & 255,
      word & 255,
    ]),
  );

/** Four words from 16 bytes. */
export const wordsOfIpv6 = (view: DataView<ArrayBufferLike>, at: number): number[] =>
  [0, 4, 8, 12].map((i) => view.getInt32(at + i));

/**
 * The memory that a raw application sends from: the pattern itself, or a ring that is overwritten
 * as soon as `sent` (or `dead`) gives its bytes back. A stack that still needs them then sends
 * garbage, and the observer sees it.
 */
import { patternIndex } from './content.ts';
import type { Endpoint } from './endpoint.ts';

const POISON = 0xee;
/** The pattern is contiguous for at least so many bytes from anywhere in its first half. */
const PIECE_MAX = 65_000;

export interface Place {
  offset: number;
  length: number;
}

/** Where the next bytes of the stream stand in application memory; length 0: the ring is full. */
export function place(pattern: Buffer, e: Endpoint, want: number): Place {
  const from = patternIndex(e.key, e.accepted);
  const most = Math.min(want, PIECE_MAX);
  if (e.ring < 0) return { offset: e.host.pattern + from, length: most };
  const { ringBytes } = e.plan;
  const at = e.accepted % ringBytes;
  const length = Math.min(most, ringBytes - at, ringBytes - (e.accepted - e.acked));
  pattern.copy(e.host.memory, e.ring + at, from, from + length);
  return { offset: e.ring + at, length };
}

/** The stream's bytes from `position` on are the application's again. */
export function giveBack(e: Endpoint, position: number, bytes: number): void {
  if (e.ring < 0) return;
  const { ringBytes } = e.plan;
  const at = position % ringBytes;
  const part = Math.min(bytes, ringBytes - at);
  e.host.memory.fill(POISON, e.ring + at, e.ring + at + part);
  e.host.memory.fill(POISON, e.ring, e.ring + bytes - part);
}

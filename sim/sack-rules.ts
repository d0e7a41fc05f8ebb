/**
 * Selective acknowledgement as the wire shows it: what may be named, and what must not be sent
 * again (observer.ts has the rest of TCP's rules).
 *
 * - A DSACK names what has arrived twice, and once each: never more of them than duplicates.
 * - What was selectively acknowledged is not sent again, unless the receiver shows that it has
 *   dropped it (RFC 2018 8). Only acknowledgements count that the sender must have taken: in order,
 *   and not older than others. After that, nothing is held against the sender any more.
 *
 * Called by observer.ts. Read first: RFC 2018 5, 8; RFC 2883 4.
 */
import type { Half } from './half.ts';
import type { Segment } from './segment.ts';
import { Violation } from './violation.ts';

function rule(holds: boolean, text: string): void {
  if (!holds) throw new Violation(`wire: ${text}`);
}

/**
 * Whether the first block names a duplicate: it lies before the acknowledgement or inside the
 * second (RFC 2883 4).
 */
function hasDuplicate(sack: readonly number[], ack: number): boolean {
  if (sack.length === 0) return false;
  const [start, end, outerStart, outerEnd] = sack as [number, number, number?, number?];
  if (((end - ack) | 0) <= 0) return true;
  if (outerStart === undefined || outerEnd === undefined) return false;
  return ((start - outerStart) | 0) >= 0 && ((outerEnd - end) | 0) >= 0;
}

/** X has sent an acknowledgement of Y's data. */
export function sackNamed(s: Segment, x: Half, y: Half): void {
  for (let i = 0; i < s.sack.length; i += 2) {
    const start = (s.sack[i]! - y.iss) | 0;
    const end = (s.sack[i + 1]! - y.iss) | 0;
    rule(x.sackPermitted && y.sackPermitted, 'SACK that was not negotiated');
    rule(start < end && x.arrived.has(start, end), 'SACK of what has not arrived');
  }
  if (!hasDuplicate(s.sack, s.ack)) return;
  x.duplicatesNamed++;
  rule(x.duplicatesNamed <= x.duplicates, 'DSACK of what has arrived once, or was named before');
}

/** X sends [start, end) again. */
export function sackResent(x: Half, start: number, end: number): void {
  const isHeld = !x.hasReneged && x.peerSacked.has(start, end);
  rule(!isHeld, 'sends again what was selectively acknowledged');
}

/** A segment of Y, [start, end), has reached X's driver; before it counts as arrived. */
export function sackDelivered(s: Segment, x: Half, start: number, end: number): void {
  if (s.length > 0 && x.arrived.overlaps(start, end)) x.duplicates++;
  const isOld = s.hasTimestamps && x.hasPeerTs && ((s.tsVal - x.peerTsVal) | 0) < 0;
  if (isOld || start < x.arrived.next || !x.hasRuns) return;
  const ack = (s.ack - x.iss) | 0;
  // it has said that it holds the byte that it now asks for
  x.hasReneged ||= x.peerSacked.has(ack, ack + 1);
  const first = hasDuplicate(s.sack, s.ack) ? 2 : 0;
  for (let i = first; i < s.sack.length; i += 2) {
    const from = (s.sack[i]! - x.iss) | 0;
    const to = (s.sack[i + 1]! - x.iss) | 0;
    if (from >= x.ackKnown && to <= x.maxSent && from < to) x.peerSacked.add(from, to);
  }
}

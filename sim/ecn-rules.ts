/**
 * ECN as the wire shows it: who may mark, echo and answer, and when (observer.ts has the rest of
 * TCP's rules).
 *
 * - What must never be is a rule at once. What a host may miss (a marked frame that it had no room
 *   for) is a rule when it goes on for too long.
 *
 * Called by observer.ts. Read first: RFC 3168 6.1; RFC 8257 3.
 */
import type { Half } from './half.ts';
import type { Segment } from './segment.ts';
import { Violation } from './violation.ts';

const SYN = 0x02;
const ACK = 0x10;
const ECE = 0x40;
const CWR = 0x80;
const CE = 3;

/** So many marks, echoes or answers in a row may have been missed, or belong to one recovery. */
const MISSED_MAX = 100;
const UNANSWERED_MAX = 20;
const STALE_MAX = 20;

function rule(holds: boolean, text: string): void {
  if (!holds) throw new Violation(`wire: ECN: ${text}`);
}

const isAgreed = (x: Half, y: Half): boolean =>
  (x.agreesEcn && y.asksEcn) || (y.agreesEcn && x.asksEcn);

/** X has sent a SYN or SYN-ACK. */
export function ecnSyn(s: Segment, x: Half, y: Half): void {
  const bits = s.flags & (ECE | CWR);
  if ((s.flags & ACK) === 0) {
    rule(bits === 0 || bits === (ECE | CWR), 'half a question in a SYN');
    x.asksEcn ||= bits !== 0; // not again in a SYN that is sent again
  } else {
    rule(bits === 0 || (bits === ECE && y.asksEcn), 'agreed to unasked');
    x.agreesEcn ||= bits === ECE;
  }
}

/** X has sent a segment; `isNew`: data that was never sent before. */
export function ecnSent(s: Segment, x: Half, y: Half, isNew: boolean): void {
  const agreed = isAgreed(x, y);
  const isSyn = (s.flags & SYN) !== 0;
  rule(s.ecn !== CE, 'marked by its sender');
  rule(s.ecn === 0 || (agreed && isNew && !isSyn), 'able to carry a mark, but no new data');
  if (isSyn) return;
  if ((s.flags & ECE) !== 0) {
    rule(agreed && x.marks > 0, 'echoes a mark that has not arrived');
    rule(x.cwrSinceMark <= STALE_MAX, 'echoes a mark for ever');
    x.marksUnechoed = 0;
  }
  rule(x.marksUnechoed <= MISSED_MAX, 'marks are not echoed');
  if ((s.flags & CWR) !== 0) {
    // with or without an echo: a loss is told as well (RFC 3168 6.1.2), a timeout even if its data
    // is acknowledged before it is sent again
    rule(agreed && isNew, 'an answer that is no new data');
    x.answeredAt = (s.seq - x.iss) | 0;
    x.echoesUnanswered = x.dataUnanswered = 0;
  } else if (isNew && x.echoesUnanswered > 0) x.dataUnanswered++;
  const isDeaf = x.echoesUnanswered > UNANSWERED_MAX && x.dataUnanswered > UNANSWERED_MAX;
  rule(!isDeaf, 'echoes are not answered');
}

/** A segment has reached X's driver. */
export function ecnDelivered(s: Segment, x: Half, y: Half): void {
  if (!isAgreed(x, y) || (s.flags & SYN) !== 0) return;
  if (s.length > 0 && (s.flags & CWR) !== 0) x.cwrSinceMark++;
  if (s.length > 0 && s.ecn === CE) {
    x.marks++;
    x.marksUnechoed++;
    x.cwrSinceMark = 0;
  }
  const acked = (s.ack - x.iss) | 0;
  // once a window: what acknowledges nothing behind the last answer (NewReno may send a whole
  // window on duplicates) waits
  if ((s.flags & ECE) !== 0 && acked > x.answeredAt) x.echoesUnanswered++;
}

/**
 * Sequence numbers: int32 modulo 2^32, compared by the sign of their difference.
 *
 * - Right while two numbers are less than 2^31 apart: windows end at 2^30 for that (RFC 7323 2.3).
 *
 * Called by all of tcp/. Read first: RFC 9293 3.4.
 */

/** a < b */
export const lt = (a: number, b: number): boolean => ((a - b) | 0) < 0;
/** a <= b */
export const leq = (a: number, b: number): boolean => ((a - b) | 0) <= 0;
/** a > b */
export const gt = (a: number, b: number): boolean => ((a - b) | 0) > 0;
/** a >= b */
export const geq = (a: number, b: number): boolean => ((a - b) | 0) >= 0;

/**
 * Whether `length` sequence numbers at `seq` touch the receive window [next, next + window): the
 * four cases of RFC 9293 3.4.
 */
export function isAcceptable(seq: number, length: number, next: number, window: number): boolean {
  const first = (seq - next) | 0;
  if (length === 0) return window === 0 ? first === 0 : first >= 0 && first < window;
  if (window === 0) return false;
  const last = (first + length - 1) | 0;
  return (first >= 0 && first < window) || (last >= 0 && last < window) || (first < 0 && last >= 0);
}

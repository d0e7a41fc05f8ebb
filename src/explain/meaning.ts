/**
 * What a counter says, in one line, and what its reader may do about it: the form of the texts
 * beside it (link.ts, tcp.ts, thread.ts).
 *
 * - `ordinary`: grows while all is well. `notice`: worth a look when it grows beside what is slow.
 *   `drop`: a frame, datagram or segment was thrown away for this reason.
 * - Texts are ours and constant: nothing in them comes from a service.
 */
export const KINDS = ['ordinary', 'notice', 'drop'] as const;
export type Kind = (typeof KINDS)[number];

/** Kind, what it means, what to do. */
export type Meaning = readonly [kind: Kind, means: string, remedy: string];

/** What to do about most counters. */
export const NOTHING = 'Nothing to do.';

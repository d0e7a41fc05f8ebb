/**
 * VERIFY mode: expensive invariants and poisoning.
 *
 * - On in every test's own process (`IX_VERIFY=1`); off in service, and in services that tests
 *   start as a user would, unless they ask (test/acceptance/serving.ts).
 * - A constant, read once: V8 drops the guarded code when it is off.
 */
export const VERIFY: boolean = process.env['IX_VERIFY'] === '1';

/** A broken invariant of our own: always a bug here, never bad input. */
export class InvariantError extends Error {
  readonly code = 'IX_INVARIANT';
}

/** States an invariant. The text is constant: a template literal would allocate on every call. */
export function assert(condition: boolean, text: string): asserts condition {
  if (!condition) throw new InvariantError(text);
}

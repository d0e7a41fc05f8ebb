/**
 * A child may take so long to start and no longer (`--start-timeout`): what blocks it becomes an
 * error with words, not a command that says nothing.
 *
 * Called by control/service/life.ts and control/children/application-process.ts.
 */
import { UserError } from '../errors.ts';

/**
 * A child has so long to be attached, and to be ready, unless the user says otherwise. Loading an
 * application's data belongs behind `ready`.
 */
export const START_MS = 30_000;

export class StartTimeoutError extends UserError {
  override readonly exitCode = 1;
  constructor(who: string, what: string, ms: number) {
    super(
      'IX_START_TIMEOUT',
      `${who} was not ${what} within ${ms / 1000} s`,
      'something blocks it: look for a loop or an endless wait in what it loads, or at the load of this machine (--start-timeout SECONDS waits longer)',
    );
  }
}

/** `promise`, or a StartTimeoutError after `ms`. */
export async function within<T>(
  promise: Promise<T>,
  who: string,
  what: string,
  ms: number = START_MS,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new StartTimeoutError(who, what, ms)), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

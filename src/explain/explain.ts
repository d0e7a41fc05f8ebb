/**
 * Every counter's meaning, by name.
 *
 * - The compiler refuses a counter without a text, and the test a text without a counter.
 *
 * Used by cli/explain.ts, cli/top-screen.ts and control/record/prometheus.ts.
 */
import { COUNTER_NAMES, type CounterName } from '../counters.ts';
import { LINK } from './link.ts';
import type { Meaning } from './meaning.ts';
import { TCP } from './tcp.ts';
import { THREAD } from './thread.ts';

export const MEANINGS: Readonly<Record<CounterName, Meaning>> = { ...LINK, ...TCP, ...THREAD };

/** Counters of what was thrown away. */
export const DROPS: readonly CounterName[] = COUNTER_NAMES.filter(
  (name) => MEANINGS[name][0] === 'drop',
);

/** undefined: no counter of this version. */
export const meaningOf = (name: string): Meaning | undefined =>
  Object.hasOwn(MEANINGS, name) ? MEANINGS[name as CounterName] : undefined;

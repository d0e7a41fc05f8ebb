/**
 * `ix explain`: what a counter means, and what to do about it.
 *
 * - `explain COUNTER`: that one, by its name in `stat` or in Prometheus; `explain all`: all.
 * - `explain`: of what runs here, those that are not zero and no sign of good health, drops first.
 * - A counter that is none: exit code 2, with those that sound like it.
 */
import { metricName } from '../control/record/prometheus.ts';
import { readStatistics } from '../control/record/statistics.ts';
import { COUNTER_NAMES } from '../counters.ts';
import { OptionError } from '../errors.ts';
import { MEANINGS } from '../explain/explain.ts';
import { KINDS } from '../explain/meaning.ts';
import { printable } from '../printable.ts';
import { servicesHere } from './services.ts';

type Counter = (typeof COUNTER_NAMES)[number];

/** Of a counter that is wrong: so many others are named. */
const ALIKE_MAX = 6;

export interface Explained {
  counter: Counter;
  kind: (typeof KINDS)[number];
  means: string;
  remedy: string;
  metric: string;
  /** Of what runs here; absent when nobody asked. */
  count?: number;
}

export function explain(asked: string | undefined, options: { json?: boolean }): void {
  const all = asked === undefined ? ofWhatRuns() : namesOf(asked).map((name) => explained(name));
  if (options.json) return console.log(JSON.stringify({ counters: all }));
  if (all.length === 0) console.log('nothing was dropped, and nothing asks for a look');
  for (const each of all) console.log(described(each));
}

function explained(counter: Counter, count?: number): Explained {
  const [kind, means, remedy] = MEANINGS[counter];
  const metric = metricName(counter);
  return { counter, kind, means, remedy, metric, ...(count !== undefined && { count }) };
}

const described = ({ counter, kind, means, remedy, count }: Explained): string =>
  `${counter}${count === undefined ? '' : ` ${count}`} (${kind}): ${means} ${remedy}`;

/** Counters that `asked` names; throws OptionError when there is none. */
export function namesOf(asked: string): readonly Counter[] {
  if (asked === 'all') return COUNTER_NAMES;
  const wanted = asked.toLowerCase();
  const exact = COUNTER_NAMES.filter(
    (name) => name.toLowerCase() === wanted || metricName(name) === wanted,
  );
  if (exact.length > 0) return exact;
  const bare = wanted.replace(/^ix_|_total$|[^a-z0-9]/g, '');
  const alike = COUNTER_NAMES.filter((name) => bare !== '' && name.toLowerCase().includes(bare));
  const remedy =
    alike.length > 0
      ? `there is ${alike.slice(0, ALIKE_MAX).join(', ')}`
      : 'see: bin/ix explain all';
  throw new OptionError(`there is no counter ${printable(asked)}`, remedy);
}

/** What is not ordinary and not zero, drops first, then by how often. */
function ofWhatRuns(): Explained[] {
  const counts = servicesHere().map(readStatistics);
  const sum = (name: string): number => counts.reduce((all, each) => all + (each[name] ?? 0), 0);
  const rank = ({ kind }: Explained): number => KINDS.indexOf(kind);
  return COUNTER_NAMES.map((name) => explained(name, sum(name)))
    .filter(({ kind, count }) => kind !== 'ordinary' && count! > 0)
    .sort((a, b) => rank(b) - rank(a) || b.count! - a.count!);
}

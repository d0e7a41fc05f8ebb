/**
 * The highest rate that keeps an objective, of several contenders at once, by halving; the rule is
 * the same for all of them.
 *
 * - A point is one rate of a contender, judged by the median of `runs` runs: it holds when the
 *   median run holds. Contenders run in turn (A B A B ...), so that what the machine does to one of
 *   them it does to all.
 * - First everybody at `lowRate`, all runs: these are figures of their own. Who does not hold there
 *   has 0, and is not searched; when it is the `reference`, nobody is.
 * - Then `halvings` times: everybody at the middle of its bracket, the highest rate known to hold
 *   and the lowest known not to. The middle is geometric, so that each halving gains as much of a
 *   ratio, wherever the answer lies. A point ends as soon as its median is decided: more runs could
 *   not change it.
 * - `mayGoOn` is asked before each point: when it says no, the brackets are left as they are.
 * - A run that fails has not held, whatever the reason was.
 *
 * Called by whole.ts. Nothing here knows of a network, or of time.
 */

/** Rates, requests a second. */
export interface Bracket {
  /** Highest known to hold; 0: none is. */
  holds: number;
  /** Lowest known not to. */
  fails: number;
}

export interface Searched {
  name: string;
  /** More than it can serve at all: the search stays below. */
  limit: number;
}

export interface Search {
  lowRate: number;
  /** Odd. */
  runs: number;
  halvings: number;
  /** One run at a rate: whether it holds. `point` counts from 1, which is the one at `lowRate`. */
  measure(name: string, rate: number, point: number): Promise<boolean>;
  /** Whom the others are compared with. */
  reference: string;
  mayGoOn(point: number): boolean;
}

/** Runs of all points but the first of `count` contenders, at most and at least. */
export const runsOf = (
  { runs, halvings }: Pick<Search, 'runs' | 'halvings'>,
  count: number,
): { most: number; least: number } => ({
  most: (1 + halvings) * runs * count,
  least: runs * count + halvings * majorityOf(runs) * count,
});

const majorityOf = (runs: number): number => (runs >> 1) + 1;

export const middleOf = ({ holds, fails }: Bracket): number => Math.sqrt(holds * fails);

/** Settles with the bracket of each contender. */
export async function searchTogether(
  contenders: readonly Searched[],
  search: Search,
): Promise<Record<string, Bracket>> {
  const { lowRate, runs, halvings } = search;
  const least = majorityOf(runs);
  const brackets: Record<string, Bracket> = {};
  for (const { name, limit } of contenders) brackets[name] = { holds: 0, fails: limit };
  const low = await turns(contenders, search, 1, () => lowRate, runs);
  for (const { name } of contenders) note(brackets[name]!, lowRate, low[name]! >= least);
  if (brackets[search.reference]?.holds === 0) return brackets;
  for (let point = 2; point < 2 + halvings && search.mayGoOn(point); point++) {
    const open = contenders.filter(({ name }) => brackets[name]!.holds > 0);
    if (open.length === 0) break;
    const rates = new Map(open.map(({ name }) => [name, Math.round(middleOf(brackets[name]!))]));
    const held = await turns(open, search, point, (name) => rates.get(name)!, least);
    for (const [name, rate] of rates) note(brackets[name]!, rate, held[name]! >= least);
  }
  return brackets;
}

function note(bracket: Bracket, rate: number, holds: boolean): void {
  if (holds) bracket.holds = rate;
  else bracket.fails = rate;
}

/**
 * One point of everybody, in turn: how many runs of each held. Who has `enough` runs of one kind
 * runs no more.
 */
async function turns(
  contenders: readonly Searched[],
  { runs, measure }: Search,
  point: number,
  rateOf: (name: string) => number,
  enough: number,
): Promise<Record<string, number>> {
  const held: Record<string, number> = {};
  const failed: Record<string, number> = {};
  for (let run = 0; run < runs; run++) {
    for (const { name } of contenders) {
      const [good, bad] = [held[name] ?? 0, failed[name] ?? 0];
      if (good >= enough || bad >= enough) continue;
      const holds = await measure(name, rateOf(name), point);
      held[name] = good + (holds ? 1 : 0);
      failed[name] = bad + (holds ? 0 : 1);
    }
  }
  return held;
}

/**
 * Mine over theirs: the rates that held; the range is what the brackets leave open. Undefined when
 * theirs never held.
 */
export function ratioOfBrackets(
  mine: Bracket,
  theirs: Bracket,
): { median: number; min: number; max: number } | undefined {
  if (theirs.holds === 0) return undefined;
  const median = mine.holds / theirs.holds;
  if (mine.holds === 0) return { median, min: 0, max: mine.fails / theirs.holds };
  return { median, min: mine.holds / theirs.fails, max: mine.fails / theirs.holds };
}

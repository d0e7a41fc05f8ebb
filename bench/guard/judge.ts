/**
 * Whether a ratio is worse by more than noise.
 *
 * - Against other programs (`RATIOS`): `lost` when the best of the rounds now is worse than the
 *   worst committed round by more than the tolerance, which is wide: the machine is part of them.
 * - Against the base commit, whose server took turns with ours (`BASE_RATIOS`): `lost` when every
 *   round shows a loss of a tenth.
 * - `undecided`: not measured now, or never committed.
 */
import { KINDS, ratiosOf } from '../base/kinds.ts';
import type { Machine } from '../harness/machine.ts';
import type { Spread } from '../harness/statistics.ts';

/** What guard.json holds. */
export interface Kept {
  machine: Machine;
  /** The commit whose server is compared with. */
  base: string;
  ratios: Record<string, Spread>;
}

export interface GuardedRatio {
  name: string;
  better: 'higher' | 'lower';
}

export const RATIOS: readonly GuardedRatio[] = [
  { name: 'echoVsLinux', better: 'higher' },
  { name: 'roundTripVsLinux', better: 'lower' },
  { name: 'kvVsMemcached', better: 'higher' },
  { name: 'cableVsLwip', better: 'higher' },
  { name: 'processVsInline', better: 'higher' },
];

export const BASE_RATIOS: readonly GuardedRatio[] = KINDS.flatMap(ratiosOf);

export interface Judged {
  name: string;
  verdict: 'kept' | 'gained' | 'lost' | 'undecided';
  now?: Spread | undefined;
  before?: Spread | undefined;
}

/**
 * A quarter is more than rounds differ on a quiet machine; another machine may be half as good by
 * itself.
 */
const TOLERANCE = 0.75;
const TOLERANCE_ELSEWHERE = 0.5;
/** Single rounds of the same tree twice differ by this much; all of them, one way, do not. */
const TOLERANCE_BASE = 0.9;

const isSameMachine = (a: Machine, b: Machine): boolean =>
  a.cpu === b.cpu && a.cores === b.cores && a.virtual === b.virtual;

/** The same spread with higher as better. */
const upwards = ({ median, min, max }: Spread, better: 'higher' | 'lower'): Spread =>
  better === 'higher' ? { median, min, max } : { median: 1 / median, min: 1 / max, max: 1 / min };

export function judge(measured: Record<string, Spread>, kept: Kept, machine: Machine): Judged[] {
  const tolerance = isSameMachine(machine, kept.machine) ? TOLERANCE : TOLERANCE_ELSEWHERE;
  return RATIOS.map(({ name, better }) => {
    const [now, before] = [measured[name], kept.ratios[name]];
    if (!now || !before) return { name, verdict: 'undecided', now, before };
    const [mine, theirs] = [upwards(now, better), upwards(before, better)];
    if (mine.max < theirs.min * tolerance) return { name, verdict: 'lost', now, before };
    const verdict = mine.min > theirs.max / tolerance ? 'gained' : 'kept';
    return { name, verdict, now, before };
  });
}

export function judgeAgainstBase(measured: Record<string, Spread>): Judged[] {
  return BASE_RATIOS.map(({ name, better }) => {
    const now = measured[name];
    if (!now) return { name, verdict: 'undecided', now };
    const { min, max } = upwards(now, better);
    if (max < TOLERANCE_BASE) return { name, verdict: 'lost', now };
    return { name, verdict: min > 1 / TOLERANCE_BASE ? 'gained' : 'kept', now };
  });
}

/**
 * What the evaluation must show, and whether it did. A target is a ratio (ours over theirs) and a bound.
 *
 * - `reached` and `missed` are claims: the whole spread lies on one side, or the rounds agree (statistics.ts). Otherwise the
 *   run decides nothing: `void`.
 */
import { isNoisy, type Spread } from '../harness/statistics.ts';

export interface Target {
  ratio: string;
  bound: 'at least' | 'at most';
  value: number;
  what: string;
}

export type Verdict = 'reached' | 'missed' | 'void' | 'not measured';

const atLeast = (ratio: string, value: number, what: string): Target => ({
  ratio,
  bound: 'at least',
  value,
  what,
});
const atMost = (ratio: string, value: number, what: string): Target => ({
  ratio,
  bound: 'at most',
  value,
  what,
});

export const TARGETS: readonly Target[] = [
  atLeast('vsLinuxEpoll', 4, 'echo 64 B, 64 connections: messages/s against C and epoll on Linux'),
  atLeast('vsNodeNet', 5, 'the same against Node net'),
  atLeast('vsLimit', 0.8, 'the same against frames/s of the bare AF_XDP reflector'),
  atLeast(
    'vsLwip',
    1,
    'echo 64 B, 64 connections on the cable: messages/s of one core against lwIP',
  ),
  atLeast('sloVsMemcachedUsr', 3.6, 'USR: highest rate with p99 <= 500 us against memcached'),
  atLeast('sloVsMemcachedEtc', 2.8, 'ETC: the same'),
  atMost('lowP99VsMemcachedUsr', 0.5, 'USR: p99 at 20,000 requests/s against memcached'),
  atMost('lowP99VsMemcachedEtc', 0.5, 'ETC: the same'),
  atMost('netpipeVsLinux', 0.25, 'NetPIPE: one-way latency of 64 B against Linux'),
  atMost(
    'halfBandwidthSizeVsLinux',
    0.1,
    'NetPIPE: message size of half the peak bandwidth against Linux',
  ),
  atLeast('connectionsVsPeak', 0.47, '250,000 connections: rate against the own peak'),
  atMost('connectionBytesVs1KiB', 1, '250,000 connections: memory of each, in KiB'),
  atLeast('batch16Vs1', 1.29, 'kv at saturation: B = 16 against B = 1'),
  atMost('batch16Vs1LowTail', 1.1, 'kv at low load: p99 with B = 16 against B = 1 (no worse)'),
];

export function verdictOf(
  { ratio, bound, value }: Target,
  ratios: Record<string, Spread>,
): Verdict {
  const spread = ratios[ratio];
  if (spread === undefined) return 'not measured';
  const keeps = (number: number) => (bound === 'at least' ? number >= value : number <= value);
  const { median, min, max } = spread;
  if (keeps(min) === keeps(max)) return keeps(median) ? 'reached' : 'missed';
  if (isNoisy(spread)) return 'void';
  return keeps(median) ? 'reached' : 'missed';
}

/**
 * What the evaluation must show, and whether it did. A target is a ratio (ours over theirs) and a
 * bound.
 *
 * - `reached` and `missed` are claims: the whole spread lies on one side, or the rounds agree
 *   (control/record/statistics.ts). Otherwise the run decides nothing: `void`.
 */
import { isNoisy, type Spread } from '../harness/statistics.ts';

export interface Target {
  ratio: string;
  bound: 'at least' | 'at most';
  value: number;
  what: string;
  /** What stands in the way where it is missed, and what it would take. */
  ifMissed: string;
}

export type Verdict = 'reached' | 'missed' | 'void' | 'not measured';

const atLeast = (ratio: string, value: number, what: string, ifMissed: string): Target => ({
  ...{ ratio, bound: 'at least', value, what, ifMissed },
});
const atMost = (ratio: string, value: number, what: string, ifMissed: string): Target => ({
  ...{ ratio, bound: 'at most', value, what, ifMissed },
});

/**
 * Measured apart: a kick of 1 to 64 frames into a peer that sleeps or polls, the same (1.5 to 2.2
 * us a frame).
 */
const KERNEL =
  'The kernel\'s way of a frame over the veth (a socket buffer, a soft interrupt, generic XDP, a copy), which the bare reflector pays as well: see the doorbell in "Where the time of one request goes". A NIC that AF_XDP drives in zero-copy mode has none of it.';
const STALLS =
  "Two cores for everything: V8's compilers, kernel threads and the host take a core for a tick or two of the scheduler (4 to 8 ms) from who spins on it, and above one request in a hundred that is the 99th percentile. It takes a third core, or two that nobody else may use (isolcpus).";

export const TARGETS: readonly Target[] = [
  atLeast(
    'vsLinuxEpoll',
    4,
    'echo 64 B, 64 connections: messages/s against C and epoll on Linux',
    KERNEL,
  ),
  atLeast('vsNodeNet', 5, 'the same against Node net', KERNEL),
  atLeast(
    'vsLimit',
    0.8,
    'the same against frames/s of the bare AF_XDP reflector',
    'TCP at both ends: the client is a stack like the server, on one core, and as busy. The reflector answers a generator that has no stack.',
  ),
  atLeast(
    'vsLwip',
    1,
    'echo 64 B, 64 connections on the cable: messages/s of one core against lwIP',
    'lwIP publishes each answer by itself, ours those of a batch. With 256 connections and more ours is ahead: lwIP looks for a connection in a list.',
  ),
  atLeast(
    'sloVsMemcachedUsr',
    3.6,
    'USR: highest rate with p99 <= 500 us (in a quarter of 16 windows) against memcached',
    STALLS,
  ),
  atLeast('sloVsMemcachedEtc', 2.8, 'ETC: the same', STALLS),
  atMost(
    'lowP99VsMemcachedUsr',
    0.5,
    'USR: p99 (the same) at 20,000 requests/s against memcached',
    STALLS,
  ),
  atMost('lowP99VsMemcachedEtc', 0.5, 'ETC: the same', STALLS),
  atLeast(
    'sloWholeVsMemcachedUsr',
    3.6,
    'USR: highest rate with p99 <= 500 us by whole runs (median of 5 runs of 10 s) against memcached',
    STALLS,
  ),
  atLeast('sloWholeVsMemcachedEtc', 2.8, 'ETC: the same', STALLS),
  atMost(
    'lowWholeP99VsMemcachedUsr',
    1,
    'USR: p99 of whole runs at 20,000 requests/s against memcached',
    STALLS,
  ),
  atMost('lowWholeP99VsMemcachedEtc', 1, 'ETC: the same', STALLS),
  atMost('netpipeVsLinux', 0.25, 'NetPIPE: one-way latency of 64 B against Linux', KERNEL),
  atMost(
    'halfBandwidthSizeVsLinux',
    0.1,
    'NetPIPE: message size of half the peak bandwidth against Linux',
    'Between two kernels a veth carries segments of 64 KiB that nobody cuts, ours carries frames of 1514 bytes: the peaks are not of the same kind. It takes frames of several buffers (XDP multi-buffer) or a link with a wire.',
  ),
  atLeast(
    'connectionsVsPeak',
    0.47,
    '250,000 connections: rate against the own peak',
    'Each message touches control blocks that are in no cache: about ten lines at either end.',
  ),
  atMost(
    'connectionBytesVs1KiB',
    1,
    '250,000 connections: memory of each, in KiB',
    "A control block has 576 bytes, libix' object 152; lookup, timer and columns take most of the rest.",
  ),
  atLeast('batch16Vs1', 1.29, 'kv at saturation: B = 16 against B = 1', KERNEL),
  atMost(
    'batch16Vs1LowTail',
    1.1,
    'kv at low load: p99 with B = 16 against B = 1 (no worse)',
    STALLS,
  ),
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

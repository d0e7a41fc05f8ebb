/**
 * Whether every frame is accounted for: what came in on a layer is the sum of what that layer
 * counted, by reason.
 *
 * - The sums are those of src/net: each frame ends in exactly one of the counters of a line. Beyond
 *   TCP's border the counters overlap (a segment may be out of order and answered), so the accounts
 *   end there.
 */
import type { CounterName } from '../../src/counters.ts';

export type Counts = Record<string, number>;

interface Account {
  layer: string;
  arrived: CounterName;
  outcomes: readonly CounterName[];
  /** Counted twice: once as a fragment, once as what it completed. */
  twice?: readonly CounterName[];
}

const ACCOUNTS: readonly Account[] = [
  {
    layer: 'frames',
    arrived: 'rxFrames',
    outcomes: [
      ...(['ethShort', 'ethNotForUs', 'ethUnknownType', 'arpIn', 'ipShort'] as const),
      'ethVlan',
      ...(['ipBadVersion', 'ipBadHeaderLength', 'ipBadLength', 'ipBadChecksum'] as const),
      ...(['ipBadOption', 'ipNotForUs', 'ipLinkBroadcast', 'ipBadSource'] as const),
      ...(['ipFragmentsIn', 'ipBroadcastIgnored', 'ipUnknownProtocol'] as const),
      ...(['ipReassemblyTooLong', 'tcpIn', 'udpIn', 'icmpIn', 'icmp6In'] as const),
      ...(['ip6Short', 'ip6BadVersion', 'ip6BadLength', 'ip6BadSource', 'ip6NotForUs'] as const),
      ...(['ip6LinkGroup', 'ip6BadExtension', 'ip6BadOption', 'ip6Routing'] as const),
      ...(['ip6LongChain', 'ip6NoNextHeader', 'ip6UnknownNextHeader'] as const),
    ],
    twice: ['ipReassembled'],
  },
  {
    layer: 'udp',
    arrived: 'udpIn',
    outcomes: ['udpShort', 'udpBadLength', 'udpBadChecksum', 'udpNoPort', 'udpQueueFull'],
  },
];

export interface Balance {
  layer: string;
  arrived: number;
  explained: number;
}

export function balancesOf(counts: Counts): Balance[] {
  const sum = (names: readonly string[]) => names.reduce((n, name) => n + (counts[name] ?? 0), 0);
  return ACCOUNTS.map(({ layer, arrived, outcomes, twice = [] }) => ({
    layer,
    arrived: counts[arrived] ?? 0,
    explained: sum(outcomes) - sum(twice),
  }));
}

/** Of these frames it is known that they were dropped, and why. */
const DROPS: readonly CounterName[] = [
  ...(['rxNoFrame', 'rxShort', 'rxTooLong', 'ethShort', 'ethNotForUs', 'ethUnknownType'] as const),
  ...(['arpBad', 'ethVlan'] as const),
  ...(['ipShort', 'ipBadVersion', 'ipBadHeaderLength', 'ipBadLength', 'ipBadChecksum'] as const),
  ...(['ipBadOption', 'ipNotForUs', 'ipLinkBroadcast', 'ipBadSource', 'ipFragmentBad'] as const),
  ...(['ipFragmentOverlap', 'ipFragmentDuplicate', 'ipReassemblyTimeout'] as const),
  ...(['ipReassemblyFull', 'ipReassemblyTooLong', 'ipUnknownProtocol'] as const),
  ...(['ipBroadcastIgnored', 'icmpBadChecksum', 'icmpShort', 'icmpUnknown'] as const),
  ...(['icmpErrorsIgnored', 'icmpBadQuote', 'udpShort', 'udpBadLength'] as const),
  ...(['udpBadChecksum', 'udpNoPort', 'tcpShort', 'tcpBadOffset', 'tcpBadChecksum'] as const),
  ...(['tcpBadOption', 'tcpBadFlags', 'tcpNoFlow', 'tcpBacklogFull', 'tcpFlowsFull'] as const),
  ...(['tcpPaws', 'tcpOutOfWindow', 'tcpBadAck', 'tcpChallengeLimited'] as const),
  ...(['tcpOutOfOrderDropped', 'tcpDuplicate', 'tcpReceivePressure', 'tcpAfterClose'] as const),
  ...(['tcpListenBadSegment', 'tcpSynSentBad'] as const),
  ...(['ip6Short', 'ip6BadVersion', 'ip6BadLength', 'ip6BadSource', 'ip6NotForUs'] as const),
  ...(['ip6LinkGroup', 'ip6BadExtension', 'ip6BadOption', 'ip6Routing', 'ip6LongChain'] as const),
  ...(['ip6NoNextHeader', 'ip6UnknownNextHeader', 'ipReassemblySource', 'icmp6Short'] as const),
  ...(['icmp6BadChecksum', 'icmp6Unknown', 'icmp6ErrorsIgnored', 'icmp6BadQuote'] as const),
  ...(['icmp6GroupIgnored', 'ndpBad', 'ndpBadOption', 'ndpPrefixIgnored'] as const),
  ...(['ndpRedirectIgnored', 'ndpRouterIgnored'] as const),
];

/** The drops that happened, by reason. */
export const dropsOf = (counts: Counts): Counts =>
  Object.fromEntries(DROPS.map((name) => [name, counts[name] ?? 0]).filter(([, n]) => n !== 0));

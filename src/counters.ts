/**
 * Every counter of a dataplane: one list of names, one 8-byte cell each in the statistics segment.
 *
 * - A drop is counted once, under its reason's own name; `ix stat` prints them all.
 * - Only the owning thread writes; the control plane maps the segment read-only. So a cell is a
 *   float64, written whole, and no atomic is needed.
 * - Behind them stand the latencies of batches (latency.ts): two cells are counted up once a batch.
 * - Names are added at the end of a section: the order inside one version is the layout.
 */
import type { Arena } from './arena/arena.ts';
import { bucketOf, LATENCY_CELLS } from './latency.ts';

const NAMES = [
  // nic
  'rxFrames', 'rxBytes', 'txFrames', 'txBytes', 'txFull', 'rxNoFrame', 'rxTooLong', 'kicks', 'kickAgain',
  'linkRefused', 'txLinkDown', 'rxOverheard', 'rxLeft', 'rxShort', 'txBadLength', 'txRefused',
  // ethernet, arp, ip
  'ethShort', 'ethNotForUs', 'ethUnknownType', 'arpIn', 'arpBad', 'arpRequestsOut', 'arpRepliesOut',
  'arpTableFull', 'arpHeldReplaced', 'arpUnresolved', 'noRoute', 'ipShort', 'ipBadVersion', 'ipBadHeaderLength',
  'ipBadLength', 'ipBadChecksum', 'ipBadOption', 'ipNotForUs', 'ipBadSource', 'ipUnknownProtocol', 'ipTtlZero',
  'ipFragmentsIn', 'ipReassembled', 'ipFragmentBad', 'ipFragmentOverlap', 'ipReassemblyTimeout',
  'ipReassemblyFull', 'ipOut', 'ipFragmentsOut', 'txNoFrame', 'arpConflict', 'arpReplaced', 'ipLinkBroadcast',
  'ipBroadcastIgnored', 'ipFragmentDuplicate', 'ipReassemblyTooLong', 'ethVlan', 'partialChecksumsRefused',
  // icmp
  'icmpIn', 'icmpBadChecksum', 'icmpShort', 'icmpUnknown', 'icmpEchoIn', 'icmpEchoOut', 'icmpUnreachableIn',
  'icmpUnreachableOut', 'icmpRateLimited', 'icmpErrorsIgnored', 'icmpBroadcastIgnored', 'icmpBadQuote',
  'icmpTimeExceededOut',
  // ipv6, its extension headers and fragments
  'ip6Short', 'ip6BadVersion', 'ip6BadLength', 'ip6BadSource', 'ip6NotForUs', 'ip6LinkGroup', 'ip6BadExtension',
  'ip6BadOption', 'ip6Routing', 'ip6LongChain', 'ip6NoNextHeader', 'ip6UnknownNextHeader', 'ip6AtomicFragments',
  'ip6Out', 'ip6FragmentsOut', 'ipReassemblySource',
  // icmpv6
  'icmp6In', 'icmp6Short', 'icmp6BadChecksum', 'icmp6Unknown', 'icmp6EchoIn', 'icmp6EchoOut', 'icmp6ErrorsIn',
  'icmp6UnreachableOut', 'icmp6ProblemOut', 'icmp6TimeExceededOut', 'icmp6RateLimited', 'icmp6ErrorsIgnored',
  'icmp6BadQuote', 'icmp6GroupIgnored',
  // neighbour discovery, router discovery, group membership
  'ndpIn', 'ndpBad', 'ndpBadOption', 'ndpTableFull', 'ndpReplaced', 'ndpHeldReplaced', 'ndpUnresolved',
  'ndpSolicitationsOut', 'ndpAdvertisementsOut', 'ndpDuplicate',
  'ndpConflict', 'ndpRouterSolicitationsOut', 'ndpRouterAdvertisements', 'ndpPrefixIgnored', 'ndpRedirectIgnored',
  'mldReportsOut', 'mldQueriesIn', 'ndpRouterIgnored',
  // udp
  'udpIn', 'udpOut', 'udpShort', 'udpBadLength', 'udpBadChecksum', 'udpNoPort', 'udpQueueFull',
  'udpPartialChecksums',
  // tcp
  'tcpIn', 'tcpOut', 'tcpShort', 'tcpBadOffset', 'tcpBadChecksum', 'tcpBadOption', 'tcpBadFlags', 'tcpNoFlow',
  'tcpResetsOut', 'tcpResetsIn', 'tcpSynIn', 'tcpBacklogFull', 'tcpFlowsFull', 'tcpPaws', 'tcpOutOfWindow',
  'tcpBadAck', 'tcpChallengeAcks', 'tcpChallengeLimited', 'tcpOutOfOrder', 'tcpOutOfOrderDropped', 'tcpDuplicate',
  'tcpRetransmits', 'tcpFastRetransmits', 'tcpTimeouts', 'tcpProbes', 'tcpKeepalives', 'tcpHeaderPredicted',
  'tcpNoFrame', 'tcpNoSpan', 'tcpOpened', 'tcpAccepted', 'tcpClosed', 'tcpDelayedAcks', 'tcpPureAcks',
  'tcpBytesIn', 'tcpBytesOut', 'tcpReceivePressure', 'tcpAfterClose', 'tcpListenBadSegment', 'tcpSynSentBad',
  'tcpLossProbes', 'tcpUndone', 'tcpCookiesOut', 'tcpCookiesIn', 'tcpEcnFlows', 'tcpEcnCe', 'tcpEcnReduced',
  'tcpPathMtuLowered', 'tcpPathMtuRaised', 'tcpPathMtuProbes', 'tcpUserTimeouts', 'tcpOrphansAborted', 'tcpPaced',
  'tcpUrgent', 'tcpOutOfOrderTiny', 'tcpPartialChecksums', 'tcpPortsUsedUp',
  'tcpScoreboardFull', 'tcpFlows',
  // gate
  'batches', 'calls', 'events', 'callsRefused', 'eventsDeferred', 'iterations', 'idleIterations', 'sleeps',
  'naps', 'frameBatches', 'gateBadCount', 'applicationLate', 'applicationBack', 'egressDenied',
  'busyUs',
  // quotas of the application: how often one stopped something (src/limits.ts)
  'quotaFlows', 'quotaListeners', 'quotaUdpSockets', 'quotaTimers', 'quotaUnackedBytes', 'quotaReceiveFrames',
  'quotaCalls', 'quotaPerSource',
  // frames that concern every thread, or another one (src/nic/around/siblings.ts)
  'siblingsTold', 'siblingsHeard', 'siblingsLimited', 'handedOn', 'handedIn', 'handedDropped',
] as const; // biome-ignore format: one line a group

export type CounterName = (typeof NAMES)[number];
export const COUNTER_NAMES: readonly CounterName[] = NAMES;
/** Index of each counter's cell. */
export const COUNTER = Object.freeze(
  Object.fromEntries(NAMES.map((name, index) => [name, index])),
) as Readonly<Record<CounterName, number>>;

/** What there is now: not counted, set. */
export const GAUGES: ReadonlySet<string> = new Set<CounterName>(['tcpFlows']);

/** Of the first cell behind the counters: how long batches took (latency.ts). */
export const LATENCY_CELL: number = NAMES.length;
const PAGE = 4096;
/** Whole pages, so that they can be mapped, and nothing else is in them. */
export const COUNTERS_BYTES: number = Math.ceil(((LATENCY_CELL + LATENCY_CELLS) * 8) / PAGE) * PAGE;

export class Counters {
  readonly f64: Float64Array;
  /** Cell index of the first counter. */
  readonly base: number;

  constructor(arena: Arena, name = 'counters') {
    this.f64 = arena.f64;
    this.base = arena.carve(name, COUNTERS_BYTES, PAGE) >> 3;
  }

  /** `counter` is one of COUNTER's values. */
  add(counter: number, by: number): void {
    const cell = this.base + counter;
    this.f64[cell] = this.f64[cell]! + by;
  }

  bump(counter: number): void {
    const cell = this.base + counter;
    this.f64[cell] = this.f64[cell]! + 1;
  }

  /** A batch took `us`, an int32. */
  took(us: number): void {
    const cell = this.base + LATENCY_CELL;
    if (us > 0) this.f64[cell] = this.f64[cell]! + us;
    const bucket = cell + 1 + bucketOf(us);
    this.f64[bucket] = this.f64[bucket]! + 1;
  }

  /** One of GAUGES. */
  set(counter: number, value: number): void {
    this.f64[this.base + counter] = value;
  }

  get(name: CounterName): number {
    return this.f64[this.base + COUNTER[name]]!;
  }

  /** All of them by name: for reports, never in the loop. */
  snapshot(): Record<CounterName, number> {
    return Object.fromEntries(NAMES.map((name, i) => [name, this.f64[this.base + i]!])) as Record<
      CounterName,
      number
    >;
  }
}

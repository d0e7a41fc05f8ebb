/**
 * What every part of the stack shares: one object per elastic thread, made at start-up.
 *
 * - The stack knows no driver (it has a `Nic`) and no clock (`clock` is set from outside once a
 *   batch), so the same code runs on AF_XDP, on TAP and in a simulator under virtual time.
 * - Nothing here is shared between threads.
 * - The wheel's timers are divided here, too (`timerRanges`): who owns a number, and nobody twice.
 */
import type { Arena } from '../../arena/arena.ts';
import type { Clock } from '../../arena/clock.ts';
import type { Frames } from '../../arena/frames.ts';
import type { WireKey } from '../../arena/siphash.ts';
import type { Wheel } from '../../arena/wheel.ts';
import type { Counters } from '../../counters.ts';
import type { Limits } from '../../limits.ts';
import type { Nic } from '../../nic/nic.ts';
import type { FlowTable } from '../../nic/toeplitz.ts';
import type { Egress } from './egress.ts';

/** IPv4 addresses are big-endian integers as int32 (10.77.0.2 is 0x0a4d0002). */
export interface NetConfig {
  address: number;
  prefixLength: number;
  /** 0: none. */
  gateway: number;
  /** Two secret words for tables' hashes, a key for what leaves the machine (arena/siphash.ts). */
  secret0: number;
  secret1: number;
  wireKey: WireKey;
  /** Absent: no IPv6. */
  ipv6?: Ipv6Config;
  /** Which flows are whose, of several threads; absent: nobody knows, or all are ours. */
  flowGroups?: FlowTable;
  /** Which of how many this is; absent: the first, the only one. */
  thread?: number;
  threads?: number;
  /** The link hands over frames whose checksums nobody has computed (partial-checksums.ts). */
  partialChecksums?: boolean;
}

/** IPv6 addresses are four words, big-endian integers as int32. */
export interface Ipv6Config {
  address: number[];
  prefixLength: number;
  /** All 0: whoever says of itself that it is one (router advertisements). */
  gateway: number[];
  /** In fe80::/64. Its last two words are the interface identifier of each address made here. */
  linkLocal: number[];
  /** Ask first whether somebody has our addresses (RFC 4862 5.4); not where nobody else can be. */
  detectsDuplicates: boolean;
  /** Make addresses from advertised prefixes (RFC 4862 5.5). */
  slaac: boolean;
}

export interface Environment {
  readonly arena: Arena;
  readonly frames: Frames;
  readonly nic: Nic;
  readonly wheel: Wheel;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly limits: Limits;
  readonly config: NetConfig;
  /** Absent: the application may speak to everybody. */
  readonly egress?: Egress;
}

/**
 * Timer indexes of the one wheel, by range: [0, flows) are flows; then one for each application
 * timer, one for each neighbour of either protocol, and the stack's own.
 */
export const timerRanges = (limits: Limits) => {
  const application = limits.flows;
  const arp = application + limits.timers;
  const ndp = arp + limits.neighbours;
  const reassembly = ndp + limits.neighbours;
  const reassembly6 = reassembly + 1;
  const discovery = reassembly6 + 1;
  return { application, arp, ndp, reassembly, reassembly6, discovery, count: discovery + 1 };
};

/** For a frame: the bytes are in a reassembly buffer, being too long for one. */
export const NO_FRAME = -1;

/** What a protocol's input says of the frame it was given. */
export const FREE_FRAME = 0;
/** The layer keeps the frame (queued for the application or out of order) and frees it later. */
export const KEEP_FRAME = 1;

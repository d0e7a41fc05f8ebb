/**
 * How big a dataplane is: its pools, what a user may choose of them, every size derived from one.
 *
 * - Nothing grows after start-up. So exhaustion is an ordinary event: a counted drop or a return
 *   code, named beside each limit, never an exception.
 * - How much of a pool one flow, socket or neighbour may have stands with its protocol
 *   (tcp/constants.ts, net/udp-sockets.ts, net/both/neighbours.ts).
 * - `Limits` are one elastic thread's; `limitsFor` makes them of the few numbers a user may choose.
 */
import { assert } from './verify.ts';

/**
 * B of the paper: most frames of one iteration before it answers (section 3, adaptive batching).
 */
export const BATCH_MAX = 64;

/**
 * IPv6 extension headers of one packet, and options of one of them that are no padding: a host may
 * bound what a packet makes it do, options to 8 (RFC 8504 5.3). More: ip6LongChain.
 */
export const EXTENSION_HEADERS_MAX = 8;
export const EXTENSION_OPTIONS_MAX = 8;
/**
 * Our IPv6 addresses, those made of prefixes included; prefixes on our link; default routers, of
 * which RFC 4861 6.3.4 asks for two. More: ndpPrefixIgnored, ndpRouterIgnored.
 */
export const ADDRESSES6_MAX = 8;
export const PREFIXES6_MAX = 8;
export const ROUTERS6_MAX = 4;

/** One packet buffer: the smaller chunk of AF_XDP, 256 bytes for XDP and a frame of 1514. */
export const FRAME_BYTES = 2048;
export const FRAME_SHIFT = 11;
/** Where an outgoing Ethernet header starts in its frame: the IP header is then aligned to 4. */
export const TRANSMIT_HEADROOM = 2;

export const ETHERNET_MTU = 1500;

/**
 * Most MiB of values that an application may be started with (`-m`): the arena ends at 2 GiB, and
 * what is left over is for packets, flows, tables and libix.
 */
export const VALUES_MIB_MAX = 1400;

/** Words (int32) of one descriptor at the gate: one cache line. */
export const DESCRIPTOR_WORDS = 16;
/** Event conditions of one iteration, eight for each frame; further ones wait in their flows. */
export const EVENTS_MAX = 512;
/** System calls of one batch, one for each event; libix keeps the rest for the next batch. */
export const CALLS_MAX = 512;

/**
 * One report of an application (`ix.report`), bytes of JSON: with its envelope, a line of the
 * channel (child/channel.ts).
 */
export const REPORT_BYTES_MAX = (1 << 20) - 4096;
/** Reports of one thread that nobody has read yet. More: `report` answers false. */
export const REPORTS_BYTES_MAX = 1 << 20;

/**
 * For a dataplane to say that all its dead application held is back. Later: it hangs, and is ended.
 */
export const APPLICATION_GONE_MS = 5000;

/** Of a handle; the other 11 of a positive int32 are the generation, which tells a stale one. */
export const FLOW_INDEX_BITS = 20;
/** The last of a handle, before the first again, which is 1. */
export const GENERATION_MAX = (1 << (31 - FLOW_INDEX_BITS)) - 1;

/**
 * What one application may have at a time, per elastic thread, below what the pools give
 * (`--quota`). Beside each: what an application gets that wants more, under the counter named
 * quota... (src/counters.ts).
 */
export interface Quotas {
  /** Connections but in TIME-WAIT. connect: QUOTA; a SYN is dropped, and its peer tries again. */
  flows: number;
  /** listen: QUOTA. */
  listeners: number;
  /** udp_bind: QUOTA. */
  udpSockets: number;
  /** timer: QUOTA. */
  timers: number;
  /**
   * Bytes that sendv has accepted and no peer has acknowledged. sendv: fewer bytes, or QUOTA; again
   * after the next `sent` or `dead` of any flow. Half of it is divided among all flows that there
   * may be, each its own; of the other half a flow gets at most half of what is left. So peers that
   * never read cannot stop the answers to others.
   */
  unackedBytes: number;
  /**
   * Received frames not yet recv_done. Windows close, further data is dropped; the rest goes on.
   */
  receiveFrames: number;
  /**
   * Connections that one source (an IPv4 address, an IPv6 /64) has opened to us, in any state but
   * TIME-WAIT. A SYN is dropped, and its peer tries again.
   */
  perSource: number;
  /** Calls in a batch. Those beyond are not made: QUOTA. libix writes no more than this. */
  calls: number;
}

/** No application can work with less. */
export const QUOTAS_MIN: Readonly<Quotas> = {
  flows: 1,
  listeners: 1,
  udpSockets: 1,
  timers: 1,
  unackedBytes: 4096,
  receiveFrames: 32,
  perSource: 1,
  calls: 4,
};
export const QUOTA_NAMES = Object.keys(QUOTAS_MIN) as readonly (keyof Quotas)[];
/** No quota: the pool alone decides. */
export const QUOTA_NONE: number = 2 ** 31 - 1;

const NO_QUOTAS = Object.fromEntries(
  QUOTA_NAMES.map((name) => [name, QUOTA_NONE]),
) as unknown as Quotas;

export interface Limits {
  /** Receive pool: fill ring, and frames that flows hold until recv_done. Empty: rxNoFrame. */
  receiveFrames: number;
  /** Transmit pool: frames on the way out. Empty: no segment is built, the flow tries again. */
  transmitFrames: number;
  /** AF_XDP descriptor rings (power of two). */
  ringEntries: number;
  /**
   * Control blocks, also of half-open flows and of TIME-WAIT. Full: SYN dropped, connect NO_FLOW.
   */
  flows: number;
  /** Listening ports. Full: NO_FLOW. */
  listeners: number;
  /** UDP sockets. Full: NO_FLOW. */
  udpSockets: number;
  /**
   * Spans queued by sendv and not yet acknowledged, of all flows, beside one that each has for
   * itself. Full: sendv accepts fewer bytes.
   */
  sendSpans: number;
  /** Neighbours (ARP entries). Full: the oldest that nothing uses is replaced. */
  neighbours: number;
  /**
   * Datagrams under reassembly, of IPv4 and again of IPv6; one sender has a quarter of them at
   * most. Full: the oldest is dropped.
   */
  reassemblies: number;
  /** Application timers. */
  timers: number;
  /** Application memory: what sendv may name, bytes. */
  applicationBytes: number;
  quotas: Quotas;
}

export interface LimitChoices {
  flows?: number;
  receiveFrames?: number;
  applicationMiB?: number;
  quotas?: Partial<Quotas>;
}

/** Limits of one elastic thread from the numbers a user may choose. */
export function limitsFor(choices: LimitChoices = {}): Limits {
  const flows = choices.flows ?? 16_384;
  const limits: Limits = {
    // 4096 in the fill ring, 12,288 held: three flows at full window
    receiveFrames: choices.receiveFrames ?? 16_384,
    transmitFrames: 8192, // 2 x ring entries: one ring full in the NIC, one being built
    ringEntries: 4096,
    flows,
    listeners: 64,
    udpSockets: 256,
    sendSpans: Math.max(16_384, flows * 2),
    neighbours: 1024,
    reassemblies: 64,
    timers: 4096,
    applicationBytes: (choices.applicationMiB ?? 128) * 2 ** 20,
    quotas: { ...NO_QUOTAS, ...choices.quotas },
  };
  assert(limits.flows < 1 << FLOW_INDEX_BITS, 'flows: a handle has 20 bits of index');
  assert(limits.receiveFrames > limits.ringEntries, 'receiveFrames: must exceed the fill ring');
  return limits;
}

/** What comes first: control blocks are used up, or the quota is. */
export const connectionsOf = ({ flows, quotas }: Limits): number => Math.min(flows, quotas.flows);

/** Packet memory: both pools. AF_XDP pins it. */
export const packetBytesOf = ({ receiveFrames, transmitFrames }: Limits): number =>
  (receiveFrames + transmitFrames) * FRAME_BYTES;

/**
 * Bytes of arena for these limits: the big segments, and a tenth plus 32 MiB for all small ones.
 */
export function arenaBytesFor(limits: Limits): number {
  const frames = (limits.receiveFrames + limits.transmitFrames) * (FRAME_BYTES + 64);
  const flows = limits.flows * (576 + 64);
  const timers = (limits.flows + limits.timers + 2 * limits.neighbours) * 32;
  const spans = (limits.sendSpans + limits.flows) * 32;
  const reassembly = limits.reassemblies * 65_536 * 4; // IPv4's and IPv6's, each with room to spare
  const destinations = (limits.flows + limits.neighbours + 2048) * 96;
  const small = frames + flows + timers + spans + reassembly + destinations;
  return Math.ceil(small * 1.1) + limits.applicationBytes + 32 * 2 ** 20;
}

/** Smallest power of two that is at least n. */
export const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

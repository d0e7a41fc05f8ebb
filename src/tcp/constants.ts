/**
 * TCP's numbers that are choices, each with its source or its reason.
 *
 * - How much of a pool one flow may have stands here; how big the pools are in src/limits.ts.
 * - Deadlines are microseconds below 2^31, as the wheel takes them; what may be longer is ms.
 */

/**
 * Retransmission timeout, microseconds (RFC 6298). The floor, under its term for the variance, is
 * Linux's and every data centre's: at least a round trip and this, not the RFC's second.
 */
export const RTO_INITIAL_US = 1_000_000;
export const RTO_MIN_US = 200_000;
export const RTO_MAX_US = 60_000_000;
/** After a lost SYN the first data uses at least this (RFC 6298 5.7). */
export const RTO_AFTER_SYN_LOSS_US = 3_000_000;
/**
 * Longest delay of an acknowledgement (RFC 1122 4.2.3.2 allows 500 ms; IX had 1 ms). Short, because
 * what is done to a flow soon finds its state in the cache: with 250,000 connections 194,000
 * messages a second at 40 ms, 280,000 at 1 ms. Longer than what an idle thread waits for awake
 * (dataplane/runner.ts).
 */
export const DELAYED_ACK_US = 2000;
/**
 * How long the acknowledgement of two full segments waits for more of them, or for data to ride on:
 * as long as the eight segments need that it may name. Alone it is a kick of its own. Messages to
 * and fro, in us, at once and with this: 4 KiB 16.3 and 12.8, 8 KiB 25.0 and 21.9, 16 KiB 43.6 and
 * 39.6, 64 KiB 147 and 142.
 */
export const HOLD_ACK_US = 12;
/**
 * Retransmissions before a flow dies: 0.2 s doubling to 60 s is 342 s (RFC 9293 3.8.3: R2 >= 100).
 */
export const RETRIES_MAX = 13;
/** From this one on the network layer is told (RFC 9293 3.8.3: R1, SHLD-10). */
export const RETRIES_TOLD = 3;
/** Of our SYN: 1 s doubling to 60 s makes 183 s (RFC 9293 3.8.3: R2 for SYN >= 3 minutes). */
export const SYN_RETRIES_MAX = 7;
/** Of a SYN-ACK: 63 s. A listener's backlog must not be held for long. */
export const SYN_ACK_RETRIES_MAX = 5;
/**
 * Unanswered probes of a zero window, as many as retransmissions; fewer of a flow that the
 * application has closed: Linux's tcp_orphan_retries.
 */
export const PROBES_MAX = 13;
export const ORPHAN_PROBES_MAX = 8;
/** Probes of a closed flow whose peer answers and never reads: 342 s to 13 minutes. */
export const ORPHAN_ANSWERED_MAX = 13;
/** TIME-WAIT: 2 MSL (RFC 9293 3.4.2 says 4 minutes; 60 s is the practice). */
export const TIME_WAIT_US = 60_000_000;
/** FIN-WAIT-2 of a flow that the application has closed (Linux's tcp_fin_timeout). */
export const ORPHAN_US = 60_000_000;
/** A flow that knocked at SYN and is neither accepted nor rejected: its place is free again. */
export const KNOCK_US = 60_000_000;
/** Keepalive, unless said otherwise: between probes, and how many (RFC 9293 3.8.4; Linux's). */
export const KEEPALIVE_INTERVAL_MS = 75_000;
export const KEEPALIVE_PROBES_MAX = 9;
/** An application may ask for so many (Linux's MAX_TCP_KEEPCNT). */
export const KEEPALIVE_COUNT_MAX = 127;
/** The wheel takes deadlines below 2^31 us; longer waits are made of several. */
export const WAIT_MAX_MS = 1_000_000;

/** What may be chosen: the congestion controller, and whether ECN is used (ecn.ts). */
export const CONGESTION_NAMES = ['cubic', 'newReno', 'dctcp'] as const;
export const ECN_OPTIONS = ['off', 'accept', 'ask'] as const;

/** Initial window in segments (RFC 6928). */
export const INITIAL_WINDOW_SEGMENTS = 10;
/** The smallest MSS that we believe a peer: below it headers would be nearly all that is sent. */
export const SEND_MSS_MIN = 64;
/**
 * No path has a smaller MTU that would be worth a segment (RFC 1191: 68; why not: RFC 5927 7.2).
 */
export const PATH_MTU_MIN = 552;
/** A segment that so many timeouts have not got through may be too long; then these packets. */
export const BLACK_HOLE_TIMEOUTS = 2;
export const BLACK_HOLE_MTUS: readonly number[] = [1280, PATH_MTU_MIN];
/** Sizes on the way up: IPv6's smallest, room for one tunnel, then what peer and link allow. */
export const PROBED_MTUS: readonly number[] = [1280, 1400];
/** To the next try from a fall or a success; from a failure or ICMP's word (RFC 1191 6.3). */
export const MTU_RAISE_SOON_US = 5_000_000;
export const MTU_RAISE_AGAIN_US = 600_000_000;
/** Most segments that one flow sends in one flush: the transmit ring is shared, 32 such fill it. */
export const BURST_SEGMENTS = 128;

/**
 * A larger burst is spread over the round trip, if that is so long, us; at this multiple of cwnd a
 * round trip, first in slow start, then after it (Linux's rates).
 */
export const PACE_RTT_MIN_US = 2000;
export const PACE_GAIN_START = 2;
export const PACE_GAIN = 1.25;

/** Receive buffer of a flow: one window without scaling, and where automatic growth ends. */
export const RECEIVE_BUFFER_INITIAL = 65_536;
export const RECEIVE_BUFFER_MAX = 4 * 2 ** 20;
/** Our window scale: 4 MiB in 16 bits needs 7. */
export const RECEIVE_SCALE = 7;
/** Payload that a held frame is reckoned to carry: a full segment with timestamps on Ethernet. */
export const FRAME_PAYLOAD = 1448;
/**
 * From so many frames on a flow whose frames are less than half full has payloads copied together.
 */
export const COMPACT_FRAMES = 16;
/** Largest payload that is copied: half a frame. */
export const COMPACT_BYTES = 1024;
/**
 * Runs that a flow may have out of order whatever they hold (SACK can name four; a path that
 * reorders makes few, a lossy one holes between full segments, of which there may be as many as
 * there are frames). Beyond them a new one needs half a full segment.
 */
export const TINY_RUNS = 32;
/**
 * Frames that a flow may hold when they are scarce, and how many are kept back for that at most.
 */
export const FRAMES_ALWAYS = 4;
export const RESERVE_FRAMES = 512;

/**
 * Bytes that send accepts beyond what is acknowledged: one receive buffer of a peer like us; no
 * memory is behind it but spans.
 */
export const SEND_QUEUE_BYTES = 4 * 2 ** 20;
/** Spans that a flow may queue however scarce they are: two sendv calls of four. */
export const SPANS_ALWAYS = 8;

/**
 * Challenge ACKs per flow: so many in so long (RFC 5961 7; per flow, because a shared count can be
 * probed), and more for segments whose acknowledgement is acceptable: keepalives.
 */
export const CHALLENGE_ACKS_MAX = 10;
export const CHALLENGE_ACKS_MORE = 10;
export const CHALLENGE_INTERVAL_MS = 5000;

/** Ports that connect picks from (RFC 6056; Linux's range). */
export const EPHEMERAL_FIRST = 32_768;
export const EPHEMERAL_COUNT = 28_232;
/** Timestamps older than this say nothing (RFC 7323 5.5). */
export const TIMESTAMP_AGE_MAX_MS = 24 * 24 * 3_600_000;

/**
 * Runs in flight that one flow may have on the scoreboard, and one more for each full segment in
 * flight: slow start leaves a window of which every other segment is lost. (With 512 and no more
 * recovery crawled: 39 Mbit/s instead of 89 on an empty path of 100 Mbit/s x 100 ms.) A peer that
 * acknowledges every second byte gets no further than that: what one of its acknowledgements costs
 * is bounded by what it lets us have in flight.
 */
export const RUNS_MAX = 64;
/** The smallest round trip is that of so long, ms: paths change. */
export const MIN_RTT_MS = 10_000;
/**
 * Duplicates, or segments beyond a hole, that make a loss certain while no reordering was seen (RFC
 * 5681 3.2; RFC 8985 6.2, step 4).
 */
export const DUPLICATES = 3;
/** RACK keeps a widened reordering window for so many recoveries (RFC 8985 6.2, step 4). */
export const REORDERING_KEEP = 16;
/** How late an acknowledgement of one segment may be (RFC 8985 7.2: TLP.max_ack_delay), and any. */
export const LATE_ACK_US = 200_000;
export const PROBE_MARGIN_US = 2000;

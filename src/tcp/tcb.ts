/**
 * The control block: everything TCP knows of one flow, a row of int32 words in the arena.
 *
 * - Rows, not columns: a segment touches some twenty fields of one flow, and the first two cache
 *   lines hold those that header prediction and a reply need. A row is nine lines; the last three
 *   are only touched when something is lost, by congestion control, and by what few flows use.
 * - The currency inside tcp/ is `row`, the word index of a row's first word (never 0, so 0 means
 *   none): a field is `i32[row + TCB.sndUna]`. Wheel and handles use the flow number (`TCB.flow`).
 *
 * Used by all of tcp/; flows.ts has the rows themselves. Read first: RFC 9293 3.3.1.
 */

/** Nine cache lines, not eight: rows 512 bytes apart would share an eighth of a cache's sets. */
export const ROW_WORDS = 144;
export const ROW_BYTES = ROW_WORDS * 4;

/** Word numbers. */
export const TCB = {
  // line 0: header prediction
  state: 0,
  flags: 1,
  rcvNxt: 2,
  /** Right edge of the window we have advertised; it never moves left. */
  rcvEdge: 3,
  sndUna: 4,
  sndNxt: 5,
  /** Highest sequence number sent; sndNxt falls back to sndUna after a timeout. */
  sndMax: 6,
  /** Peer's window, bytes (scaled), and the segment it came with. */
  sndWnd: 7,
  sndWl1: 8,
  sndWl2: 9,
  tsRecent: 10,
  /** Received, in order: first and last frame's metadata, bytes. */
  rxHead: 11,
  rxTail: 12,
  rxBytes: 13,
  /** Root of the tree of what is out of order, 0: nothing (out-of-order.ts). */
  oooHead: 14,
  /** Events to emit (PENDING). */
  pending: 15,
  // line 1: acknowledging and sending
  cwnd: 16,
  ssthresh: 17,
  /** Payload bytes of a full segment, options taken off. */
  mss: 18,
  dupAcks: 19,
  /** Which deadlines are set (TIMER), and when the wheel fires. */
  timers: 20,
  armedAt: 21,
  rtoAt: 22,
  delackAt: 23,
  /** Send queue: first span, bytes of it acknowledged, last span, bytes queued; sndNxt's place. */
  txHead: 24,
  txHeadDone: 25,
  txTail: 26,
  txBytes: 27,
  txNext: 28,
  txNextDone: 29,
  /** Bytes acknowledged and not yet told to the application. */
  sentBytes: 30,
  /** Bytes received since our last acknowledgement. */
  unacked: 31,
  // line 2: who it is; building a segment
  flow: 32,
  remote: 33,
  /** remote << 16 | local, as in a received header. */
  ports: 34,
  local: 35,
  neighbour: 36,
  sndScale: 37,
  rcvScale: 38,
  tsOffset: 39,
  lastAckSent: 40,
  /** Round trip: smoothed (us << 3), variation (us << 2), timeout (us). */
  srtt: 41,
  rttvar: 42,
  rto: 43,
  /** The timed segment's end and when it left; valid with FLAG.timing. */
  rttSeq: 44,
  rttAt: 45,
  generation: 46,
  cookie: 47,
  // line 3: lists, less frequent things
  readyNext: 48,
  readyPrev: 49,
  outputNext: 50,
  outputPrev: 51,
  listNext: 52,
  listPrev: 53,
  /** First frame with bytes not yet emitted; bytes emitted and not yet done. */
  rxUnread: 54,
  rxGiven: 55,
  /** Frames held, in order and out of order. */
  rxFrames: 56,
  rcvBuf: 57,
  /** Bytes done since the buffer last grew. */
  rxSince: 58,
  /** Largest payload seen: what a full segment of the peer is. */
  rcvMss: 59,
  maxWnd: 60,
  /** Which lists the row is in (LIST). */
  lists: 61,
  retries: 62,
  lastTxMs: 63,
  // line 4: rare
  persistAt: 64,
  keepAt: 65,
  longAt: 66,
  probes: 67,
  keepProbes: 68,
  keepIdleMs: 69,
  lastRxMs: 70,
  listener: 71,
  iss: 72,
  irs: 73,
  /** Sequence number of the peer's FIN; valid with FLAG.finKnown. */
  rcvFin: 74,
  deadReason: 75,
  /** Most bytes in flight in this window, and its end: whether cwnd is used (acknowledge.ts). */
  mostFlight: 76,
  mostFlightEnd: 77,
  tsRecentMs: 78,
  txSpans: 79,
  // line 5: out of order (out-of-order.ts: runs, frames); what is in flight
  oooRuns: 80,
  oooFrames: 81,
  /** The run that the most recent out-of-order segment went to: the first SACK block. */
  oooLast: 82,
  /** MSS that the peer named, header without options. */
  peerMss: 83,
  /** Bytes acknowledged in congestion avoidance since cwnd last grew. */
  caBytes: 84,
  /** sndMax when recovery, or a timeout, began. */
  recover: 85,
  /** Runs of what is in flight (scoreboard.ts): first, last, how many. */
  runHead: 86,
  runTail: 87,
  runs: 88,
  /** Bytes in flight that are selectively acknowledged; that are lost and not sent again. */
  sacked: 89,
  lost: 90,
  /** What the retransmission timer is set for (WAIT). */
  waitsFor: 91,
  /** RACK: when the latest delivered segment left, its end, its round trip (us). */
  rackAt: 92,
  rackEnd: 93,
  rackRtt: 94,
  /** Smallest round trip of the last seconds, us; 0: none yet. */
  minRtt: 95,
  // line 6: recovery
  minRttMs: 96,
  /** Highest sequence number that is acknowledged in any way. */
  fack: 97,
  /** RACK's reordering window in quarters of minRtt, for how many recoveries, its last round. */
  reoSteps: 98,
  reoKeep: 99,
  reoRound: 100,
  /** End of the probed flight; valid with FLAG.tail. */
  tailEnd: 101,
  /** PRR: flight at the start, bytes delivered and sent since. */
  prrFlight: 102,
  prrDelivered: 103,
  prrOut: 104,
  /** To be restored when nothing was lost, and bytes sent again that a DSACK has not named yet. */
  undoCwnd: 105,
  undoSsthresh: 106,
  undoBytes: 107,
  /** Timestamp of the first retransmission of this recovery. */
  undoStamp: 108,
  /** Duplicate that we have received and that the next acknowledgement names; equal: none. */
  dsackStart: 109,
  dsackEnd: 110,
  /** Where the latest out-of-order segments went, before oooLast: sequence numbers. */
  sackRecent1: 111,
  sackRecent2: 112,
  // line 7: congestion control
  /** CUBIC (cubic.ts). */
  cubicMax: 113,
  cubicMaxBefore: 114,
  cubicEpochMs: 115,
  cubicKMs: 116,
  cubicOrigin: 117,
  cubicReno: 118,
  cubicRest: 119,
  /** HyStart++: end of the round, its and the last one's least RTT, samples, baseline, rounds. */
  roundEnd: 120,
  roundMin: 121,
  roundMinLast: 122,
  roundSamples: 123,
  cssBase: 124,
  cssRounds: 125,
  /** CUBIC: cwnd when it was last reduced. */
  cubicPrior: 126,
} as const;

/**
 * Line 8: what few flows use. A table of its own because V8 makes a literal of 128 properties or
 * more a dictionary, whose fields it does not fold: a request took 2,640 instead of 650 ns.
 */
export const RARE = {
  /** What ECN has to say (ecn.ts). */
  ecn: 127,
  /**
   * Path MTU (path-mtu.ts): when to try a larger segment; of the one that is out: payload, place.
   */
  mtuAt: 128,
  mtuProbe: 129,
  mtuProbeSeq: 130,
  /** User timeout, ms; when it comes, sndUna then, since when (user-timeout.ts). */
  userMs: 131,
  userAt: 132,
  userUna: 133,
  userSinceMs: 134,
  /** When the rest of a burst may go (output.ts). */
  paceAt: 135,
  /** TTL or hop limit (0: the usual one) << 8 | DiffServ code point << 2 (segment.ts). */
  marking: 136,
  /** Urgent data: RCV.UP, and whether there ever was one (receive.ts). */
  urgentEnd: 137,
  hasUrgent: 138,
  /** ECN: sndMax when the window was last reduced. */
  ecnEnd: 139,
  /** Challenge ACKs in this interval, and when it began. */
  challenges: 140,
  challengeMs: 141,
  /** Keepalive: between unanswered probes, and how many; the idle time is TCB.keepIdleMs. */
  keepIntervalMs: 142,
  keepMost: 143,
} as const;

/** RFC 9293 3.3.2. LISTEN is not a flow's state here: listeners are in listen.ts. */
export const STATE = {
  closed: 0,
  synSent: 1,
  synReceived: 2,
  established: 3,
  finWait1: 4,
  finWait2: 5,
  closeWait: 6,
  closing: 7,
  lastAck: 8,
  timeWait: 9,
} as const;

export const FLAG = {
  timestamps: 1 << 0,
  sack: 1 << 1,
  /** Opened by our connect. */
  active: 1 << 2,
  /** The application has the flow: connected by it, or accepted. */
  owned: 1 << 3,
  /** `knock` was emitted. */
  knocked: 1 << 4,
  knockAtSyn: 1 << 5,
  /** The application has closed its side: FIN after what is queued. */
  finQueued: 1 << 6,
  finAcked: 1 << 7,
  /** The application will read no more (close, as against shutdown). */
  noReader: 1 << 8,
  /** The peer's FIN has arrived, perhaps before data that is missing. */
  finKnown: 1 << 9,
  /** An acknowledgement is due in this flush. */
  ackNow: 1 << 10,
  /** An acknowledgement is due, with data or after DELAYED_ACK_US. */
  ackDelayed: 1 << 11,
  timing: 1 << 12,
  recovery: 1 << 13,
  /**
   * Retransmit in this flush: one segment at sndUna, or with SACK what the scoreboard calls lost.
   */
  rexmit: 1 << 14,
  /** Send a window probe in this flush. */
  probe: 1 << 15,
  /** Send a keepalive in this flush. */
  keepalive: 1 << 16,
  softError: 1 << 17,
  /** `dead` was emitted, or will never be: the row is the stack's alone. */
  gone: 1 << 18,
  /** The listener counts it: as half-open, or as waiting for accept. */
  halfOpen: 1 << 19,
  waiting: 1 << 20,
  /** The SYN, or SYN-ACK, was sent more than once. */
  synLost: 1 << 21,
  /** In TIME-WAIT, with the bit of synLost: a SYN of another connection was refused as old. */
  oldSyn: 1 << 21,
  /** Something in flight is selectively acknowledged. */
  disorder: 1 << 22,
  /** A timeout's recovery, until `recover` is acknowledged. */
  loss: 1 << 23,
  /** It is not yet known whether that timeout was needed (F-RTO). */
  doubt: 1 << 24,
  /** Of two minds about it: send new data instead of old (F-RTO's step 2). */
  tryNew: 1 << 25,
  /** Send a tail loss probe in this flush; one is out; it was a retransmission. */
  tailDue: 1 << 26,
  tail: 1 << 27,
  tailOld: 1 << 28,
  /** The network reorders (RACK). */
  reorders: 1 << 29,
  /** Both sides have agreed on ECN. */
  ecn: 1 << 30,
  /** Send a segment of mtuProbe bytes in this flush, if there are so many. */
  mtuProbe: 1 << 31,
} as const;

/** What the one timer of data in flight is for: timeout, tail loss probe, RACK's patience. */
export const WAIT = { timeout: 0, probe: 1, reordering: 2 } as const;

/** A word of their own: a list may be entered while somebody holds a copy of the flags. */
export const LIST = {
  ready: 1,
  output: 2,
  dying: 4,
  timeWait: 8,
  orphan: 16,
  connecting: 32,
} as const;

export const TIMER = {
  rto: 1,
  delack: 2,
  persist: 4,
  keep: 8,
  /** TIME-WAIT, FIN-WAIT-2 without a reader, knock without an answer. */
  long: 16,
  /** The wheel is armed, at armedAt. */
  armed: 32,
  user: 64,
  mtu: 128,
  pace: 256,
} as const;

export const PENDING = {
  knock: 1,
  connected: 2,
  recv: 4,
  recvEnd: 8,
  sent: 16,
  dead: 32,
  urgent: 64,
} as const;

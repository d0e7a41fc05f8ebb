/**
 * The ABI between application and dataplane: the only description of system calls, event conditions
 * and codes (the paper's Table 1, extended).
 *
 * - Two arrays of fixed descriptors of 16 int32 words in shared memory: the application writes
 *   *calls*, the dataplane writes each one's result in place and *events*. One crossing a batch.
 * - A handle is generation and index, always > 0. Nobody gets one twice while somebody could hold
 *   it: a stale or foreign one is answered BAD_HANDLE.
 * - Addresses of memory are arena offsets: `sendv` may name application memory only, `recv` names
 *   bytes of the receive pool, which stay until `recv_done`.
 * - IP addresses are four words in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2): the
 *   first three words are 0, 0, 0x0000ffff; the fourth is the IPv4 address as a big-endian integer.
 * - Ports are packed as `local << 16 | remote`.
 *
 * What an application may write there is checked in src/dataplane/gate.ts. Read first: OSDI'14 4.3.
 */

/** Word 0 of a call. */
export const CALL = {
  /**
   * [cookie, address x4, ports] -> handle; later `connected` or `dead`. local port 0: we pick one.
   */
  connect: 1,
  /** [handle, cookie]: takes a knocking flow; every later event of the flow carries the cookie. */
  accept: 2,
  /** [handle]: refuses a knocking flow with RST. */
  reject: 3,
  /**
   * [handle, count, offset, length, ... up to 4 spans], or count = SENDV_VECTOR: [handle,
   * SENDV_VECTOR, offset of (offset, length) pairs in application memory, pairs]. -> bytes accepted
   * (a prefix; 0, or QUOTA, only while other flows hold what there is: again after the next `sent`
   * or `dead` of any). Word SENDV_DONE: received bytes that are consumed, as by a recv_done before
   * it: 0 when that is done; if they are refused, nothing is sent.
   */
  sendv: 4,
  /** [handle, bytes]: received bytes are consumed, in order; reopens the window. */
  recv_done: 5,
  /** [handle]: FIN after what is queued. Ends in `dead`. */
  close: 6,
  /** [handle]: RST now. Ends in `dead`. */
  abort: 7,
  /**
   * [cookie, address x4 (all 0: any), port, backlog, flags] -> listener handle. Port 0: the stack
   * picks, and the port is written in its place (word BOUND_PORT).
   */
  listen: 8,
  /** [listener]: no new knocks; flows that knocked live on. */
  unlisten: 9,
  /**
   * [cookie, address x4 (all 0: any), port] -> UDP handle. Port 0: the stack picks, as for listen.
   */
  udp_bind: 10,
  /** [udp, offset, length, address x4, port] -> bytes or code; later `udp_sent`. */
  udp_sendv: 11,
  /** [udp, offset]: one received datagram is done with. */
  udp_recv_done: 12,
  /** [udp] */
  udp_close: 13,
  /** [cookie, delayUs] -> timer handle; one `timer` event. */
  timer: 14,
  /** [timer]: no event will come. */
  timer_cancel: 15,
  /** [handle]: FIN after what is queued; received data still comes (half-close). */
  shutdown: 16,
  /**
   * [handle, idleMs, intervalMs, count]: asks a peer that has been silent for so long whether it is
   * still there, so many times, so far apart (0: 75 s and 9, as Linux); without an answer the flow
   * dies (timeout). idleMs 0: never.
   */
  keepalive: 17,
  /**
   * [handle, ms]: the flow dies (timeout) when nothing was acknowledged for so long; 0: after the
   * usual retries. Also right after `connect`, for the handshake.
   */
  user_timeout: 18,
  /**
   * [handle, hops, class]: TTL or hop limit (1..255; 0: the usual 64) and DiffServ code point
   * (0..63) of the flow's segments from now on. Right after `connect`, for its SYN, too.
   */
  marking: 19,
} as const;

/** Where the result of a call is written (the last word). */
export const CALL_RESULT = 15;
/** sendv: word positions. */
export const SENDV_SPANS_MAX = 4;
export const SENDV_VECTOR = 255;
export const SENDV_VECTOR_MAX = 256;
export const SENDV_DONE = 11;
/** listen and udp_bind: word of the port, where one that the stack picked is written. */
export const BOUND_PORT = 6;
/**
 * listen flag: knock at SYN, so that `reject` comes before SYN-ACK, not at handshake completion.
 */
export const LISTEN_KNOCK_AT_SYN = 1;

/** Word 0 of an event. */
export const EVENT = {
  /** [handle, listener cookie, remote address x4, ports, local address x4] */
  knock: 1,
  /** [handle, cookie, local address x4, ports]: our connect succeeded. */
  connected: 2,
  /**
   * [handle, cookie, offset, length, bytes, window]: in-order bytes in the receive pool; `bytes`
   * and `window` as in `sent`, when there is something to say of both (0: not).
   */
  recv: 3,
  /** [handle, cookie]: the peer has sent FIN; no more recv. */
  recv_end: 4,
  /**
   * [handle, cookie, bytes, window]: `bytes` more are acknowledged, `window` more would be taken.
   */
  sent: 5,
  /**
   * [handle, cookie, reason]: the flow is gone, its handle stale from now on. Exactly once a flow.
   */
  dead: 6,
  /** [udp, cookie, offset, length, source address x4, ports, truncated] */
  udp_recv: 7,
  /** [udp, cookie, bytes]: the datagram left; its memory is free again. */
  udp_sent: 8,
  /** [timer, cookie] */
  timer: 9,
  /**
   * [handle, cookie, bytes]: the peer calls the next so many bytes of the flow's `recv` urgent (RFC
   * 9293 3.8.5). They come in line. Again when it calls more urgent.
   */
  urgent: 10,
} as const;

/** Results below zero. */
export const CODE = {
  OK: 0,
  /** stale, foreign, or of the wrong kind */
  BAD_HANDLE: -1,
  /** an offset or length outside application memory, or negative */
  BAD_RANGE: -2,
  /** unknown call, count or flag */
  BAD_CALL: -3,
  /** the flow is not in a state for this call (RFC 9293 3.10) */
  BAD_STATE: -4,
  /** control blocks, listeners or sockets are used up */
  NO_FLOW: -5,
  /** the port or the four-tuple is taken */
  IN_USE: -6,
  /** no route to that address, or an address that is not ours */
  NO_ROUTE: -7,
  /** more recv_done bytes than were received */
  BAD_COUNT: -8,
  /** a quota of this application is used up */
  QUOTA: -9,
  /** nothing to send with now (frames, queue); try again at the next event */
  AGAIN: -10,
  /** datagram longer than fits (UDP) */
  TOO_LONG: -11,
  /** this application may not speak first to that address (`--connect`) */
  DENIED: -12,
} as const;

/** Why a flow died: word 3 of `dead`. */
export const DEAD = {
  /** both sides closed */
  closed: 0,
  /** the peer reset the connection */
  reset: 1,
  /** nobody answered: SYN, data or keepalive retries used up (RFC 9293 3.8.3) */
  timeout: 2,
  /** RST in answer to our SYN, or ICMP port unreachable */
  refused: 3,
  /** ICMP: no way to the peer */
  unreachable: 4,
  /** by our own abort or reject */
  aborted: 5,
  /** not a reason of the dataplane's: libix says so of a connect that was answered DENIED */
  denied: 6,
  /** the same of one whose ports are taken: IN_USE */
  inUse: 7,
  /** the same of one beyond what there is: NO_FLOW */
  exhausted: 8,
  /** the same of one beyond what the application may have: QUOTA */
  quota: 9,
  /** the same of an address that no way of ours leads to: NO_ROUTE */
  noRoute: 10,
} as const;

/** Words of an event or a call that every kind shares. */
export const WORD = {
  kind: 0,
  handle: 1,
  cookie: 2,
  a: 3,
  b: 4,
  c: 5,
  d: 6,
  e: 7,
  f: 8,
  g: 9,
} as const;

/** Words of a knock. */
export const KNOCK = { remote: 3, ports: 7, local: 8 } as const;
/** Words of a connected. */
export const CONNECTED = { local: 3, ports: 7 } as const;

/** The first three words of an IPv4-mapped address. */
export const MAPPED_V4 = 0xffff;

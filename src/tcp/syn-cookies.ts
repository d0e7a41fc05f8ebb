/**
 * SYN cookies: a listener whose backlog is full answers SYNs all the same, and remembers nothing.
 *
 * - Our initial sequence number carries what must not be forged: 5 bits of time, 3 bits of MSS, 24
 *   bits of a keyed hash over these, the four-tuple and the peer's number. The acknowledgement
 *   brings it back; two periods of 65 s are believed.
 * - What may be lost goes into the low bits of our timestamp, if the peer has any: its window scale
 *   and whether it knows SACK. Without timestamps such a connection has neither.
 * - Whether the SYN had timestamps, and a window scale with them, is under the hash: the
 *   acknowledgement cannot change what was agreed on. Timestamps that the SYN did not have are not
 *   read; without those that it had, our own scale still counts, the peer's is taken to be 0 (its
 *   windows look smaller than they are), SACK and timestamps are not used.
 * - The window in a cookie's SYN-ACK is always the same, so that it can be kept.
 * - An acknowledgement is looked at only while cookies are out: at other times the check is not
 *   there to be guessed at.
 *
 * Called by passive.ts. Read first: Bernstein, "SYN cookies" (1996); RFC 4987 3.6; RFC 7323 5.4.
 */
import type { Clock } from '../arena/clock.ts';
import { PURPOSE, SipHash } from '../arena/siphash.ts';
import type { Environment } from '../net/both/environment.ts';
import { ACK, RST, SYN } from '../wire/tcp.ts';
import type { Arrival } from './arrival.ts';
import { FRAME_PAYLOAD, FRAMES_ALWAYS } from './constants.ts';
import { ConnectionHash } from './iss.ts';
import { mssDefault } from './open.ts';
import type { IpLayer, SegmentWriter } from './segment.ts';

/** What a flow may hold however scarce frames are: a promise that nobody has to remember. */
export const COOKIE_WINDOW: number = FRAMES_ALWAYS * FRAME_PAYLOAD;
/** What the 3 bits stand for: the largest that is not above what the peer names. */
const MSS: readonly number[] = [216, 536, 1024, 1220, 1380, 1440, 1452, 1460];
/** Time goes in steps of 2^16 ms. */
const PERIOD_SHIFT = 16;
const PERIODS = 31;
const BELIEVED_MS = 2 << PERIOD_SHIFT;
const HASH_MASK = 0xff_ffff;
/** Low bits of the timestamp: window scale (15: none), SACK. */
const STAMP_BITS = 5;
const STAMP_MASK = (1 << STAMP_BITS) - 1;
const NO_SCALE = 15;
const SACK = 16;
/** What was agreed on of options that can be seen in the hash alone. */
const NO_STAMPS = 0;
const STAMPS = 1;
const STAMPS_AND_SCALE = 2;

export class SynCookies {
  readonly #clock: Clock;
  readonly #connection: ConnectionHash;
  readonly #hash: SipHash;
  readonly #ip: IpLayer;
  readonly #writer: SegmentWriter;
  /** Clock.ms of the last cookie. */
  #lastMs = 0;
  #areOut = false;

  constructor(env: Environment, ip: IpLayer, writer: SegmentWriter) {
    this.#clock = env.clock;
    this.#connection = new ConnectionHash(env.config.wireKey, ip);
    this.#hash = new SipHash(env.config.wireKey);
    this.#ip = ip;
    this.#writer = writer;
  }

  /** Answers a SYN; false: its MSS is too small to be told. */
  answer(a: Arrival): boolean {
    const { options } = a;
    const named = options.mss === 0 ? mssDefault(a.remote) : options.mss;
    let index = MSS.length - 1;
    while (index >= 0 && MSS[index]! > named) index--;
    if (index < 0) return false;
    const scale = options.hasTimestamps ? options.scale : -1;
    const plain = (((this.#clock.ms >>> PERIOD_SHIFT) & PERIODS) << 3) | index;
    const agreed = !options.hasTimestamps ? NO_STAMPS : scale < 0 ? STAMPS : STAMPS_AND_SCALE;
    const iss = this.#cookie(a, a.seq, plain, agreed);
    const sack = options.hasTimestamps && options.sackPermitted;
    const bits = (scale < 0 ? NO_SCALE : scale) | (sack ? SACK : 0);
    this.#writer.synAck(a, iss, COOKIE_WINDOW, sack, scale >= 0, this.#stamp(a, bits));
    this.#lastMs = this.#clock.ms;
    this.#areOut = true;
    return true;
  }

  /** Our timestamp, with its low bits replaced, and never ahead of the clock. */
  #stamp(a: Arrival, bits: number): number {
    this.#connection.of(a.remote, a.ports, a.local);
    const now = (this.#clock.ms + this.#connection.stamp) | 0;
    const stamp = (now & ~STAMP_MASK) | bits;
    return ((stamp - now) | 0) > 0 ? (stamp - STAMP_MASK - 1) | 0 : stamp;
  }

  /**
   * Whether the segment acknowledges a cookie. Then its options are what the SYN's were; our number
   * is ack - 1, the peer's seq - 1.
   */
  recognises(a: Arrival): boolean {
    if (!this.#areOut || (a.flags & (SYN | RST | ACK)) !== ACK) return false;
    const age = (this.#clock.ms - this.#lastMs) | 0;
    if (age < 0 || age > BELIEVED_MS) {
      this.#areOut = false;
      return false;
    }
    const iss = (a.ack - 1) | 0;
    const plain = iss >>> 24;
    if ((((this.#clock.ms >>> PERIOD_SHIFT) - (plain >>> 3)) & PERIODS) > 1) return false;
    let agreed = STAMPS_AND_SCALE;
    while (this.#cookie(a, (a.seq - 1) | 0, plain, agreed) !== iss) if (--agreed < 0) return false;
    const { options } = a;
    if (agreed === NO_STAMPS) options.hasTimestamps = false;
    const bits = this.#isOurs(a) ? options.tsEcr & STAMP_MASK : NO_SCALE;
    const scale = (bits & NO_SCALE) === NO_SCALE ? 0 : bits & NO_SCALE;
    options.mss = MSS[plain & 7]!;
    options.scale = agreed === STAMPS_AND_SCALE ? scale : -1;
    options.sackPermitted = (bits & SACK) !== 0;
    return true;
  }

  /** Whether a timestamp comes back that a cookie can have had. */
  #isOurs(a: Arrival): boolean {
    if (!a.options.hasTimestamps) return false;
    this.#connection.of(a.remote, a.ports, a.local);
    const age = (this.#clock.ms + this.#connection.stamp - a.options.tsEcr) | 0;
    return age >= 0 && age <= BELIEVED_MS;
  }

  /** `plain`: what can be read in the number, time and MSS. */
  #cookie(a: Arrival, irs: number, plain: number, agreed: number): number {
    const { words } = this.#hash;
    words[0] = (agreed << 16) | (plain << 8) | PURPOSE.cookie;
    words[1] = a.ports;
    words[2] = a.local;
    words[3] = irs;
    this.#ip.describe(a.remote, 4, words);
    return (plain << 24) | (this.#hash.hash(8) & HASH_MASK);
  }
}

/**
 * Watches the wire and knows TCP's rules: every frame that a host sends is checked against all that
 * came before.
 *
 * - Parsing and checksums are segment.ts; what each side has sent and can know is half.ts; here are
 *   the rules.
 * - The content of a stream is a function of its position, so a retransmission that differs from
 *   the original, or sends memory that the application has back, is found.
 *
 * Called by network.ts. Read first: RFC 9293 3.8.6, 3.10; RFC 7323; RFC 2018; RFC 6928.
 */
import type { Arena } from '../src/arena/arena.ts';
import { ACK, FIN, RST, SYN, URG } from '../src/wire/tcp.ts';
import { HOSTS_MAX, hostOf } from './address.ts';
import { firstWrong, keyOf } from './content.ts';
import { ecnDelivered, ecnSent, ecnSyn } from './ecn-rules.ts';
import { Conversation, type Half } from './half.ts';
import { sackDelivered, sackNamed, sackResent } from './sack-rules.ts';
import type { Schedule } from './schedule.ts';
import { Segment } from './segment.ts';
import { Violation } from './violation.ts';

const INITIAL_WINDOW_SEGMENTS = 10;
/** Below this a timeout that did not grow is not worth a word. */
const RTO_CAP_US = 55_000_000;

function rule(holds: boolean, text: string): void {
  if (!holds) throw new Violation(`wire: ${text}`);
}

export class Observer {
  /** Segments and payload bytes that were sent, and of them those sent before. */
  segments = 0;
  bytes = 0;
  resent = 0;
  /**
   * The same without those at the end of what was sent, which tail loss probes (RFC 8985 7) repeat.
   */
  resentInside = 0;
  resets = 0;
  readonly #segment: Segment;
  readonly #schedule: Schedule;
  readonly #pattern: Buffer;
  readonly #memory: Buffer;
  /** Frames other than TCP delivered, by host. */
  readonly #others = new Int32Array(HOSTS_MAX);
  readonly #conversations = new Map<number, Conversation>();
  /** Whether a host has dropped frames for want of a neighbour: TCP believes that they left. */
  mayHaveHeld = (_host: number): boolean => false;
  /** Whether a host's scoreboard has room for whatever its flows may have in flight. */
  hasRuns = (_host: number): boolean => true;
  /** Off while hosts pause: their timers are late, so that the next one looks early. */
  checksBackOff = true;

  constructor(arena: Arena, schedule: Schedule, pattern: Buffer) {
    this.#segment = new Segment(arena);
    this.#schedule = schedule;
    this.#pattern = pattern;
    this.#memory = Buffer.from(arena.memory.buffer as ArrayBuffer);
  }

  /**
   * The conversation of the segment just read, and its sender's side in it. `sent`: a new SYN
   * begins a new one.
   */
  #find(sent: boolean): { conversation: Conversation; side: 0 | 1 } {
    const s = this.#segment;
    const a = hostOf(s.source) * 65_536 + s.sourcePort;
    const b = hostOf(s.destination) * 65_536 + s.destinationPort;
    const side = a <= b ? 0 : 1;
    const id = Math.min(a, b) * 2 ** 20 + Math.max(a, b);
    const old = this.#conversations.get(id);
    const isSyn = sent && (s.flags & (SYN | ACK | RST)) === SYN;
    const isAnew = isSyn && old?.halves[side].hasSyn && old.halves[side].iss !== s.seq;
    if (old && !isAnew) return { conversation: old, side };
    const key = keyOf(hostOf(s.source), s.sourcePort, hostOf(s.destination), s.destinationPort);
    const conversation = new Conversation(key, old ? old.generation + 1 : 0);
    this.#conversations.set(id, conversation);
    return { conversation, side };
  }

  /** A host has sent the frame at `at`. */
  sent(host: number, at: number, length: number): void {
    const s = this.#segment;
    if (!s.read(at, length)) return;
    rule(hostOf(s.source) === host, 'sent in the name of another host');
    this.segments++;
    const { conversation, side } = this.#find(true);
    const x = conversation.halves[side];
    const y = conversation.halves[1 - side]!;
    rule((s.flags & URG) === 0, 'URG is set');
    if ((s.flags & RST) !== 0) {
      this.resets++;
      rule(s.length === 0 && (s.flags & (SYN | FIN)) === 0, 'RST with data, SYN or FIN');
      return;
    }
    if ((s.flags & SYN) !== 0) this.#syn(conversation, x, y);
    else rule(s.mss < 0 && s.scale < 0 && !s.sackPermitted, 'a SYN option outside of a SYN');
    if (conversation.isConfused) return;
    if (!x.hasSyn && conversation.generation > 0) return; // the peer has not heard of the new one
    rule(x.hasSyn, 'a segment without a SYN before it');
    this.#sequence(conversation, x, y);
    // a SYN that comes late may be answered by a cookie, the same as the first: nobody remembers
    // the connection
    const isLate = (s.flags & (SYN | ACK)) === (SYN | ACK) && x.ackSent > 1;
    if (isLate && ((s.ack - y.iss) | 0) === 1) return;
    if ((s.flags & ACK) !== 0) this.#acknowledgement(x, y);
    else rule((s.flags & SYN) !== 0, 'neither ACK nor SYN');
    this.#timestamps(x, y);
  }

  #syn(conversation: Conversation, x: Half, y: Half): void {
    const s = this.#segment;
    rule(s.length === 0 && (s.flags & FIN) === 0, 'SYN with data or FIN');
    rule(s.mss >= 64, 'a SYN without MSS');
    if (x.hasSyn && (x.iss !== s.seq || x.fin >= 0)) conversation.isConfused = true;
    ecnSyn(s, x, y);
    if (x.hasSyn) return;
    x.hasSyn = true;
    x.hasRuns = this.hasRuns(hostOf(s.source));
    x.iss = s.seq;
    x.mss = s.mss;
    x.scale = s.scale;
    x.hasTimestamps = s.hasTimestamps;
    x.sackPermitted = s.sackPermitted;
    const answers = (s.flags & ACK) !== 0;
    rule(!answers || y.scale >= 0 || s.scale < 0, 'SYN-ACK scales a window unasked');
    rule(!answers || y.hasTimestamps || !s.hasTimestamps, 'SYN-ACK has timestamps unasked');
    rule(!answers || y.sackPermitted || !s.sackPermitted, 'SYN-ACK permits SACK unasked');
    rule(s.scale <= 14, 'window scale above 14');
    x.maxSent = 1;
  }

  #sequence(conversation: Conversation, x: Half, y: Half): void {
    const s = this.#segment;
    const start = (s.seq - x.iss) | 0;
    const isSyn = (s.flags & SYN) !== 0;
    const isFin = (s.flags & FIN) !== 0;
    const dataStart = isSyn ? start + 1 : start;
    const end = dataStart + s.length;
    rule(isSyn || start > 0 || s.length === 0, 'data at the sequence number of the SYN');
    if (start > x.maxSent && this.mayHaveHeld(hostOf(s.source))) x.maxSent = start;
    ecnSent(s, x, y, s.length > 0 && start >= x.maxSent);
    rule(start >= 0 && start <= x.maxSent, 'a sequence number beyond what was sent: a hole');
    if (x.fin >= 0 && (s.length > 0 || isFin))
      rule(end <= x.fin && (!isFin || end === x.fin), 'data beyond FIN, or another FIN');
    if (s.length > 0) {
      rule(x.hasPeerSyn, 'data before the handshake is complete');
      rule(s.length + s.headerBytes - 20 <= y.mss, 'a segment larger than the MSS the peer named');
      const isProbe = s.length === 1;
      rule(end <= x.edgeKnown + (isProbe ? 1 : 0), 'data beyond the window the peer advertised');
      if (x.deliveriesAtData < 0) x.deliveriesAtData = x.deliveries;
      if (x.deliveriesAtData === x.deliveries) {
        const most = INITIAL_WINDOW_SEGMENTS * Math.min(y.mss, 1460);
        rule(
          end <= 1 + Math.max(most, 14_600),
          'more than the initial window before anything came back',
        );
      }
      const { key } = conversation;
      const wrong = firstWrong(this.#pattern, this.#memory, s.data, s.length, key, dataStart - 1);
      if (wrong >= 0) {
        const kind =
          dataStart + wrong < x.maxSent ? 'retransmits other bytes' : 'sends wrong bytes';
        throw new Violation(`wire: ${kind} at position ${dataStart - 1 + wrong}`);
      }
      this.bytes += s.length;
      if (end < x.maxSent) this.resentInside += s.length;
      if (end <= x.maxSent) sackResent(x, dataStart, end);
      this.resent += Math.min(end, x.maxSent) - Math.min(dataStart, x.maxSent);
    }
    if (isFin) {
      // one that was held for a neighbour and dropped is known from what came behind it
      const isHeld = end === x.maxSent - 1 && this.mayHaveHeld(hostOf(s.source));
      rule(x.fin >= 0 || end >= x.maxSent || isHeld, 'FIN before the end of what was sent');
      rule(end <= x.edgeKnown, 'FIN beyond the window'); // it may stand at the edge, as BSD's does
      x.fin = end;
    }
    const hasSomething = s.length > 0 || isSyn || isFin;
    if (start < x.maxSent && hasSomething) this.#backsOff(x, start, end <= x.maxSent);
    x.maxSent = Math.max(x.maxSent, end + (isFin ? 1 : 0));
  }

  /**
   * Timeouts of one segment, with nothing heard in between, grow (RFC 6298 5.5). What is longer
   * than before (`isWhole` false) may be new behind a byte that has probed a closed window, and be
   * followed by a tail loss probe: time is taken anew.
   */
  #backsOff(x: Half, start: number, isWhole: boolean): void {
    const now = this.#schedule.now;
    if (!this.checksBackOff) return;
    const heard = x.deliveries + this.#others[hostOf(this.#segment.source)]!;
    const isSame = isWhole && x.again === start && x.againDeliveries === heard;
    if (isSame) {
      const waited = now - x.againAt;
      if (x.againAfter > 0) {
        rule(
          waited >= Math.min(x.againAfter * 1.5, RTO_CAP_US),
          'a timeout that does not back off',
        );
      }
      x.againAfter = waited;
    } else x.againAfter = 0;
    x.again = isWhole ? start : -1;
    x.againAt = now;
    x.againDeliveries = heard;
  }

  #acknowledgement(x: Half, y: Half): void {
    const s = this.#segment;
    rule(y.hasSyn, 'acknowledges a peer that has sent no SYN');
    const ack = (s.ack - y.iss) | 0;
    rule(ack <= x.arrived.next, 'acknowledges what has not arrived');
    rule(ack >= x.ackSent, 'an acknowledgement that moves back');
    x.ackSent = ack;
    const isScaled = (s.flags & SYN) === 0 && x.scale >= 0 && y.scale >= 0;
    const edge = ack + s.window * (isScaled ? 2 ** x.scale : 1);
    // A SYN sent again cannot say what a challenge ACK between has said: 65,535 rounded up to the
    // scale (RFC 7323 2.2).
    const isCapped = (s.flags & SYN) !== 0 && s.window === 0xffff;
    rule(edge >= x.edgeSent || isCapped, 'the right edge of the window moves left');
    x.edgeSent = Math.max(edge, x.edgeSent);
    sackNamed(s, x, y);
  }

  #timestamps(x: Half, y: Half): void {
    const s = this.#segment;
    const isAgreed = x.hasTimestamps && y.hasTimestamps && (s.flags & ACK) !== 0;
    if (isAgreed) rule(s.hasTimestamps, 'a segment without the agreed timestamps');
    if (!s.hasTimestamps) return;
    rule(x.hasTimestamps, 'timestamps that were not negotiated');
    rule(!x.hasSentTs || ((s.tsVal - x.tsVal) | 0) >= 0, 'a timestamp that moves back');
    x.hasSentTs = true;
    x.tsVal = s.tsVal;
    if ((s.flags & ACK) !== 0 && x.hasPeerTs) {
      rule(((s.tsEcr - x.peerTsVal) | 0) <= 0, 'echoes a timestamp that has not arrived');
    }
  }

  /** A frame that no one has changed reaches a host's driver. */
  delivered(host: number, at: number, length: number): void {
    const s = this.#segment;
    if (!s.read(at, length)) {
      this.#others[host]!++; // perhaps ICMP: "too big" may be answered at once
      return;
    }
    if (hostOf(s.destination) !== host) return;
    if (hostOf(s.source) < 0 || (s.flags & RST) !== 0) return;
    const { conversation, side } = this.#find(false);
    const y = conversation.halves[side];
    const x = conversation.halves[1 - side]!;
    x.deliveries++;
    if (!y.hasSyn || conversation.isConfused) return;
    const isSyn = (s.flags & SYN) !== 0;
    const start = (s.seq - y.iss) | 0;
    const end = start + s.length + (isSyn ? 1 : 0) + ((s.flags & FIN) !== 0 ? 1 : 0);
    if (start < 0 || end > y.maxSent) return; // of another incarnation
    if (isSyn) x.hasPeerSyn = true;
    sackDelivered(s, x, start, end);
    if (end > start) x.arrived.add(start, end);
    ecnDelivered(s, x, y);
    if (s.hasTimestamps && (!x.hasPeerTs || ((s.tsVal - x.peerTsVal) | 0) > 0)) {
      x.hasPeerTs = true;
      x.peerTsVal = s.tsVal;
    }
    if ((s.flags & ACK) === 0) {
      if (isSyn) x.edgeKnown = Math.max(x.edgeKnown, 1 + s.window);
      return;
    }
    const ack = (s.ack - x.iss) | 0;
    if (!x.hasSyn || ack > x.maxSent) return;
    const isScaled = !isSyn && x.scale >= 0 && y.scale >= 0;
    x.ackKnown = Math.max(x.ackKnown, ack);
    x.edgeKnown = Math.max(x.edgeKnown, ack + s.window * (isScaled ? 2 ** y.scale : 1));
  }
}

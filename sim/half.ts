/**
 * One direction of a connection as the wire shows it: what host X has sent, and what X can know of
 * its peer Y.
 *
 * - Sequence numbers are relative: X's to X's ISS, Y's to Y's.
 * - What X knows is what was delivered to X's driver. X may have dropped some of it, so every bound
 *   derived from it is the most lenient one: a broken bound is always a bug.
 */
import { Intervals } from './intervals.ts';

export class Half {
  // --- what X has sent ---
  hasSyn = false;
  iss = 0;
  /** Of X's SYN. */
  mss = 536;
  scale = -1;
  hasTimestamps = false;
  sackPermitted = false;
  /** One beyond the last sequence number sent. */
  maxSent = 0;
  /** Sequence number of X's FIN. */
  fin = -1;
  hasSentTs = false;
  tsVal = 0;
  /** Highest acknowledgement and right edge that X has sent (Y's numbers). */
  ackSent = 0;
  edgeSent = 0;
  // --- what X can know of Y ---
  /** Y's sequence numbers that have been delivered. */
  readonly arrived = new Intervals();
  /** Highest acknowledgement, and right edge of Y's window (X's numbers). */
  ackKnown = 0;
  edgeKnown = 0;
  /** Y's SYN has been delivered. */
  hasPeerSyn = false;
  hasPeerTs = false;
  peerTsVal = 0;
  /** Segments delivered. */
  deliveries = 0;
  /** The same when X first sent data; -1: it has not. */
  deliveriesAtData = -1;
  // --- SACK (sack-rules.ts): what Y has said that it holds; duplicates that reached X, and those
  // that X has named ---
  readonly peerSacked = new Intervals();
  hasReneged = false;
  /** Whether X's host has room to remember all of it. */
  hasRuns = true;
  duplicates = 0;
  duplicatesNamed = 0;
  // --- ECN (ecn-rules.ts): what X's SYN asked or agreed to ---
  asksEcn = false;
  agreesEcn = false;
  /**
   * Marks that have reached X; those since X's last echo; CWRs that have reached X since the last
   * mark.
   */
  marks = 0;
  marksUnechoed = 0;
  cwrSinceMark = 0;
  /**
   * Where X's last CWR stood; since then, echoes that have reached X and acknowledge more, and
   * segments of new data sent.
   */
  answeredAt = -1;
  echoesUnanswered = 0;
  dataUnanswered = 0;
  // --- the last retransmission without anything delivered in between ---
  again = -1;
  againAt = 0;
  againAfter = 0;
  againDeliveries = -1;
}

export class Conversation {
  readonly key: number;
  /** By which end has the lower (address, port). */
  readonly halves: readonly [Half, Half] = [new Half(), new Half()];
  /** How many connections there were under this four-tuple before. */
  readonly generation: number;
  /** Two incarnations overlap: what belongs to which cannot be told. */
  isConfused = false;

  constructor(key: number, generation = 0) {
    this.key = key;
    this.generation = generation;
  }
}

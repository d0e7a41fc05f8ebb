/**
 * What a control block says of its flow, for people: `ix flows`.
 *
 * - Made of a copy of the row, which may be another process's and hostile: whatever the words are,
 *   what comes out are numbers, and a state that has a name or `UNKNOWN`.
 * - `rowForm` says which form rows have here; a reader of another version must not read them.
 *
 * Allocates: never called in the loop. Called by control/record/flows.ts; dataplane/main.ts says
 * the form. Read first: tcb.ts.
 */
import { createHash } from 'node:crypto';
import { SSTHRESH_INITIAL } from './congestion.ts';
import { FLAG, RARE, ROW_WORDS, STATE, TCB } from './tcb.ts';

/** By their numbers (RFC 9293 3.3.2). */
export const STATE_NAMES: readonly string[] = [
  'CLOSED',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
];

export interface FlowFacts {
  state: string;
  localPort: number;
  remotePort: number;
  /** By our connect. */
  isActive: boolean;
  /** Smoothed, its variation, the least of the last seconds; 0: not measured yet. */
  rttUs: number;
  rttVarUs: number;
  minRttUs: number;
  rtoUs: number;
  /** Retransmission timeouts in a row, without an answer. */
  backoff: number;
  /** Bytes; ssthresh is 0 as long as nothing was lost. */
  cwnd: number;
  ssthresh: number;
  mss: number;
  /** The peer's, and what is left of ours. */
  sendWindow: number;
  receiveWindow: number;
  inFlight: number;
  /** Segments sent again since the flow is there. */
  retransmits: number;
  /** Bytes that the application has not done with, in order; held out of order (frames). */
  unread: number;
  outOfOrderFrames: number;
  /** Bytes that the application has sent and that have not left. */
  unsent: number;
  /** Since anything was received or sent. */
  idleMs: number;
}

/** `row`: ROW_WORDS words; `nowMs`: CLOCK_MONOTONIC modulo 2^32. */
export function flowFacts(row: Int32Array, retransmits: number, nowMs: number): FlowFacts {
  const at = (word: number): number => row[word]!;
  const ports = at(TCB.ports);
  const inFlight = (at(TCB.sndMax) - at(TCB.sndUna)) | 0;
  const ssthresh = at(TCB.ssthresh);
  const quietMs = (last: number): number => Math.max((nowMs - last) | 0, 0);
  return {
    state: STATE_NAMES[at(TCB.state)] ?? 'UNKNOWN',
    localPort: ports & 0xffff,
    remotePort: ports >>> 16,
    isActive: (at(TCB.flags) & FLAG.active) !== 0,
    rttUs: at(TCB.srtt) >> 3,
    rttVarUs: at(TCB.rttvar) >> 2,
    minRttUs: at(TCB.minRtt),
    rtoUs: at(TCB.rto),
    backoff: at(TCB.retries),
    cwnd: at(TCB.cwnd),
    ssthresh: ssthresh >= SSTHRESH_INITIAL ? 0 : ssthresh,
    mss: at(TCB.mss),
    sendWindow: at(TCB.sndWnd),
    receiveWindow: (at(TCB.rcvEdge) - at(TCB.rcvNxt)) | 0,
    inFlight,
    retransmits,
    unread: at(TCB.rxBytes),
    outOfOrderFrames: at(TCB.oooFrames),
    unsent: Math.max(at(TCB.txBytes) - inFlight, 0),
    idleMs: Math.min(quietMs(at(TCB.lastRxMs)), quietMs(at(TCB.lastTxMs))),
  };
}

/** A digest of what the words of a row mean. */
export const rowForm = (): string =>
  createHash('sha256')
    .update(JSON.stringify([ROW_WORDS, TCB, RARE, STATE, FLAG, 'tokens in 0/8, rows of 16 words']))
    .digest('hex')
    .slice(0, 16);

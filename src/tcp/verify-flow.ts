/**
 * The invariants of a control block, stated: VERIFY only, after every segment, expiry and flush.
 *
 * Called by tcp.ts and tests.
 */
import { assert } from '../verify.ts';
import type { Flows } from './flows.ts';
import { HELD } from './held-table.ts';
import { LOST, RUN, SACKED } from './scoreboard.ts';
import type { SendQueue } from './send-queue.ts';
import { leq, lt } from './seq.ts';
import { FLAG, LIST, STATE, TCB, TIMER } from './tcb.ts';

/** Throws an InvariantError that names what does not hold for this row. */
export function verifyFlow(flows: Flows, sendQueue: SendQueue, row: number): void {
  const { i32 } = flows;
  const state = i32[row + TCB.state]!;
  const flags = i32[row + TCB.flags]!;
  if (state === STATE.closed) {
    assert((i32[row + TCB.timers]! & TIMER.armed) === 0, 'tcp: a closed flow has a timer');
    assert(i32[row + TCB.txSpans] === 0, 'tcp: a closed flow holds spans');
    assert(i32[row + TCB.oooHead] === 0, 'tcp: a closed flow holds out-of-order frames');
    assert((i32[row + TCB.lists]! & LIST.output) === 0, 'tcp: a closed flow is in the output list');
    return;
  }
  const found = flows.table.find(
    i32[row + TCB.remote]!,
    i32[row + TCB.ports]!,
    i32[row + TCB.local]!,
  );
  assert(found === row, 'tcp: the table does not find the flow');
  verifySending(flows, sendQueue, row);
  verifyInOrder(i32, row);
  verifyOutOfOrder(i32, row);
  const waits = i32[row + TCB.timers]! & ~TIMER.armed;
  if (waits !== 0)
    assert((i32[row + TCB.timers]! & TIMER.armed) !== 0, 'tcp: a deadline, no timer');
  assert((flags & FLAG.halfOpen) === 0 || (flags & FLAG.waiting) === 0, 'tcp: counted twice');
}

function verifySending(flows: Flows, sendQueue: SendQueue, row: number): void {
  const { i32 } = flows;
  const state = i32[row + TCB.state]!;
  const flags = i32[row + TCB.flags]!;
  const una = i32[row + TCB.sndUna]!;
  const next = i32[row + TCB.sndNxt]!;
  const max = i32[row + TCB.sndMax]!;
  assert(leq(una, next), 'tcp: sndUna > sndNxt');
  assert(leq(next, max), 'tcp: sndNxt > sndMax');
  assert(sendQueue.count(row, false) === i32[row + TCB.txBytes], 'tcp: txBytes is not the queue');
  if (state < STATE.established) return;
  const end = (una + i32[row + TCB.txBytes]!) | 0;
  const fin = (flags & (FLAG.finQueued | FLAG.finAcked)) === FLAG.finQueued ? 1 : 0;
  assert(leq(max, (end + fin) | 0), 'tcp: more sent than queued');
  const unsent = lt(next, end) ? (end - next) | 0 : 0;
  assert(sendQueue.count(row, true) === unsent, 'tcp: txNext is not at sndNxt');
  assert(i32[row + TCB.cwnd]! >= i32[row + TCB.mss]!, 'tcp: cwnd below a segment');
  if ((flags & FLAG.sack) !== 0) verifyRuns(i32, row);
  const timers = i32[row + TCB.timers]!;
  const isWaiting = (timers & TIMER.persist) !== 0 || ((timers & TIMER.rto) !== 0 && una !== max);
  const isListed = (i32[row + TCB.lists]! & LIST.output) !== 0;
  assert(next === una || isWaiting || isListed, 'tcp: data is out and no timer runs');
  assert(unsent === 0 || isWaiting || isListed, 'tcp: data waits and no timer runs');
}

/** Runs cover what is in flight, each byte once, and the sums are theirs. */
function verifyRuns(i32: Int32Array, row: number): void {
  let at = i32[row + TCB.sndUna]!;
  let [runs, sacked, lost, last] = [0, 0, 0, 0];
  for (let run = i32[row + TCB.runHead]!; run !== 0; run = i32[run + RUN.next]!) {
    const end = i32[run + RUN.end]!;
    const bits = i32[run + RUN.bits]!;
    const length = (end - at) | 0;
    assert(i32[run + RUN.start] === at && length > 0, 'tcp: runs do not follow each other');
    assert((bits & (SACKED | LOST)) !== (SACKED | LOST), 'tcp: a run is lost and acknowledged');
    if ((bits & SACKED) !== 0) sacked += length;
    if ((bits & LOST) !== 0) lost += length;
    runs += 1;
    at = end;
    last = run;
  }
  assert(at === i32[row + TCB.sndNxt], 'tcp: the runs are not what is in flight');
  assert(runs === i32[row + TCB.runs], 'tcp: the number of runs is wrong');
  assert(last === i32[row + TCB.runTail], 'tcp: runTail is not the last run');
  assert(sacked === i32[row + TCB.sacked], 'tcp: the sum of selective acknowledgements is wrong');
  assert(lost === i32[row + TCB.lost], 'tcp: the sum of lost bytes is wrong');
}

function verifyInOrder(i32: Int32Array, row: number): void {
  let bytes = 0;
  let frames = 0;
  let given = 0;
  let unread = 0;
  let last = 0;
  for (let m = i32[row + TCB.rxHead]!; m !== 0; m = i32[m + HELD.next]!) {
    const length = i32[m + HELD.length]!;
    const emitted = i32[m + HELD.emitted]!;
    assert(length > 0 && emitted >= 0 && emitted <= length, 'tcp: bad metadata of a held frame');
    if (emitted < length && unread === 0) unread = m;
    assert(emitted === 0 || unread === 0 || unread === m, 'tcp: emitted out of order');
    bytes += length;
    given += emitted;
    frames += 1;
    last = m;
  }
  assert(bytes === i32[row + TCB.rxBytes], 'tcp: rxBytes is not the queue');
  assert(given === i32[row + TCB.rxGiven], 'tcp: rxGiven is not the queue');
  assert(unread === i32[row + TCB.rxUnread], 'tcp: rxUnread is not the first unread frame');
  assert(last === i32[row + TCB.rxTail], 'tcp: rxTail is not the last frame');
  assert(frames + i32[row + TCB.oooFrames]! === i32[row + TCB.rxFrames], 'tcp: rxFrames is wrong');
}

/** Runs follow each other without touching, and the numbers are theirs. */
export function verifyOutOfOrder(i32: Int32Array, row: number): void {
  const edge = i32[row + TCB.rcvEdge]!;
  assert(leq(i32[row + TCB.rcvNxt]!, edge), 'tcp: rcvNxt is beyond the window');
  let end = i32[row + TCB.rcvNxt]!;
  let [runs, frames, hasLatest] = [0, 0, i32[row + TCB.oooLast] === 0];
  const visit = (run: number): void => {
    if (run === 0) return;
    visit(i32[run + HELD.left]!);
    assert(lt(end, i32[run + HELD.seq]!), 'tcp: runs out of order touch');
    end = i32[run + HELD.seq]!;
    let last = 0;
    for (let m = run; m !== 0; m = i32[m + HELD.next]!) {
      assert(i32[m + HELD.seq] === end && i32[m + HELD.length]! > 0, 'tcp: a gap in a run');
      assert(m === run || i32[m + HELD.emitted] === 0, 'tcp: emitted out of order');
      end = (end + i32[m + HELD.length]!) | 0;
      frames += 1;
      last = m;
    }
    assert(last === i32[run + HELD.last], "tcp: a run's last frame is wrong");
    if (run === i32[row + TCB.oooLast]) hasLatest = true;
    runs += 1;
    visit(i32[run + HELD.right]!);
  };
  visit(i32[row + TCB.oooHead]!);
  assert(runs === 0 || leq(end, edge), 'tcp: out-of-order data beyond the window');
  assert(runs === i32[row + TCB.oooRuns], 'tcp: oooRuns is wrong');
  assert(frames === i32[row + TCB.oooFrames], 'tcp: oooFrames is wrong');
  assert(hasLatest, 'tcp: oooLast is no run');
}

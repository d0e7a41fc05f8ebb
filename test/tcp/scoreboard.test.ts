/** The sender's scoreboard: what a hostile acknowledgement, and what a recovery costs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RUNS_MAX } from '../../src/tcp/constants.ts';
import { Flows } from '../../src/tcp/flows.ts';
import { LOST, RUN, SACKED, Scoreboard } from '../../src/tcp/scoreboard.ts';
import { ROW_WORDS, TCB } from '../../src/tcp/tcb.ts';
import { makeEnvironment } from '../net/harness.ts';
import { randomFrom } from '../net/random.ts';

const MSS = 1448;
/** Just below the wrap. */
const UNA = -20_000 | 0;
const BLOCKS = 4096 - 64;

/** A flow with `segments` in flight, each of a time of its own when `apart`. */
function make(segments: number, apart: boolean) {
  const env = makeEnvironment();
  const flows = new Flows(env);
  const board = new Scoreboard(env);
  const row = flows.take();
  const { i32, view } = env.arena;
  i32[row + TCB.mss] = MSS;
  i32[row + TCB.sndUna] = i32[row + TCB.sndNxt] = i32[row + TCB.sndMax] = UNA;
  for (let i = 0; i < segments; i++) {
    const start = (UNA + i * MSS) | 0;
    i32[row + TCB.sndNxt] = i32[row + TCB.sndMax] = (start + MSS) | 0;
    board.sent(row, start, (start + MSS) | 0);
    if (apart) env.clock.us = (env.clock.us + 10) | 0;
  }
  const sack = (blocks: [number, number][]): void => {
    for (const [i, [start, end]] of blocks.entries()) {
      view.setInt32(BLOCKS + 8 * i, (UNA + start) | 0);
      view.setInt32(BLOCKS + 8 * i + 4, (UNA + end) | 0);
    }
    board.begin();
    board.sack(row, UNA, BLOCKS, blocks.length);
  };
  /** Runs as [start, end, bits]; their sums are those of the row. */
  const runs = (): [number, number, number][] => {
    const all: [number, number, number][] = [];
    for (let run = i32[row + TCB.runHead]!; run !== 0; run = i32[run + RUN.next]!) {
      const edge = (word: number): number => (i32[run + word]! - UNA) | 0;
      all.push([edge(RUN.start), edge(RUN.end), i32[run + RUN.bits]!]);
    }
    const sum = (bit: number): number =>
      all.filter((r) => (r[2] & bit) !== 0).reduce((bytes, r) => bytes + r[1] - r[0], 0);
    assert.deepEqual([i32[row + TCB.sacked], i32[row + TCB.lost]], [sum(SACKED), sum(LOST)]);
    assert.equal(i32[row + TCB.runs], all.length);
    return all;
  };
  return { env, board, row, i32, sack, runs };
}

test('sack_manyTinyRanges_runsAndStepsAreBounded', (t) => {
  const random = randomFrom(t);
  const segments = 45;
  const { board, row, sack, runs } = make(segments, true);
  const most = RUNS_MAX + segments + 2;
  for (let i = 0; i < 5000; i++) {
    const before = board.steps;
    const block = (): [number, number] => {
      const start = random.below(segments * MSS - 2);
      return [start, start + 1];
    };
    sack([block(), block(), block(), block()]);
    assert.ok(board.steps - before <= 4 * most, `${board.steps - before} steps`);
  }
  assert.ok(runs().length <= most);
  board.clear(row);
  assert.ok(board.allHome());
});

test('sack_blocksAnywhere_isWhatAMapOfBytesSays', (t) => {
  const random = randomFrom(t);
  for (let round = 0; round < 30; round++) {
    const segments = 20;
    const { board, row, sack, runs } = make(segments, round % 2 === 0);
    const has = new Uint8Array(segments);
    for (let i = 0; i < 30; i++) {
      const blocks = Array.from({ length: 1 + random.below(4) }, (): [number, number] => {
        const first = 1 + random.below(segments - 1);
        return [first, Math.min(first + 1 + random.below(3), segments)];
      });
      // a first block inside the second one would be a DSACK
      if (blocks.length > 1 && blocks[0]![0] >= blocks[1]![0] && blocks[0]![1] <= blocks[1]![1]) {
        blocks.length = 1;
      }
      for (const [first, end] of blocks) has.fill(1, first, end);
      sack(blocks.map(([first, end]): [number, number] => [first * MSS, end * MSS]));
      const marked = new Uint8Array(segments);
      for (const [start, end, bits] of runs()) {
        if ((bits & SACKED) !== 0) marked.fill(1, start / MSS, end / MSS);
      }
      assert.deepEqual(marked, has);
    }
    board.clear(row);
    assert.ok(board.allHome());
  }
});

test('recovery_everyOtherSegmentLost_costsAStepForEachRun', () => {
  const segments = 1000;
  const { board, row, i32, sack, runs } = make(segments, true);
  for (let i = 1; i < segments; i += 2) sack([[i * MSS, (i + 1) * MSS]]);
  for (let run = i32[row + TCB.runHead]!; run !== 0; run = i32[run + RUN.next]!) {
    if ((i32[run + RUN.bits]! & SACKED) === 0) board.lose(row, run);
  }
  const before = board.steps;
  let resent = 0;
  let last = -1;
  for (let run = board.firstLost(row); run !== 0; run = board.firstLost(row)) {
    const start = (i32[run + RUN.start]! - UNA) | 0;
    assert.ok(start > last, 'from the left');
    last = start;
    board.resent(row, run, MSS);
    resent++;
  }
  assert.equal(resent, segments / 2);
  assert.ok(board.steps - before <= 2 * segments, `${board.steps - before} steps`);
  // what is lost again, further left, is found
  const head = i32[row + TCB.runHead]!;
  board.lose(row, head);
  assert.equal(board.firstLost(row), head);
  runs();
  board.clear(row);
  assert.ok(board.allHome());
});

test('sack_twoFlowsInTurn_eachHasItsOwn', () => {
  const { env, board, row, i32, sack, runs } = make(20, true);
  const other = row + ROW_WORDS;
  // the other flow's numbers are the same, so that a walk that strays would find its place
  i32.copyWithin(other, row, row + ROW_WORDS);
  i32[other + TCB.runHead] = i32[other + TCB.runTail] = i32[other + TCB.runs] = 0;
  for (let i = 0; i < 20; i++) {
    const start = (UNA + i * MSS) | 0;
    board.sent(other, start, (start + MSS) | 0);
    env.clock.us = (env.clock.us + 10) | 0;
  }
  for (let i = 2; i < 18; i += 2) {
    sack([[i * MSS, (i + 1) * MSS]]);
    env.arena.view.setInt32(BLOCKS, (UNA + (i + 1) * MSS) | 0);
    env.arena.view.setInt32(BLOCKS + 4, (UNA + (i + 2) * MSS) | 0);
    board.begin();
    board.sack(other, UNA, BLOCKS, 1);
  }
  const sacked = runs().filter((run) => (run[2] & SACKED) !== 0);
  assert.deepEqual(
    sacked.map(([start]) => start / MSS),
    [2, 4, 6, 8, 10, 12, 14, 16],
  );
  assert.equal(i32[other + TCB.sacked], 8 * MSS);
  board.clear(other);
  board.clear(row);
  assert.ok(board.allHome());
});

/**
 * `ix bench goodput`: what it runs, what it says of figures, and its snapshot beside the simulator.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  CELLS,
  LANES_MAX,
  LONG_CELLS,
  nameOf,
  PAIRINGS,
  pairingName,
  selectCells,
} from '../../bench/goodput/conditions.ts';
import { batchesOf } from '../../bench/goodput/plan.ts';
import { simulate } from '../../bench/goodput/simulated.ts';
import {
  type CellFigures,
  figureOf,
  merge,
  problemsOf,
  type Snapshot,
  senderRatio,
} from '../../bench/goodput/table.ts';
import { SNAPSHOT } from '../../bench/goodput.ts';

const cell = (ours: number, linux: number, gap = 100): CellFigures => ({
  ...CELLS[0]!,
  ms: 1000,
  figures: Object.fromEntries(
    PAIRINGS.map((p) => [pairingName(p), figureOf([p.from === 'ours' ? ours : linux], gap)]),
  ),
});

test('cells_filter_everyWordMatches', () => {
  assert.equal(CELLS.length, 30);
  const names = selectCells('loss=0.1,5 rtt=20 reorder=off').map(nameOf);
  assert.deepEqual(names, ['loss 0.1, rtt 20', 'loss 5, rtt 20']);
  assert.throws(() => selectCells('delay=3'), /no condition/);
  assert.throws(() => selectCells('loss=2'), /no cell/);
});

test('cells_roundTripsBeyondTheTable_onlyWhenTheyAreNamed', () => {
  const long = selectCells('rtt=200,300');
  assert.deepEqual(long, LONG_CELLS);
  assert.equal(long.length, 20);
  assert.deepEqual(selectCells('reorder=on loss=0').map(nameOf), [
    ...['loss 0, rtt 1, reordering', 'loss 0, rtt 20, reordering', 'loss 0, rtt 100, reordering'],
  ]);
  assert.throws(() => selectCells('rtt=400'), /no cell/);
});

test('plan_longRoundTrips_everyFlowOnceSixteenSecondsWithinTheBottleneck', () => {
  const plan = { cells: LONG_CELLS.slice(), seeds: 5, first: 1, seconds: undefined };
  const batches = batchesOf(plan);
  const flows = batches.flatMap(({ lanes }) => lanes);
  // 4 cells without loss with two seeds, 16 with ten; four pairings each
  assert.equal(flows.length, (4 * 2 + 16 * 10) * 4);
  const names = flows.map((lane) => `${nameOf(lane)} ${pairingName(lane)} ${lane.seed}`);
  assert.equal(new Set(names).size, flows.length);
  for (const { ms, mbits, lanes } of batches) {
    assert.equal(ms, 16_000);
    assert.ok(mbits <= 250 && lanes.length <= LANES_MAX, `${mbits} Mbit/s, ${lanes.length} flows`);
  }
  assert.deepEqual(
    batchesOf({ ...plan, seconds: 3 }).map(({ ms }) => ms),
    batches.map(() => 3000),
  );
});

test('table_slowOrStalledCell_isAProblem', () => {
  assert.equal(senderRatio(cell(5, 10)), 0.5);
  assert.deepEqual(problemsOf([cell(9.1, 10)]), []);
  assert.equal(problemsOf([cell(8.9, 10)]).length, 1);
  assert.equal(problemsOf([cell(10, 10, 7000)]).length, PAIRINGS.length);
  // a longer round trip has a longer timeout
  assert.equal(problemsOf([{ ...cell(10, 10, 15_000), rttMs: 300 }]).length, 0);
  assert.equal(problemsOf([{ ...cell(10, 10, 16_000), rttMs: 300 }]).length, PAIRINGS.length);
});

test('table_merge_freshCellsReplaceOldOnes', () => {
  const other = { ...cell(1, 1), loss: 5 };
  const merged = merge([cell(1, 1), other], [cell(2, 1)]);
  assert.deepEqual(merged.map(senderRatio), [2, 1]);
});

/** Of two figures, the larger over the smaller. */
const factor = (a: number, b: number): number => Math.max(a / b, b / a);

/**
 * Losses decide what a short flow gets, and the machine's delays which segments they hit; by how
 * much the figure of a cell may differ from the simulator's. With one millisecond of round trip the
 * machine's own delays are a part of it.
 */
const agreement = (of: CellFigures): number => (of.loss === 0 ? 1.35 : of.rttMs === 1 ? 4 : 2.5);

const SEEDS = 3;

test('snapshot_oursToOurs_asInTheSimulator', { timeout: 240_000 }, (t) => {
  assert.ok(existsSync(SNAPSHOT), 'bin/ix bench goodput --save makes it');
  const { cells } = JSON.parse(readFileSync(SNAPSHOT, 'utf8')) as Snapshot;
  const names = cells.map(nameOf);
  const missing = CELLS.map(nameOf).filter((name) => !names.includes(name));
  assert.deepEqual(missing, [], 'all cells were measured');
  const wrong: string[] = [];
  for (const of of cells) {
    const seeds = of.loss === 0 ? 1 : SEEDS;
    const results = Array.from({ length: seeds }, (_, i) => simulate(of, i + 1, of.ms));
    const mbits = results.reduce((sum, each) => sum + each.mbits, 0) / seeds;
    const { values } = of.figures['ours->ours']!;
    const live = values.reduce((a, b) => a + b, 0) / values.length;
    const line = `${nameOf(of)}: ${live.toFixed(2)} Mbit/s, simulated ${mbits.toFixed(2)}`;
    t.diagnostic(line);
    if (factor(live, mbits) > agreement(of)) wrong.push(line);
    const gap = Math.max(...results.map((each) => each.longestGapMs));
    if (gap > 3000) wrong.push(`${nameOf(of)}: the simulated flow stands still ${gap} ms`);
  }
  assert.deepEqual(wrong, []);
});

test('snapshot_oursAsSender_asGoodAsLinux', () => {
  const { cells } = JSON.parse(readFileSync(SNAPSHOT, 'utf8')) as Snapshot;
  assert.deepEqual(problemsOf(cells), []);
});

test('simulated_sameSeed_sameFigure', () => {
  const conditions = { loss: 3, rttMs: 20, reorders: true };
  assert.deepEqual(simulate(conditions, 7, 1000), simulate(conditions, 7, 1000));
});

test('simulated_batchesOfMilliseconds_reorderingCostsNothing', () => {
  const conditions = { loss: 0, rttMs: 100, reorders: true };
  const { mbits } = simulate(conditions, 1, 5000, { turnUs: 3000 });
  assert.ok(mbits > 75, `${mbits} Mbit/s: a hole that fills in the batch that called it lost`);
});

/**
 * Beyond the cells of the live box: a round trip as long as the floor of the retransmission
 * timeout, and longer.
 */
for (const rttMs of [200, 300]) {
  test(`simulated_roundTrip${rttMs}ms_noTimeoutBecauseOfIt`, () => {
    const clean = simulate({ loss: 0, rttMs, reorders: false }, 1, 16_000);
    assert.equal(clean.counters['tcpTimeouts'], 0);
    assert.equal(clean.counters['tcpRetransmits'], 0);
    assert.ok(clean.mbits > 75, `${clean.mbits} Mbit/s`);
    for (const seed of [1, 2, 3]) {
      const lossy = simulate({ loss: 0.1, rttMs, reorders: false }, seed, 16_000);
      assert.equal(lossy.counters['tcpTimeouts'], 0, 'recovery repairs what is lost');
      assert.ok(lossy.longestGapMs < 3 * rttMs, `${lossy.longestGapMs} ms`);
    }
  });
}

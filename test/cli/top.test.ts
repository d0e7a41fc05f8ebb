/** The screen of `ix top`: 80 columns, who is busy, what was dropped and why. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  pickedLine,
  type Reading,
  reasonsOf,
  rowsOf,
  type SORTS,
  screenOf,
  short,
  shortTime,
  sorted,
  type View,
} from '../../src/cli/top-screen.ts';
import type { Instance } from '../../src/control/record/instances.ts';
import { bucketOf, LATENCY_CELLS, LatencyCells } from '../../src/latency.ts';

const IX = fileURLToPath(new URL('../../bin/ix', import.meta.url));

function reading(app: string, threads: Record<string, number>[], us = 0): Reading {
  const cells = new Float64Array(LATENCY_CELLS);
  if (us > 0) cells[1 + bucketOf(us)]! += 1;
  const latency = new LatencyCells(cells);
  const instance = { app, address: '10.77.0.2' } as unknown as Instance;
  return { instance, threads: threads.map((counts) => ({ counts, latency })) };
}

const BEFORE = reading('kv', [{ rxFrames: 10, rxNoFrame: 1 }, { rxFrames: 0 }]);
const NOW = reading(
  'kv',
  [
    { rxFrames: 2010, txFrames: 2000, tcpFlows: 7, rxNoFrame: 5, tcpNoFlow: 9, busyUs: 500_000 },
    { rxFrames: 200_000, tcpFlows: 1000, tcpRetransmits: 50, iterations: 5 },
  ],
  1500,
);

const view = (now: Reading, before: Reading | undefined, more: Partial<View> = {}): View => ({
  ...{ rows: rowsOf(before, now, 2), sort: 'name', picked: 0, columns: 80, lines: 24 },
  ...{ reasons: reasonsOf(before, now, 2), footer: 'keys' },
  ...more,
});

test('screen_saysOfEachThreadWhatItDoes_andWhyFramesWereDropped', () => {
  const [title, header, first, second, blank, about, ...reasons] = screenOf(view(NOW, BEFORE));
  assert.equal(title, 'ix top: 1 services, 2 threads, 1.01k connections (0 new/s), by name');
  assert.equal(header!.length, 80);
  assert.equal(
    first,
    'kv@10.77.0.2          0 asleep   25%      0 1.00k     0     7 1.53m 1.53m      2',
  );
  assert.match(second!, /^kv@10\.77\.0\.2 +1 full +0% +0 +100k +0 1\.00k /);
  assert.deepEqual([blank, about], ['', 'kv@10.77.0.2 dropped (bin/ix explain says what to do):']);
  assert.equal(reasons.length, 3, 'retransmissions are no drops');
  assert.match(reasons[0]!, /^ {2}rxNoFrame +2\/s +5 No free receive frame/);
  assert.match(reasons[1]!, /^ {2}tcpNoFlow +0\/s +9 A segment of no connection/);
  assert.equal(reasons[2], 'keys');
});

test('serviceThatWasNotThereBefore_hasNoRates', () => {
  const [row] = rowsOf(undefined, NOW, 2);
  assert.deepEqual([row!.rxRate, row!.dropRate, row!.busy, row!.flows], [0, 0, 0, 7]);
});

test('manyThreadsAndALongName_stayWithin80ColumnsAndTheLinesThereAre', () => {
  const counts = Array.from({ length: 64 }, () => ({
    rxFrames: 1e15,
    tcpFlows: 1e9,
    rxNoFrame: 9,
  }));
  const now = reading(`${'x'.repeat(300)}\x1b[2J`, counts, 9_000_000);
  for (const [lines, picked] of [
    [24, 0],
    [24, 63],
    [10, 40],
    [3, 5],
  ] as const) {
    const shown = view(now, undefined, { lines, picked });
    const screen = screenOf(shown);
    assert.ok(screen.length <= lines, `${screen.length} of ${lines}`);
    for (const line of screen) assert.match(line, /^[ -~]{0,80}$/);
    if (lines > 3) {
      assert.match(screen[pickedLine(shown)]!, new RegExp(` ${picked} asleep`));
      assert.equal(screen.at(-1), 'keys');
    }
  }
});

test('rows_areSortedByEachColumn_greatestFirst', () => {
  const rows = rowsOf(BEFORE, NOW, 2);
  const order = (by: (typeof SORTS)[number]) => sorted(rows, by).map(({ thread }) => thread);
  assert.deepEqual(order('name'), [0, 1]);
  assert.deepEqual(order('rx'), [1, 0]);
  assert.deepEqual(order('flows'), [1, 0]);
  assert.deepEqual(order('drops'), [0, 1]);
});

test('numbers_takeFiveCharactersAtMost', () => {
  for (const [value, text] of [
    [0, '0'],
    [999, '999'],
    [999.6, '1.00k'],
    [12_345, '12.3k'],
    [999_499, '999k'],
    [999_501, '1.00M'],
    [4_560_000_000, '4.56G'],
    [1e15, 'many'],
    [Number.NaN, 'many'],
  ] as const) {
    assert.equal(short(value), text);
  }
  for (let value = 1; value < 1e12; value *= 1.7) assert.ok(short(value).length <= 5, `${value}`);
  assert.deepEqual([12, 1234, 12_345, 16_777_215].map(shortTime), [
    '12u',
    '1.23m',
    '12.3m',
    '16.8s',
  ]);
});

test('top_withoutATerminal_orWithAWrongOption_isOneLineAndExitCode2', () => {
  for (const [words, message] of [
    [['top'], /^ix: top needs a terminal; use: bin\/ix top --once, or bin\/ix stat --json\n$/],
    [['top', '--sort', 'colour'], /^ix: --sort takes name, busy, .*, not 'colour'/],
    [['top', '--interval', '0'], /^ix: --interval takes seconds from 0\.1 to 3600, not '0'/],
  ] as const) {
    const { status, stderr, stdout } = spawnSync(IX, words, { encoding: 'utf8', timeout: 60_000 });
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, message);
  }
});

/**
 * What the report of `ix bench paper` is made of, without a network: interleaving, ratios,
 * verdicts, plots, page.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeMachine } from '../../bench/harness/machine.ts';
import { spreadOf } from '../../bench/harness/statistics.ts';
import type { Context, Settings } from '../../bench/paper/experiment.ts';
import { pageOf } from '../../bench/paper/html.ts';
import { summaryOf } from '../../bench/paper/markdown.ts';
import { draw, short } from '../../bench/paper/plot.ts';
import { type Finding, mergedInto, type PaperReport, summarise } from '../../bench/paper/report.ts';
import { type Line, metricAt, ratioOfMetrics, sweep } from '../../bench/paper/sweep.ts';
import { tableOf } from '../../bench/paper/table.ts';
import { TARGETS, verdictOf } from '../../bench/paper/targets.ts';
import paper from '../../bench/paper.ts';
import { OptionError } from '../../src/errors.ts';

const SETTINGS: Settings = {
  ...{ level: 'full', rounds: 3, seconds: 1, warmupSeconds: 0 },
  ...{ serverCpu: 1, clientCpu: 0, idle: 'adaptive' },
};

const contextWith = (lines: string[], deadlineMs = Number.POSITIVE_INFINITY): Context => ({
  settings: SETTINGS,
  deadlineMs,
  progress: (line) => lines.push(line),
});

function line(name: string, order: string[], rate: (x: number) => number): Line {
  return {
    name,
    title: `the ${name}`,
    round: async ({ point }) => {
      order.push(name);
      for (const x of [1, 10]) await point(x, async () => ({ messagesPerSecond: rate(x) }));
    },
  };
}

async function threeRounds() {
  const order: string[] = [];
  const said: string[] = [];
  let slower = 100;
  const failing = line('fragile', order, (x) => {
    if (x === 10) throw new Error('too many\nat line 1');
    return 50;
  });
  const series = await sweep(
    [
      line('ours', order, (x) => 400 * x),
      line('theirs', order, (x) => slower++ * x),
      failing,
      { ...line('absent', order, () => 1), missing: 'absent: apt-get install absent' },
    ],
    contextWith(said),
  );
  return { series, order, said };
}

test('sweep_linesInTurn_interleavesRoundsAndKeepsEveryValue', async () => {
  const { series, order } = await threeRounds();
  assert.equal(order.join(' '), 'ours theirs fragile '.repeat(3).trim());
  assert.deepEqual(metricAt(series, 'theirs', 'messagesPerSecond', 1), {
    ...{ median: 102, min: 100, max: 104 },
    ...{ values: [100, 102, 104], rounds: [1, 2, 3] },
  });
});

test('sweep_pointFailsTwice_isNotedAndTheOthersGoOn', async () => {
  const { series, said } = await threeRounds();
  const fragile = series.find(({ name }) => name === 'fragile')!;
  assert.deepEqual(fragile.failures, [
    'at 10: repeated in round 1: too many',
    'at 10: failed twice: too many; then: too many; try again when nothing else uses this machine',
  ]);
  assert.deepEqual(
    fragile.points.map(({ x }) => x),
    [1],
  );
  assert.equal(fragile.points[0]!.metrics['messagesPerSecond']!.values.length, 3);
  assert.equal(said.filter((text) => /FAILED/.test(text)).length, 2);
  assert.equal(
    series.find(({ name }) => name === 'absent')!.missing,
    'absent: apt-get install absent',
  );
});

test('sweep_pointFailsOnce_isMeasuredAgainAndStays', async () => {
  let failures = 1;
  const unlucky = line('unlucky', [], () => {
    if (failures-- > 0) throw new Error('connection 0 ended: unreachable');
    return 50;
  });
  const [series] = await sweep([unlucky], contextWith([]));
  assert.deepEqual(series?.failures, [
    'at 1: repeated in round 1: connection 0 ended: unreachable',
  ]);
  assert.equal(series.points[0]!.metrics['messagesPerSecond']!.values.length, SETTINGS.rounds);
});

test('sweep_deadlinePassed_beginsNothingAndSaysSo', async () => {
  const order: string[] = [];
  const series = await sweep([line('ours', order, () => 1)], contextWith([], 0));
  assert.deepEqual(order, []);
  assert.match(series[0]!.failures[0]!, /no time left in round 1 of 3/);
});

test('ratio_roundsMissingOnOneSide_pairsOnlyWhatRanTogether', () => {
  const metric = (values: number[], rounds: number[]) => ({
    median: 0,
    min: 0,
    max: 0,
    values,
    rounds,
  });
  const ratio = ratioOfMetrics(metric([10, 20, 30], [1, 2, 3]), metric([10, 10], [2, 3]));
  assert.deepEqual(ratio, { median: 2.5, min: 2, max: 3 });
  assert.equal(ratioOfMetrics(metric([1], [1]), metric([1], [2])), undefined);
});

test('verdict_spreadOnBothSides_isDecidedOnlyWhenRoundsAgree', () => {
  const target = TARGETS.find(({ ratio }) => ratio === 'vsLinuxEpoll')!;
  const verdict = (median: number, min: number, max: number) =>
    verdictOf(target, { vsLinuxEpoll: { median, min, max } });
  assert.equal(verdict(5, 4.1, 9), 'reached');
  assert.equal(verdict(2, 1, 3.9), 'missed');
  assert.equal(verdict(4.2, 3.8, 4.4), 'reached');
  assert.equal(verdict(4.2, 2, 6), 'void');
  assert.equal(verdictOf(target, {}), 'not measured');
});

async function exampleFinding(): Promise<Finding> {
  const { series } = await threeRounds();
  return {
    ...{
      title: 'Echo </script>',
      paper: 'p',
      ours: 'o',
      differs: 'd',
      seconds: 1,
      notes: ['a <note>'],
    },
    series,
    charts: [
      {
        title: 'Rates',
        kind: 'lines',
        x: { label: 'connections', log: true },
        y: { label: 'messages/s', metric: 'messagesPerSecond' },
      },
    ],
    ratios: { vsLinuxEpoll: { median: 4, min: 1, max: 40 } },
  };
}

test('plot_everyMark_carriesItsNumbersAndItsPlaceInTheJson', async () => {
  const { series, charts } = await exampleFinding();
  const { svg } = draw(charts[0]!, series, 'results.fig');
  assert.equal(svg.match(/<circle/g)!.length, 5 + 3); // marks, and the legend
  assert.match(
    svg,
    /the theirs, connections 10: 1030 messages\/s .*results\.fig\.series\[1\]\.points\[1\]\.metrics\.messagesPerSecond/,
  );
  assert.ok(!/NaN|undefined|Infinity/.test(svg), svg);
  assert.equal(draw({ ...charts[0]!, only: ['nobody'] }, series, '').isEmpty, true);
  const bars = draw({ ...charts[0]!, kind: 'bars', names: { 1: 'one' } }, series, 'results.fig');
  assert.equal(bars.svg.match(/<rect/g)!.length, 5);
  assert.ok(!/NaN|undefined/.test(bars.svg), bars.svg);
});

test('report_pageAndSummary_holdEveryNumberAndEveryFailure', async () => {
  const finding = await exampleFinding();
  const report = summarise(describeMachine(), SETTINGS, { fig: finding }, 60);
  const page = pageOf(report);
  const json = /<script type="application\/json" id="data">(.*)<\/script>/s.exec(page)![1]!;
  assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify(report)));
  assert.equal(page.match(/<\/script>/g)!.length, 1);
  assert.ok(!/(src|href)="http/.test(page), 'the page needs nothing of others');
  const summary = summaryOf(report);
  for (const text of [page, summary]) {
    assert.match(text, /too many/);
    assert.match(text, /apt-get install absent/);
    assert.match(text, /vsLinuxEpoll varies from 1\.00 to 40\.00/);
  }
  assert.match(summary, /the theirs \| 10 \| 1,030 \/s \(1,010 \/s to 1,050 \/s\)/);
  assert.match(summary, /undecided: the rounds disagree/);
});

test('report_ofOneThingMeasuredAnew_replacesItsSectionOnly_andSaysWhen', async () => {
  const finding = await exampleFinding();
  const table = { title: 'of <what>', head: ['a', 'b'], rows: [['1', 'x|y']] };
  const machine = { ...describeMachine(), loadAverage: 0 };
  const before = {
    ...summarise(machine, SETTINGS, { fig: finding, tails: finding }, 60),
    date: '2000-01-01',
  };
  const bare = { ...finding, series: [], charts: [], ratios: {}, tables: [table] };
  const busy = { ...machine, loadAverage: 99, cores: 2 };
  const fresh = summarise(busy, SETTINGS, { tails: bare }, 5);
  const merged = mergedInto(before, fresh);
  assert.equal(merged.date, '2000-01-01');
  assert.deepEqual(merged.results['fig'], finding);
  assert.deepEqual(merged.ratios, finding.ratios);
  const summary = summaryOf(merged);
  assert.match(summary, /\*\*of <what>\*\*\n\n\| a \| b \|\n\| --- \| --- \|\n\| 1 \| x\\\|y \|/);
  assert.equal(summary.match(/\*Measured:\* .*, full run, .*load average 99/g)?.length, 1);
  assert.match(pageOf(merged), /of &#60;what&#62;/);
});

test('numbers_inPlots_areShort', () => {
  assert.deepEqual([0, 0.1234, 64, 1500, 250_000, 1_234_567].map(short), [
    ...['0', '0.123', '64', '1500', '250 k', '1.23 M'],
  ]);
});

test('options_thatAreWrong_areRefusedBeforeAnythingIsMade', async () => {
  await assert.rejects(paper(['--only', 'fig9']), OptionError);
  await assert.rejects(paper(['--only', 'fig9']), /there are: fig2, fig3b, .*fig5usr.*, stages/);
  await assert.rejects(paper(['--sort']), OptionError);
});

test('results_published_areTheNumbersBesideThem', () => {
  const docs = new URL('../../docs/', import.meta.url);
  const report = JSON.parse(readFileSync(new URL('results.json', docs), 'utf8')) as PaperReport;
  assert.equal(readFileSync(new URL('RESULTS.md', docs), 'utf8'), summaryOf(report));
});

test('table_wholeNumbersOfNanoseconds_haveTheirUnitLikeTheOthers', () => {
  const metric = (values: number[]) => ({ ...spreadOf(values), values, rounds: [1, 2, 3] });
  const metrics = { rttNs: metric([28_000, 28_627, 28_800.5]), switches: metric([1234, 2000, 1]) };
  const series = [{ name: 'a', title: 'a', failures: [], points: [{ x: 64, metrics }] }];
  const { rows } = tableOf({ series, charts: [] } as unknown as Finding);
  assert.deepEqual(rows, [['a', '64', '28.6 us (28.0 us to 28.8 us)', '1,234 (1 to 2,000)']]);
});

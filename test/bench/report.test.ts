import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeMachine } from '../../bench/harness/machine.ts';
import { formatReport, ratiosOf, targetsMissed, warningsOf } from '../../bench/harness/report.ts';
import {
  type Contender,
  type Results,
  RoundError,
  runRounds,
  summarise,
  valuesOf,
} from '../../bench/harness/rounds.ts';
import { boundary } from '../../bench/protection.ts';

const RATIOS = [
  { name: 'vsSlow', metric: 'messagesPerSecond', theirs: 'slow' },
  { name: 'vsLimit', metric: 'messagesPerSecond', theirs: 'limit', theirMetric: 'framesPerSecond' },
  { name: 'vsAbsent', metric: 'messagesPerSecond', theirs: 'absent' },
];

interface Outcome {
  results: Results;
  order: string[];
  lines: string[];
}

async function threeRounds(oursPerSecond: number[]): Promise<Outcome> {
  const order: string[] = [];
  const lines: string[] = [];
  const contender = (name: string, sample: () => Record<string, number>): Contender => ({
    name,
    title: `the ${name}`,
    run: async () => {
      order.push(name);
      return sample();
    },
  });
  const left = [...oursPerSecond];
  const results = await runRounds(
    [
      contender('ours', () => ({ messagesPerSecond: left.shift()!, rttNs: 12_300 })),
      contender('slow', () => ({ messagesPerSecond: 100 })),
      contender('limit', () => ({ framesPerSecond: 600 })),
      { ...contender('absent', () => ({})), missing: 'absent: apt-get install absent' },
    ],
    oursPerSecond.length,
    (line) => lines.push(line),
  );
  return { results, order, lines };
}

test('contenders_take_turns_in_every_round', async () => {
  const { order, lines } = await threeRounds([300, 310, 290]);
  assert.deepEqual(order.join(' '), 'ours slow limit ours slow limit ours slow limit');
  assert.equal(lines.length, 1 + 9);
  assert.match(lines[1]!, /round 1 of 3: the ours: messagesPerSecond 300 \/s, rttNs 12.3 us/);
});

test('a_round_that_fails_is_said_and_run_again_and_gives_up_only_when_it_fails_again', async () => {
  const lost = new Error('connection 0 ended: unreachable');
  let failures = 1;
  const unlucky: Contender = {
    name: 'unlucky',
    title: 'the unlucky',
    run: async () => {
      if (failures-- > 0) throw lost;
      return { messagesPerSecond: 5 };
    },
  };
  const said: string[] = [];
  const repeated: string[] = [];
  const results = await runRounds([unlucky], 2, (text) => said.push(text), repeated);
  assert.deepEqual(valuesOf(results, 'unlucky', 'messagesPerSecond'), [5, 5]);
  assert.match(said[0]!, /^round 1 of 2: the unlucky: failed: connection 0 .*; once more$/);
  assert.deepEqual(repeated, [`round 1 of the unlucky was repeated: ${lost.message}`]);
  failures = 2;
  await assert.rejects(
    runRounds([unlucky], 2, () => {}),
    (error) => error instanceof RoundError && /failed twice: connection 0/.test(error.message),
  );
});

test('results_keep_every_round_and_say_who_is_missing', async () => {
  const { results, lines } = await threeRounds([300, 310, 290]);
  assert.deepEqual(results['ours'], {
    title: 'the ours',
    metrics: {
      messagesPerSecond: { median: 300, min: 290, max: 310, values: [300, 310, 290] },
      rttNs: { median: 12_300, min: 12_300, max: 12_300, values: [12_300, 12_300, 12_300] },
    },
  });
  assert.deepEqual(results['absent'], {
    title: 'the absent',
    missing: 'absent: apt-get install absent',
  });
  assert.match(lines[0]!, /missing: absent: apt-get install absent/);
});

test('ratios_are_ours_by_theirs_and_only_where_both_took_part', async () => {
  const { results } = await threeRounds([300, 310, 290]);
  assert.deepEqual(ratiosOf(results, RATIOS), {
    vsSlow: { median: 3, min: 2.9, max: 3.1 },
    vsLimit: { median: 0.5, min: 290 / 600, max: 310 / 600 },
  });
});

test('a_ratio_that_varies_too_much_is_warned_about_by_name', async () => {
  const calm = { ...describeMachine(), cores: 2, loadAverage: 0.1 };
  const steady = ratiosOf((await threeRounds([300, 310, 290])).results, RATIOS);
  assert.deepEqual(warningsOf(steady, calm), []);
  const unsteady = ratiosOf((await threeRounds([300, 500, 290])).results, RATIOS);
  const warnings = warningsOf(unsteady, calm);
  assert.equal(warnings.length, 2);
  assert.match(warnings[0]!, /^vsSlow varies from 2.90 to 5.00/);
  const [busy] = warningsOf(steady, { ...calm, loadAverage: 1.5 });
  assert.match(busy!, /load average 1.5/);
});

test('the_table_has_a_row_for_everybody_and_every_ratio', async () => {
  const { results } = await threeRounds([300, 310, 290]);
  const ratios = ratiosOf(results, RATIOS);
  const text = formatReport({
    bench: 'echo',
    machine: describeMachine(),
    rounds: 3,
    settings: { connections: 64 },
    results,
    ratios,
    warnings: ['beware'],
  });
  for (const line of [
    /^echo: medians of 3 rounds, connections 64$/m,
    /^the ours +300 \/s +12.3 us +-$/m,
    /^the limit +- +- +600 \/s$/m,
    /^missing: absent: apt-get install absent$/m,
    /^vsSlow +3.00 +\(2.90 to 3.10\)$/m,
    /^warning: beware$/m,
  ]) {
    assert.match(text, line);
  }
});

test('the_machine_is_described_for_a_reader_elsewhere', () => {
  const machine = describeMachine();
  assert.ok(machine.cpu.length > 0 && machine.cores >= 1 && machine.memoryGiB >= 1);
  assert.match(machine.kernel, /^\d+\.\d+/);
  assert.equal(machine.node, process.version);
  assert.ok(machine.loadAverage >= 0);
});

test('boundary_isTheDifferenceRoundByRound_countedInContextSwitches', () => {
  const result = (metric: string, ...values: number[]) => ({
    title: metric,
    metrics: summarise(values.map((value) => ({ [metric]: value }))),
  });
  const measured = {
    echoProcess: result('rttNs', 30_000, 33_000, 29_000),
    echoInline: result('rttNs', 20_000, 21_000, 20_000),
    contextSwitch: result('switchUs', 2, 3, 2),
  };
  const results: Results = { ...measured, ...boundary(measured) };
  const { boundary: added } = results;
  assert.deepEqual(added && 'metrics' in added && added.metrics['addedUs'], {
    ...{ median: 10, min: 9, max: 12, values: [10, 12, 9] },
  });
  const plan = { name: 'added', metric: 'addedUs', mine: 'boundary', theirs: 'contextSwitch' };
  const plans = [{ ...plan, theirMetric: 'switchUs', atMost: 3 }];
  const ratios = ratiosOf(results, plans);
  assert.deepEqual(ratios['added'], { median: 4.5, min: 4, max: 5 });
  assert.deepEqual(targetsMissed(ratios, plans), ['added is 4.50, its target is 3 at most']);
  assert.deepEqual(targetsMissed(ratios, [{ ...plans[0]!, atMost: 5 }]), []);
});

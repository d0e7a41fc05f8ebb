import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { parseBenchOptions } from '../../bench/harness/options.ts';
import tails from '../../bench/tails.ts';
import { OptionError } from '../../src/errors.ts';

const skip = availableParallelism() < 2 && 'needs two cores: server and client need one each';
const parse = (...args: string[]) => parseBenchOptions('echo', 'echo servers', args);

test('defaults_are_those_of_a_full_run_and_quick_ones_are_shorter', { skip }, () => {
  const full = parse()!;
  const quick = parse('--quick')!;
  assert.deepEqual([full.rounds, full.connections, full.size, full.depth], [5, 64, 64, 1]);
  assert.deepEqual([full.json, full.serverCpu, full.clientCpu], [false, 1, 0]);
  assert.ok(quick.rounds < full.rounds && quick.seconds < full.seconds);
});

test('what_is_given_wins_over_quick', { skip }, () => {
  const options = parse(
    '--quick',
    '--rounds',
    '7',
    '--seconds',
    '1.5',
    '--size',
    '1024',
    '--json',
  )!;
  assert.deepEqual([options.rounds, options.seconds, options.size], [7, 1.5, 1024]);
  assert.equal(options.json, true);
});

test('a_wrong_option_is_one_line_that_names_it', { skip }, () => {
  const cases: [string[], RegExp][] = [
    [['--rounds', '0'], /--rounds .*takes a whole number from 1 to 1000; see: bin\/ix bench echo/],
    [['--seconds', 'long'], /--seconds .*takes a number from 0.1 to 600/],
    [['--size', '64.5'], /--size .*takes a whole number/],
    [['--idle', 'never'], /--idle .*takes spin, adaptive, sleep/],
    [['--fast'], /unknown option '--fast'/],
    [['more'], /too many arguments/],
    [['--server-cpu', '0'], /server and client need a core each/],
  ];
  for (const [args, message] of cases) {
    assert.throws(
      () => parse(...args),
      (error) => {
        assert.ok(error instanceof OptionError && error.exitCode === 2);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  }
});

test('tails_a_word_that_is_no_workload_or_policy_is_one_line_that_names_it', async () => {
  const cases: [string[], RegExp][] = [
    [['--workload', 'user'], /--workload .*takes etc, usr; see: bin\/ix bench tails --help$/],
    [['--idle', 'never'], /--idle .*takes spin, adaptive, sleep; see: bin\/ix bench tails --help$/],
  ];
  for (const [args, message] of cases) {
    await assert.rejects(tails(args), (error) => {
      assert.ok(error instanceof OptionError && error.exitCode === 2);
      assert.match(error.message, message);
      return true;
    });
  }
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  BASE_RATIOS,
  judge,
  judgeAgainstBase,
  type Kept,
  RATIOS,
} from '../../bench/guard/judge.ts';
import { describeMachine, idleShare } from '../../bench/harness/machine.ts';

const machine = describeMachine();
const spread = (min: number, median: number, max: number) => ({ min, median, max });
const kept: Kept = {
  machine,
  base: 'HEAD',
  ratios: { echoVsLinux: spread(3.8, 4, 4.2), roundTripVsLinux: spread(0.3, 0.32, 0.4) },
};

const verdicts = (measured: Kept['ratios'], where = machine): Record<string, string> =>
  Object.fromEntries(judge(measured, kept, where).map(({ name, verdict }) => [name, verdict]));

test('guard_everyRoundMuchWorse_isALoss', () => {
  const now = { echoVsLinux: spread(2, 2.5, 2.8), roundTripVsLinux: spread(0.6, 0.7, 0.9) };
  assert.equal(verdicts(now)['echoVsLinux'], 'lost');
  assert.equal(verdicts(now)['roundTripVsLinux'], 'lost');
});

test('guard_oneGoodRound_isNoise', () => {
  const now = { echoVsLinux: spread(1, 1.2, 3.5), roundTripVsLinux: spread(0.5, 1, 2) };
  assert.equal(verdicts(now)['echoVsLinux'], 'kept');
  assert.equal(verdicts(now)['roundTripVsLinux'], 'kept');
});

test('guard_anotherMachine_isJudgedMoreWidely', () => {
  const other = { ...machine, cpu: 'another' };
  assert.equal(verdicts({ echoVsLinux: spread(2, 2.2, 2.4) }, other)['echoVsLinux'], 'kept');
  assert.equal(verdicts({ echoVsLinux: spread(1, 1.2, 1.5) }, other)['echoVsLinux'], 'lost');
});

test('guard_notMeasuredOrNeverCommitted_failsNothing', () => {
  assert.equal(verdicts({})['echoVsLinux'], 'undecided');
  assert.equal(verdicts({ kvVsMemcached: spread(1, 1, 1) })['kvVsMemcached'], 'undecided');
});

test('guard_everyRoundMuchBetter_isAGain', () => {
  assert.equal(verdicts({ echoVsLinux: spread(6, 7, 8) })['echoVsLinux'], 'gained');
});

test('guard_everyRoundATenthSlowerThanTheBase_isALoss', () => {
  const slower = { echoVsBase: spread(0.8, 0.85, 0.89), rttVsBase: spread(1.12, 1.2, 1.3) };
  const found = judgeAgainstBase(slower);
  const lost = found.filter(({ verdict }) => verdict === 'lost').map(({ name }) => name);
  assert.deepEqual(lost, ['echoVsBase', 'rttVsBase']);
  assert.ok(found.filter(({ now }) => !now).every(({ verdict }) => verdict === 'undecided'));
});

test('guard_oneRoundLikeTheBase_isKept_everyRoundFaster_isAGain', () => {
  const now = { echoVsBase: spread(0.7, 0.8, 0.95), rttVsBase: spread(0.5, 0.6, 0.8) };
  const verdicts = Object.fromEntries(
    judgeAgainstBase(now).map(({ name, verdict }) => [name, verdict]),
  );
  assert.equal(verdicts['echoVsBase'], 'kept');
  assert.equal(verdicts['rttVsBase'], 'gained');
  assert.equal(Object.keys(verdicts).length, BASE_RATIOS.length);
});

test('guard_committedFile_holdsRatiosOfTheKindsMeasured', () => {
  const file = new URL('../../bench/guard.json', import.meta.url);
  const { ratios, base } = JSON.parse(readFileSync(file, 'utf8')) as Kept;
  assert.match(base, /^[0-9a-f]{40}$/);
  const names = RATIOS.map(({ name }) => name);
  for (const [name, { min, median, max }] of Object.entries(ratios)) {
    assert.ok(names.includes(name), name);
    assert.ok(min > 0 && min <= median && median <= max, name);
  }
});

test('idleShare_ofAnyMachine_isAShare', async () => {
  const share = await idleShare(50);
  assert.ok(share >= 0 && share <= 1, String(share));
});

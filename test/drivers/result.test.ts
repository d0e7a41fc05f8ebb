/** What test/drivers/run calls right: nothing that was not seen. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { CASES, planned } from './cases.ts';
import type { Outcome } from './machine.ts';
import { judge, Results, resultOf } from './result.ts';

const KERNEL = '6.12';
const caseOf = (name: string) => CASES.find((each) => each.name === name)!;

/** A service on virtio-net under 6.12 of which everything is as it should be, but for `changes`. */
function served(changes: Partial<Outcome> = {}, said: Outcome['said'] = {}): Outcome {
  const out = '{"app":"kv","xdp":{"mode":"native","copy":"copy","why":""}}';
  const client = { wrong: [], requests: 1, pipelined: 1 };
  return {
    step: { name: 'virtio', app: 'kv', line: '' },
    ...{ state: 'ended', failed: '', lacks: '', readySeconds: 1, client, ...changes },
    said: { out: [out], socket: ['zc:0'], ...said },
  };
}

const verdictOf = (outcome: Outcome, name = 'virtio', kernel = KERNEL, options = ''): string =>
  judge(caseOf(name), kernel, options, outcome).verdict;

const tested = (...lines: string[]): Outcome => served({ client: undefined }, { test: lines });

test('service_every value came back in the mode of this driver_right', () => {
  assert.equal(verdictOf(served()), 'right');
});

test('service_a value was wrong, or nobody asked_wrong', () => {
  assert.equal(verdictOf(served({ client: { wrong: ['1400 bytes: silence'] } })), 'wrong');
  assert.equal(verdictOf(served({ client: undefined })), 'wrong');
  assert.equal(verdictOf(served({ failed: 'the service ended (1)' })), 'wrong');
});

test('service_another mode than this kernel has_wrong unless it was asked for', () => {
  assert.equal(verdictOf(served(), 'virtio', '6.18'), 'wrong');
  assert.equal(verdictOf(served(), 'virtio', '6.18', '--xdp native-copy'), 'right');
  assert.equal(verdictOf(served(), 'e1000e'), 'wrong');
});

test('service_the kernel says zero-copy where the service says copy_wrong', () => {
  assert.equal(verdictOf(served({}, { socket: ['zc:1'] })), 'wrong');
  assert.equal(verdictOf(served({}, { socket: ['zc:0', 'zc:1'] })), 'wrong');
});

test('two threads_a queue without a frame_wrong', () => {
  const verdict = (...queue: string[]) => verdictOf(served({}, { queue }), 'igb-threads');
  assert.equal(verdict('0 12', '1 900'), 'right');
  assert.equal(verdict('0 12', '0 0', '1 0', '1 900'), 'right', 'of two counters the higher one');
  assert.equal(verdict('0 12', '1 0'), 'wrong');
  assert.equal(verdict('0 12'), 'wrong');
  assert.equal(verdict(), 'wrong');
});

test('case_cut off_unfinished, with the reason', () => {
  const cut = served({ state: 'running', failed: 'not done in 600 s' });
  const { verdict, detail } = judge(caseOf('virtio'), KERNEL, '', cut);
  assert.deepEqual([verdict, detail], ['unfinished', 'not done in 600 s']);
});

test('case_without its driver, or not reached_not run', () => {
  assert.equal(verdictOf(served({ lacks: 'no driver' })), 'not run');
  assert.equal(verdictOf(served({ state: 'waiting' })), 'not run');
});

test('tests_all skipped_not run', () => {
  const name = 'test-afxdp';
  assert.equal(verdictOf(tested('ℹ pass 3', 'ℹ fail 0', 'ℹ skipped 1'), name), 'right');
  assert.equal(verdictOf(tested('ℹ pass 3', 'ℹ fail 1'), name), 'wrong');
  assert.equal(verdictOf(tested('ℹ pass 0', 'ℹ fail 0', 'ℹ skipped 4'), name), 'not run');
  assert.equal(verdictOf(tested(), name), 'not run');
});

test('results_a case without one_is in the list, with the reason', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ix-drivers-'));
  try {
    const results = new Results(folder);
    const about = { kernel: KERNEL, release: '6.12.1', product: 'abc', options: '' };
    results.put(resultOf(about, caseOf('virtio'), served()));
    const all = results.all([KERNEL], () => 'not asked for');
    assert.equal(all.length, CASES.length);
    const [first, ...rest] = all;
    assert.deepEqual([first?.verdict, first?.mode], ['right', 'native copy']);
    assert.ok(
      rest.every(({ verdict, detail }) => `${verdict}: ${detail}` === 'not run: not asked for'),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('plan_some of the cases_each has the tap that it has in every machine', () => {
  const [igb, tap] = [caseOf('igb'), caseOf('tap')];
  const { steps, devices } = planned([igb, tap], '--batch 1');
  const [first] = planned(CASES, '--batch 1').steps.filter(({ name }) => name === 'igb');
  assert.deepEqual(steps[0], first);
  assert.equal(devices.length, 4);
  assert.equal(steps[1]?.line, 'own kv --domain inline --nic tap --batch 1');
});

test('plan_every test that it names_is there', () => {
  const files = CASES.filter(({ kind }) => kind === 'tests').flatMap(({ words }) =>
    words.split(' '),
  );
  assert.ok(files.length > 0);
  assert.deepEqual(
    files.filter((file) => !existsSync(join(import.meta.dirname, '../..', file))),
    [],
  );
});

test('plan_a case with two queues_has them in its tap, its step, and of echo', () => {
  const { steps, devices } = planned([caseOf('virtio-threads')], '');
  assert.match(steps[0]!.line, /^nic \S+ \d+ 2 echo --domain inline --threads 2$/);
  assert.match(devices[1]!, /,queues=2$/);
  assert.equal(steps[0]!.app, 'echo');
  assert.doesNotMatch(planned([caseOf('igb-threads')], '').devices[1]!, /queues/, 'hashed in it');
});

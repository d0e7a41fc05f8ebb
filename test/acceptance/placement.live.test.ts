/**
 * Placement split: dataplane and application poll on a core each. What is served, hang detection
 * and life are those of same-core; the cores are not.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Incident } from '../../src/control/children/incidents.ts';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs } from './programs.ts';
import { cpuSeconds, IX, Serving } from './serving.ts';

enterNamespace();

const MISBEHAVING = fileURLToPath(new URL('apps/misbehaving.ts', import.meta.url));
const SPLIT = ['--placement', 'split'];
const IDLE_MS = 2000;
const LOOKS = 50;
const skip = availableParallelism() < 2 ? 'needs two cores' : needs('taskset');

const start = (...words: string[]): Promise<Serving> => Serving.start([...words, ...SPLIT]);

/** Cores that some thread of the process is pinned to. */
function pins(pid: number): number[] {
  const cores = new Set<number>();
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1');
    const list = /^Cpus_allowed_list:\t(\d+)$/m.exec(status)?.[1];
    if (list !== undefined) cores.add(Number(list));
  }
  return [...cores];
}

async function exchange(serving: Serving, request: string, answer: string): Promise<void> {
  const client = await Client.open(serving.address, serving.port);
  await client.write(request);
  assert.equal(await client.text(answer.length), answer);
  await client.close();
}

/** Whoever was late is back, and the dataplane has been told, although it may have been asleep. */
async function comesBack(serving: Serving): Promise<void> {
  for (let look = 0; look < LOOKS; look++) {
    const { applicationLate, applicationBack } = serving.counters();
    assert.ok(applicationLate! >= 1);
    if (applicationLate === applicationBack) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail('the application is away');
}

const heard = async (serving: Serving): Promise<Incident> => JSON.parse(await serving.line());

describe('placement split', { skip, timeout: 120_000 }, () => {
  for (const idle of ['spin', 'adaptive', 'sleep']) {
    test(`echo_${idle}_everyByteInOrder`, async () => {
      await using serving = await start('echo', '--idle', idle);
      const text = Array.from({ length: 20_000 }, (_, i) => `line ${i};`).join('');
      await exchange(serving, text, text);
      for (let i = 0; i < 200; i++) await exchange(serving, `ping ${i}`, `ping ${i}`);
      const { batches, calls } = serving.counters();
      assert.ok(batches! >= 400 && calls! >= 400, `${batches} batches, ${calls} calls`);
      await serving.stop();
    });
  }

  test('kv_setAndGet_andAnIdleServiceCostsNothing', async () => {
    await using serving = await start('kv', '-m', '32');
    const value = 'x'.repeat(100_000);
    await exchange(serving, `set k 0 0 ${value.length}\r\n${value}\r\n`, 'STORED\r\n');
    const answer = `VALUE k 0 ${value.length}\r\n${value}\r\nEND\r\n`;
    await exchange(serving, 'get k\r\n', answer);
    const before = cpuSeconds(serving.pids);
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const used = cpuSeconds(serving.pids) - before;
    assert.ok(used < IDLE_MS / 10_000, `${used} s of processor in ${IDLE_MS} ms`);
    await exchange(serving, 'get k\r\n', answer); // both sleep, and wake each other
    await serving.stop();
  });

  for (const [words, dataplane, application] of [
    [['--cpu', '0'], 0, 1],
    [['--cpu', '1', '--app-cpu', '0'], 1, 0],
  ] as const) {
    test(`pinned_${words.join('')}_aCoreEach`, async () => {
      await using serving = await start('echo', ...words);
      assert.deepEqual(pins(serving.facts.dataplane), [dataplane]);
      assert.deepEqual(pins(serving.facts.application!), [application]);
      await exchange(serving, 'hello', 'hello');
      await serving.stop();
    });
  }

  test('hang_reportedRestartedAndServedAgain', async () => {
    await using serving = await start(MISBEHAVING, '--hang-timeout', '2.5');
    const client = await Client.open(serving.address, serving.port);
    await client.write('hang');
    const events: string[] = [];
    for (let i = 0; i < 3; i++) events.push((await heard(serving)).event);
    assert.deepEqual(events, ['hanging', 'ended', 'restarted']);
    await exchange(serving, 'still there', 'still there');
    client.socket.destroy();
    await comesBack(serving);
    await serving.stop(/did not return from a batch/);
  });

  test('oneCore_refusedWithTheRemedy', () => {
    const words = ['-c', '0', IX, 'serve', 'echo', ...SPLIT];
    const { status, stderr } = spawnSync('taskset', words, { encoding: 'utf8' });
    assert.equal(status, 2);
    assert.equal(stderr, 'ix: --placement split needs two cores, here is one; leave it out\n');
  });

  for (const [words, problem] of [
    [['--app-cpu', '0'], /--app-cpu needs a --cpu that is another core/],
    [['--cpu', '0', '--app-cpu', '0'], /--app-cpu needs a --cpu that is another core/],
    [['--cpu', '0', '--app-cpu', '1000'], /there is no core 1000; --app-cpu takes 0 to/],
  ] as const) {
    test(`wrong_${words.join('')}_refused`, () => {
      const given = ['serve', 'echo', ...SPLIT, ...words];
      const { status, stderr } = spawnSync(IX, given, { encoding: 'utf8' });
      assert.equal(status, 2);
      assert.match(stderr, problem);
    });
  }
});

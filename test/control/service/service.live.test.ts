/** What a service leaves behind, whatever ends it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Incident } from '../../../src/control/children/incidents.ts';
import { Netlink } from '../../../src/control/link/netlink.ts';
import { sweepLinks } from '../../../src/control/link/network.ts';
import { liveInstances, withLock } from '../../../src/control/record/instances.ts';
import { startService } from '../../../src/control/service/service.ts';
import { findApplication } from '../../../src/control/wish/applications.ts';
import { parseRunOptions } from '../../../src/control/wish/options.ts';
import { planOf } from '../../../src/control/wish/plan.ts';
import { isAlive, processName } from '../../../src/native/process.ts';
import { enterNamespace, linkNames, needsRoot } from '../namespace.ts';

enterNamespace();

const STUB = fileURLToPath(new URL('../../cli/serve-stub.ts', import.meta.url));
const CLI = fileURLToPath(new URL('../../../src/cli/cli.ts', import.meta.url));

/** Of this test: one that fails must not leave what keeps this process from ending. */
const started = new Set<ChildProcess>();

async function start(ip = '10.77.0.2/24'): Promise<{ control: ChildProcess; dataplane: number }> {
  const control = spawn(process.execPath, [STUB, ip], { stdio: ['ignore', 'pipe', 'inherit'] });
  started.add(control);
  control.once('exit', () => started.delete(control));
  const ended = once(control, 'exit').then(([code]) => assert.fail(`it ended with ${code}`));
  const [line] = await Promise.race([once(control.stdout!, 'data'), ended]);
  return { control, dataplane: JSON.parse(`${line}`).dataplane };
}

async function end(control: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exit = once(control, 'exit');
  control.kill(signal);
  await exit;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) await new Promise((r) => setTimeout(r, 20));
  assert.ok(condition());
}

function stat(...words: string[]) {
  return spawnSync(process.execPath, [CLI, 'stat', ...words], { encoding: 'utf8' });
}

describe('service', { skip: needsRoot, timeout: 300_000 }, () => {
  // The kernel takes a tap away when the last process that had it is gone, a moment after its end
  // is known.
  afterEach(async () => {
    for (const control of started) await end(control, 'SIGKILL');
    await until(() => linkNames().length === 0);
  });

  test('stopped_leavesNothing', async () => {
    const { control, dataplane } = await start();
    assert.deepEqual(linkNames(), ['ix0']);
    const [instance] = liveInstances();
    assert.equal(instance?.control.pid, control.pid);
    assert.equal(instance?.dataplane?.pid, dataplane);
    assert.deepEqual(instance?.ports, [7]);
    const child = processName(dataplane)!;
    await end(control, 'SIGTERM');
    await until(() => !isAlive(child));
    assert.deepEqual(liveInstances(), []);
  });

  test('killed9_nextStartSweepsAndServes', async () => {
    const first = await start();
    const orphan = processName(first.dataplane)!;
    await end(first.control, 'SIGKILL');
    await until(() => !isAlive(orphan));
    const second = await start();
    assert.deepEqual(linkNames(), ['ix0']);
    assert.equal(liveInstances().length, 1);
    await end(second.control, 'SIGTERM');
  });

  // A tap goes with its descriptors; a veth pair of its name stands for a link that does not.
  for (const [what, moved, swept] of [
    ['linkThatOutlivesTheProcess_isSwept', 0, ['ix0']],
    ['strangersLinkOfTheSameName_isLeft', 10, []],
  ] as const) {
    test(`killed9_${what}`, async () => {
      const { control } = await start();
      const netlink = new Netlink();
      const { index } = netlink.link('ix0')!;
      await end(control, 'SIGKILL');
      await until(() => linkNames().length === 0);
      const words = ['link', 'add', 'ix0', 'index', `${index + moved}`, 'type', 'veth'];
      const made = spawnSync('ip', [...words, 'peer', 'name', 'ix1'], { encoding: 'utf8' });
      assert.equal(made.stderr, '');
      try {
        const sweeping = () => sweepLinks(netlink);
        assert.deepEqual(withLock(sweeping), swept);
      } finally {
        const left = netlink.link('ix0');
        if (left) netlink.deleteLink(left.index);
        netlink.close();
      }
    });
  }

  test('stat_running_printsJsonTableAndExposition', async () => {
    const { control } = await start();
    const { instances } = JSON.parse(stat('--json').stdout);
    assert.equal(instances[0].address, '10.77.0.2');
    assert.equal(instances[0].counters.rxFrames, 0);
    assert.deepEqual(instances[0].link, { name: 'ix0', state: 'up' });
    assert.ok(instances[0].confined.dataplane.includes('system calls'));
    const lines = [
      /echo at 10\.77\.0\.2:7 \(pid \d+\)/,
      / {2}link ix0: up/,
      / {2}thread 0: 0 flows, \d+ % busy( \(\w+\))?, queue 0/,
      / {2}dataplane confined: .*system calls/,
      / {2}nothing yet/,
      /what a counter means, and what to do: bin\/ix explain COUNTER/,
    ];
    assert.match(
      stat().stdout,
      new RegExp(`^${lines.map(({ source }) => `${source}\\n`).join('')}$`),
    );
    const exposition = stat('--prometheus').stdout;
    assert.match(exposition, /^# TYPE ix_rx_frames_total counter$/m);
    assert.match(exposition, /^ix_rx_frames_total\{app="echo",address="10\.77\.0\.2"\} 0$/m);
    const other = stat('--ip', '10.77.0.9');
    assert.equal(other.status, 2);
    assert.match(
      other.stderr,
      /^ix: nothing runs here as 10\.77\.0\.9; what does: echo at 10\.77\.0\.2\n$/,
    );
    await end(control, 'SIGTERM');
  });

  for (const [what, module] of [
    ['attached', fileURLToPath(new URL('../children/silent-dataplane.ts', import.meta.url))],
    ['ready', undefined],
  ] as const) {
    test(`start_neverBecomes${what}_oneErrorWithARemedyAndNothingLeft`, async () => {
      const endless = fileURLToPath(new URL('../children/endless-application.ts', import.meta.url));
      for (const domain of ['inline', 'process']) {
        const startTimeout = module === undefined ? '8' : '0.5';
        const options = parseRunOptions({ nic: 'tap', domain, startTimeout });
        const plan = planOf(findApplication(endless), options, 'tap');
        const starting = startService(plan, { main: module });
        await assert.rejects(starting, (error: Error & { exitCode: number; code: string }) => {
          assert.deepEqual([error.code, error.exitCode], ['IX_START_TIMEOUT', 1]);
          assert.match(
            error.message,
            new RegExp(`was not ${what} within .* s; something blocks it`),
          );
          return true;
        });
        assert.deepEqual(linkNames(), []);
        assert.deepEqual(liveInstances(), []);
      }
    });
  }

  test('dataplaneDies_recordCannotBeWritten_isSaidAndTheNextOneServes', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'ix-service-'));
    const [state, kept] = [join(directory, 'state'), join(directory, 'kept')];
    const before = process.env['IX_STATE_DIR'];
    process.env['IX_STATE_DIR'] = state;
    const said = t.mock.method(console, 'error', () => {});
    const again = Promise.withResolvers<void>();
    const incident = ({ event }: Incident): void => {
      if (event === 'dataplane-restarted') again.resolve();
    };
    const main = fileURLToPath(new URL('../children/stub-dataplane.ts', import.meta.url));
    const options = parseRunOptions({ nic: 'tap', ip: '10.77.0.2/24', domain: 'inline' });
    const plan = planOf(findApplication('echo'), options, 'tap');
    const service = await startService(plan, { main, restarts: true, incident });
    t.after(() => {
      service.takeDown();
      rmSync(directory, { recursive: true });
      if (before === undefined) delete process.env['IX_STATE_DIR'];
      else process.env['IX_STATE_DIR'] = before;
    });
    const first = service.dataplane.pid!;
    renameSync(state, kept);
    writeFileSync(state, '');
    process.kill(first, 'SIGKILL');
    await again.promise;
    assert.notEqual(service.dataplane.pid, first);
    assert.match(`${said.mock.calls[0]?.arguments}`, /its record is not up to date/);
    rmSync(state);
    renameSync(kept, state);
    await service.stop();
    service.takeDown();
    assert.deepEqual(liveInstances(), []);
  });

  test('twoInstances_sameTime_ofDifferentAddresses', async () => {
    const started = await Promise.all([start('10.77.0.2/24'), start('10.77.0.3/24')]);
    assert.deepEqual(linkNames(), ['ix0', 'ix1']);
    for (const { control } of started) await end(control, 'SIGTERM');
  });
});

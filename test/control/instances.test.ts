import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import {
  forget,
  holderOf,
  type Instance,
  liveInstances,
  record,
  sweep,
  withLock,
} from '../../src/control/instances.ts';
import { networkNamespace, processName } from '../../src/control/process.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ix-instances-'));
  process.env['IX_STATE_DIR'] = directory;
});
afterEach(() => rmSync(directory, { recursive: true }));

const files = (): string[] => readdirSync(directory).filter((name) => name.endsWith('.json'));

function instance(address: string, changes: Partial<Instance> = {}): Instance {
  return {
    control: processName(process.pid)!,
    namespace: networkNamespace(),
    address,
    app: 'echo',
    ports: [7],
    nic: 'veth',
    links: ['ix0', 'ix1'],
    statisticsFd: 20,
    counters: ['rxFrames'],
    threads: 1,
    ...changes,
  };
}

/** A process that was, with its start time. */
function deadProcess() {
  const { pid } = spawnSync('true');
  return { pid, start: 1 };
}

test('record_live_isHolderUntilForgotten', () => {
  const mine = instance('10.77.0.2');
  record(mine);
  assert.deepEqual(holderOf('10.77.0.2'), mine);
  assert.equal(holderOf('10.77.0.3'), undefined);
  forget(mine);
  assert.equal(holderOf('10.77.0.2'), undefined);
  assert.deepEqual(files(), []);
});

test('sweep_deadInstance_removesItsLinksAndFile', () => {
  record(instance('10.77.0.2', { control: deadProcess() }));
  assert.deepEqual(liveInstances(), []);
  const asked: string[] = [];
  const removed = sweep((name) => {
    asked.push(name);
    return name === 'ix0'; // the peer went with it
  });
  assert.deepEqual(asked, ['ix0', 'ix1']);
  assert.deepEqual(removed, ['ix0']);
  assert.deepEqual(files(), []);
});

test('sweep_reusedPid_countsAsDead', () => {
  const { pid, start } = processName(process.pid)!;
  record(instance('10.77.0.2', { control: { pid, start: start - 1 } }));
  assert.equal(sweep(() => true).length, 2);
});

test('sweep_linkOfALiveInstance_isKept', () => {
  record(instance('10.77.0.2', { control: deadProcess() }));
  record(instance('10.77.0.3', { links: ['ix1'] }));
  assert.deepEqual(
    sweep(() => true),
    ['ix0'],
  );
  assert.deepEqual(files().length, 1);
});

test('sweep_otherNamespace_linksAreLeftToAStartInThere', () => {
  const elsewhere = { control: deadProcess(), namespace: '1' };
  record(instance('10.77.0.2', elsewhere));
  record(instance('10.77.0.3', { ...elsewhere, links: [] })); // made nothing: only its file is left
  assert.deepEqual(
    sweep(() => true),
    [],
  );
  assert.deepEqual(files(), ['10.77.0.2@1.json']);
});

test('sweep_dataplaneOutlivedItsControlPlane_isKilled', async () => {
  const orphan = spawn('sleep', ['60']);
  const dataplane = processName(orphan.pid!)!;
  record(instance('10.77.0.2', { control: deadProcess(), dataplane }));
  const ended = once(orphan, 'exit');
  sweep(() => true);
  const [, signal] = await ended;
  assert.equal(signal, 'SIGKILL');
});

test('withLock_twoProcesses_oneAtATime', async () => {
  const module = new URL('../../src/control/instances.ts', import.meta.url).href;
  const script = `
    const { withLock } = await import('${module}');
    withLock(() => {
      console.log('in ' + process.pid);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
      console.log('out ' + process.pid);
    });`;
  const said: string[] = [];
  const children = [0, 1, 2].map(() => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
    child.stdout.on('data', (text) => said.push(...`${text}`.trim().split('\n')));
    return once(child, 'close');
  });
  await Promise.all(children);
  assert.equal(said.length, 6);
  for (let i = 0; i < 6; i += 2) {
    assert.equal(said[i]!.replace('in ', ''), said[i + 1]!.replace('out ', ''), said.join(', '));
  }
  assert.equal(
    withLock(() => 5),
    5,
  );
});

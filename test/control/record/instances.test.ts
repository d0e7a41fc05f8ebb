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
  isOrphan,
  liveInstances,
  orphans,
  record,
  withLock,
} from '../../../src/control/record/instances.ts';
import { sweep } from '../../../src/control/record/sweep.ts';
import { networkNamespace, processName } from '../../../src/native/process.ts';

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
    users: [process.geteuid!()],
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
  return { pid, start: 1, program: '' };
}

test('record_live_isHolderUntilForgotten', () => {
  const mine = instance('10.77.0.2');
  record(mine);
  assert.deepEqual(holderOf('10.77.0.2'), { ...mine, owner: process.geteuid!() });
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

test('linkRenamed_recordIsStillBelieved_andSweptByItsNewName', () => {
  const mine = instance('10.77.0.2', {
    links: ['web0', 'ünder'],
    link: { name: 'ünder', indexes: [7], state: 'up' },
  });
  record(mine);
  assert.equal(holderOf('10.77.0.2')?.link?.name, 'ünder');
  record({ ...mine, control: deadProcess() });
  const asked: unknown[] = [];
  sweep((...link) => {
    asked.push(link);
    return true;
  });
  const indexes = [7];
  assert.deepEqual(asked, [
    ['web0', indexes],
    ['ünder', indexes],
  ]);
});

for (const name of ['', '../ix0', 'two words', 'a:b', '.', '..', 'sixteen_letters_']) {
  test(`linkNamed_${name}_whichTheKernelRefuses_recordIsNotBelieved`, () => {
    record(instance('10.77.0.2', { links: [name] }));
    assert.equal(holderOf('10.77.0.2'), undefined);
  });
}

test('sweep_reusedPid_countsAsDead', () => {
  const name = processName(process.pid)!;
  record(instance('10.77.0.2', { control: { ...name, start: name.start - 1 } }));
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

test('sweep_otherNamespaceThatIsGone_fileIsForgotten', () => {
  const elsewhere = { control: deadProcess(), namespace: '1' };
  record(instance('10.77.0.2', elsewhere));
  record(instance('10.77.0.3', { ...elsewhere, links: [] }));
  assert.deepEqual(
    sweep(() => true),
    [],
  );
  assert.deepEqual(files(), []);
});

test('sweep_otherNamespaceWithSomebodyInIt_linksAreLeftToAStartInThere', async (t) => {
  const other = spawn('unshare', ['-n', 'sh', '-c', 'readlink /proc/self/ns/net; exec sleep 60']);
  t.after(() => other.kill('SIGKILL'));
  const [said = ''] = await Promise.race([once(other.stdout, 'data'), once(other, 'close')]);
  const namespace = `${said}`.replace(/\D/g, '');
  if (!`${said}`.startsWith('net:')) return t.skip('needs root (unshare -n)');
  record(instance('10.77.0.2', { control: deadProcess(), namespace }));
  record(instance('10.77.0.3', { control: deadProcess(), namespace, links: [] })); // made nothing
  assert.deepEqual(
    sweep(() => true),
    [],
  );
  assert.deepEqual(files(), [`10.77.0.2@${namespace}.json`]);
});

/** A process that stands for a dataplane or an application. */
function child() {
  const sleeping = spawn('sleep', ['60']);
  const ended = once(sleeping, 'exit').then(([, signal]) => signal);
  const record = {
    ...processName(sleeping.pid!)!,
    channel: { fd: 5, what: 'socket' },
    outputs: [],
  };
  return { record, ended, kill: () => sleeping.kill('SIGKILL') };
}

const held = { fd: 6, what: 'memfd' };
const ESTATE: NonNullable<Instance['estate']> = {
  wish: 'echo',
  network: {
    kind: 'tap',
    linkKind: 'tun',
    ifname: 'ix0',
    ifindex: 2,
    mac: [2, 0, 0, 0, 0, 1],
    mtu: 1500,
    gateway: 0,
  },
  ...{ statistics: held, layouts: [], flows: 1, driver: 'stub' },
};

test('sweep_childrenThatNeverServed_areKilled', async () => {
  const [dataplane, application] = [child(), child()];
  const children = { dataplane: dataplane.record, application: application.record };
  record(instance('10.77.0.2', { control: deadProcess(), ...children }));
  sweep(() => true);
  assert.deepEqual(await Promise.all([dataplane.ended, application.ended]), ['SIGKILL', 'SIGKILL']);
  assert.deepEqual(files(), []);
});

test('sweep_dataplaneServesWithoutItsControlPlane_isAnOrphanAndKept', async () => {
  const dataplane = child();
  const served = { control: deadProcess(), dataplane: dataplane.record, estate: ESTATE };
  record(instance('10.77.0.2', served));
  assert.deepEqual(
    sweep(() => assert.fail('its links are in use')),
    [],
  );
  assert.deepEqual(liveInstances(), []);
  assert.equal(orphans().length, 1);
  assert.equal(holderOf('10.77.0.2')?.dataplane?.pid, dataplane.record.pid, 'it has its address');
  dataplane.kill();
  await dataplane.ended;
  assert.deepEqual(orphans(), []);
  assert.deepEqual(
    sweep(() => true),
    ['ix0', 'ix1'],
  );
  assert.deepEqual(files(), []);
});

test('sweep_applicationOutlivedItsDataplane_isKilled', async () => {
  const [dataplane, application] = [child(), child()];
  dataplane.kill();
  await dataplane.ended;
  const children = { dataplane: dataplane.record, application: application.record };
  const dead = instance('10.77.0.2', { control: deadProcess(), ...children, estate: ESTATE });
  assert.equal(isOrphan(dead), false);
  record(dead);
  sweep(() => true);
  assert.equal(await application.ended, 'SIGKILL');
});

test('withLock_twoProcesses_oneAtATime', async () => {
  const module = new URL('../../../src/control/record/instances.ts', import.meta.url).href;
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

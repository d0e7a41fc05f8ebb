/**
 * Each layer of a child's confinement by itself. Behind the list of system calls nobody would
 * notice that one is missing: here a child has not locked itself down yet, says what it finds, and
 * is looked at from outside.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Confinement, planConfinement } from '../../src/confine/plan.ts';
import { type Dataplane, launch } from '../../src/control/children/launch.ts';
import { makeStatistics } from '../../src/control/record/statistics.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import type { Layers } from './probe.ts';

enterNamespace();

const PROBE = fileURLToPath(new URL('./probe.ts', import.meta.url));
const ECHO = fileURLToPath(new URL('../../src/apps/echo.ts', import.meta.url));
const SECBIT_NOROOT_LOCKED = 3;
const SIGUSR1 = 10;

describe('layers', { skip: needsRoot, timeout: 120_000 }, () => {
  let directory: string;
  let plan: Confinement;
  let child: Dataplane;
  let layers: Layers;
  let statisticsFd: number;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'ix-layers-'));
    chmodSync(directory, 0o775);
    chownSync(directory, 0, 64322);
    statisticsFd = makeStatistics(1);
    process.env['NODE_OPTIONS'] = '--no-deprecation';
    process.env['IX_LOAD_TOKEN'] = 'secret';
    const given = { read: [], write: [directory] };
    const options = { domain: 'process', module: ECHO, given, locksMemory: false } as const;
    plan = planConfinement(options).application!;
    const config = {
      nics: [{ kind: 'tap', ifname: 'ix0', fd: statisticsFd, mac: [2, 0, 0, 0, 0, 1], mtu: 1500 }],
      ...{ address: 0x0a4d0002, prefixLength: 24, gateway: 0, idle: 'adaptive', trace: false },
      app: { name: 'echo', module: ECHO, options: {} },
      ...{ limits: {}, statisticsFd },
    };
    const heard = Promise.withResolvers<Layers>();
    child = launch(config as never, PROBE, (value) => heard.resolve(value as Layers), plan);
    await child.ready;
    layers = await heard.promise;
  });
  after(async () => {
    delete process.env['NODE_OPTIONS'];
    delete process.env['IX_LOAD_TOKEN'];
    await child?.stop();
    closeSync(statisticsFd);
    rmSync(directory, { recursive: true });
  });

  const field = (name: string): string =>
    new RegExp(`^${name}:\\t(.*)$`, 'm').exec(layers.status)?.[1] ?? '';
  const outside = (file: string): string => readFileSync(`/proc/${child.pid}/${file}`, 'latin1');

  test('mounts_all_nosuid', () => {
    assert.ok(layers.mounts.length > 5);
    const wrong = layers.mounts.filter(([, options]) => !options.includes('nosuid'));
    assert.deepEqual(wrong, []);
  });

  test('mounts_allButTheFourDevices_nodev', () => {
    const wrong = layers.mounts.filter(([, options]) => !options.includes('nodev'));
    const devices = ['null', 'random', 'urandom', 'zero'].map((name) => `/dev/${name}`);
    assert.deepEqual(wrong.map(([where]) => where).sort(), devices);
  });

  test('mounts_allButWhatMayBeWritten_readOnly', () => {
    const wrong = layers.mounts.filter(([where, options]) => {
      return !options.includes('ro') && !where.startsWith('/dev/') && where !== '/proc';
    });
    assert.deepEqual(
      wrong.map(([where]) => where),
      [directory],
    );
  });

  test('mounts_whatMayBeWritten_noexec', () => {
    const [given] = layers.mounts.filter(([where]) => where === directory);
    assert.ok(given?.[1].includes('noexec'), `${given}`);
  });

  test('root_listed_isRefusedAndItsOwn', () => {
    assert.deepEqual(layers.root, ['EACCES'], 'Landlock gives what lies in it, not the root');
    const [root] = layers.mounts.filter(([where]) => where === '/');
    assert.equal(root?.[2], 'tmpfs');
  });

  test('secureBits_noRoot_locked', () => {
    assert.equal(layers.secureBits & SECBIT_NOROOT_LOCKED, SECBIT_NOROOT_LOCKED);
  });

  test('capabilities_everySet_isEmpty', () => {
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      assert.match(field(set), /^0+$/, set);
    }
    assert.equal(field('NoNewPrivs'), '1');
  });

  test('user_ofItsOwn_withoutGroups', () => {
    const { uid, gid } = plan.user!;
    assert.deepEqual(field('Uid').split('\t').map(Number), Array(4).fill(uid));
    assert.deepEqual(field('Gid').split('\t').map(Number), Array(4).fill(gid));
    assert.equal(field('Groups').trim(), '');
  });

  test('namespaces_ofItsOwn', () => {
    for (const kind of ['net', 'pid', 'mnt', 'ipc']) {
      const of = (pid: number | 'self') => readlinkSync(`/proc/${pid}/ns/${kind}`);
      assert.notEqual(of(child.pid), of('self'), kind);
    }
  });

  test('session_ofItsOwn_withoutATerminal', () => {
    const [, , group, session, terminal] = outside('stat').split(') ')[1]!.split(' ');
    assert.deepEqual([group, session, terminal].map(Number), [child.pid, child.pid, 0]);
  });

  test('filter_beforeNode_isThere', () => {
    assert.deepEqual([field('Seccomp'), field('Seccomp_filters')], ['2', '1']);
  });

  test('limits_coreThreadsFiles_areSet', () => {
    for (const [name, value] of [
      ['core file size', 1],
      ['processes', 128],
      ['open files', 1024],
      ['locked memory', 0],
      ['msgqueue size', 0],
    ]) {
      assert.match(layers.limits, new RegExp(`^Max ${name} +${value} +${value} `, 'm'));
    }
    assert.equal(Number(outside('oom_score_adj')), 500);
  });

  test('inspector_bySignal_isNotThere', () => {
    assert.equal((BigInt(`0x${field('SigCgt')}`) >> BigInt(SIGUSR1 - 1)) & 1n, 0n);
  });

  test('environment_ours_isNotPassedOn', () => {
    const known = ['IX_CONFINED', 'IX_SOURCE', 'IX_VERIFY', 'OPENSSL_CONF', 'TZ'];
    assert.deepEqual(
      layers.environment.filter((name) => !known.includes(name)),
      [],
    );
    assert.equal(layers.umask, 0o002);
  });
});

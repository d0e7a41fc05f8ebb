/** What was asked for, as one plan: complete, checked, plain, and all that goes below. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { wishOf } from '../../../src/control/service/adopt.ts';
import { findApplication } from '../../../src/control/wish/applications.ts';
import { parseRunOptions } from '../../../src/control/wish/options.ts';
import { type Plan, planOf } from '../../../src/control/wish/plan.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** A module that is not one of ours. */
const STRANGER = fileURLToPath(new URL('../children/endless-application.ts', import.meta.url));

const asked = (name: string, given: Record<string, unknown> = {}, nic = 'tap'): Plan =>
  planOf(findApplication(name), parseRunOptions(given), nic);

test('nothingSaid_planIsCompleteAndPlain', () => {
  const plan = asked('kv', {}, 'veth');
  assert.deepEqual(JSON.parse(JSON.stringify(plan)), plan, 'nothing in it but data');
  assert.deepEqual(plan.application.options, {});
  assert.deepEqual(plan.network, {
    ...{ nic: 'veth', address: 0x0a4d_0002, prefixLength: 24, queues: 1, slaac: false },
    ip6: { address: [0xfd77_0000 | 0, 0, 0, 2], prefixLength: 64 },
    xdp: 'auto',
    attach: { mode: 'generic', why: 'generic mode is the faster one on a veth of our own' },
  });
  assert.deepEqual(plan.dataplane, {
    ...{ idle: 'adaptive', placement: 'same-core', onCrash: 'rst', trace: false },
    ...{ tcp: { keepaliveMs: 7_200_000 }, egress: [], limits: {} },
  });
  assert.deepEqual(plan.process, { idle: 'adaptive', placement: 'same-core' });
  assert.deepEqual(plan.life, { isTied: false, startMs: 30_000, hangSeconds: 10 });
  assert.deepEqual(plan.output, {});
});

test('domainInline_noProcessAndNothingOfOne', () => {
  const plan = asked('echo', { domain: 'inline' });
  assert.equal(plan.process, undefined);
  assert.equal('placement' in plan.dataplane, false);
  assert.equal(plan.confinement?.domain, 'inline');
  assert.equal(asked('echo', { unconfined: true }).confinement, undefined);
});

test('interfaceThatIsThere_ipv6OnlyWhenAsked_andItsBestMode', () => {
  const { network } = asked('echo', {}, 'eth7');
  assert.equal(network.ip6, undefined);
  assert.deepEqual(network.attach, {});
  assert.equal(asked('echo', { ip6: 'fd00::2/64' }, 'eth7').network.ip6?.prefixLength, 64);
  assert.equal(asked('echo', { ip6: 'none' }, 'veth').network.ip6, undefined);
});

test('memory_isToldToTheApplication_andMakesRoomForItAndLibix', () => {
  for (const name of ['kv', STRANGER]) {
    const { application, dataplane } = asked(name, { memory: '64', port: '4000' });
    assert.deepEqual(application.options, { m: '64', port: '4000' });
    assert.equal(dataplane.limits.applicationMiB, Math.ceil(((64 * 33) / 32 + 16) * (16 / 13)));
  }
});

test('split_applicationHasTheCoreAfterTheDataplanes', () => {
  const cores = { cpu: '0', placement: 'split' };
  assert.equal(asked('echo', cores).process?.cpu, 1);
  assert.equal(asked('echo', { ...cores, appCpu: '1' }).process?.cpu, 1);
  assert.equal(asked('echo', { cpu: '0' }).process?.cpu, 0);
  assert.equal(asked('echo', { placement: 'split' }).process?.cpu, undefined);
});

test('whatCannotBeTogether_isRefusedBeforeAnythingIsMade', () => {
  assert.throws(
    () => asked('echo', { slaac: true }, 'eth7'),
    /--slaac needs IPv6 on a link of our/,
  );
  assert.throws(() => asked('echo', { slaac: true, ip6: 'none' }), /--slaac needs IPv6/);
  assert.throws(
    () => asked('kv', { threads: '2' }),
    /kv keeps its values in one thread.*; use --threads 1, or an address for each kv/,
  );
  assert.equal(asked('echo', { threads: '2' }).network.queues, 2);
  const allowWrite = [ROOT.replace(/\/$/, '')];
  assert.throws(() => asked('echo', { allowWrite }), /would let an application change what root/);
  assert.ok(asked('echo', { allowWrite, unconfined: true }));
});

test('wish_isThePlan', () => {
  const wish = (given: Record<string, unknown>) => wishOf(asked('kv', given));
  const same = wish({});
  assert.equal(wish({ keepalive: '7200', connect: 'none', startTimeout: '30' }), same, 'said');
  assert.equal(wish({ json: true }), same, 'how it is printed is nobody else’s');
  const others = { keepalive: '60', connect: 'any', memory: '65', batch: '8', capture: '/tmp/f' };
  for (const [name, value] of Object.entries(others)) {
    assert.notEqual(wish({ [name]: value }), same, name);
  }
  assert.notEqual(wishOf(asked('kv', {}, 'veth')), same);
  assert.notEqual(wishOf(asked('echo')), same);
});

test('control_belowTheWish_knowsNoOptionAndNoApplicationByName', () => {
  const below = globSync('src/control/{children,link,record,service}/*.ts', { cwd: ROOT });
  assert.ok(below.length > 30);
  for (const path of below) {
    const text = readFileSync(ROOT + path, 'utf8');
    assert.doesNotMatch(text, /wish\/(options|applications|ranges)\.ts'/, path);
  }
  for (const path of globSync('src/control/**/*.ts', { cwd: ROOT })) {
    assert.doesNotMatch(readFileSync(ROOT + path, 'utf8'), /'(kv|echo|bulk)'/, path);
  }
});

/**
 * TAP: the shared suite against a packet socket on the kernel's end; without privilege; refusals.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NIC_REFUSED, NicError } from '../../../src/nic/errors.ts';
import { openTap, randomMac } from '../../../src/nic/privileged/tap.ts';
import { enterNamespace, needsRoot } from '../../control/namespace.ts';
import { bringUp, openPacketSocket, removeLink } from '../links.ts';
import { makeEnds, nicSuite, RING } from '../suite.ts';

enterNamespace();

const tapSuite = (name: string, skip: string | false): void =>
  nicSuite({
    name,
    skip,
    capacity: RING,
    connect: (a, b) => {
      const tap = openTap(a.arena, a.frames, a.counters, { ifname: 'ixtap', entries: RING });
      bringUp('ixtap');
      return { a: tap, b: openPacketSocket(b, 'ixtap'), remove: () => removeLink('ixtap') };
    },
  });

const rootless = process.env['IX_TEST_ROOTLESS'] === '1';
tapSuite(rootless ? 'rootless tap' : 'tap', rootless ? false : needsRoot);

test('tap of a name that is too long is refused', () => {
  const { arena, a } = makeEnds();
  assert.throws(
    () => openTap(arena, a.frames, a.counters, { ifname: 'ix-a-very-long-name', entries: RING }),
    (error) => error instanceof NicError && error.code === NIC_REFUSED.noInterface,
  );
  assert.ok(a.frames.allHome());
});

test('tap that another program has open is refused', { skip: rootless ? false : needsRoot }, () => {
  const { arena, a, b } = makeEnds();
  const first = openTap(arena, a.frames, a.counters, { ifname: 'ixtap', entries: RING });
  assert.throws(
    () => openTap(arena, b.frames, b.counters, { ifname: 'ixtap', entries: RING }),
    (error) => error instanceof NicError && error.code === NIC_REFUSED.interfaceBusy,
  );
  first.close();
  assert.ok(a.frames.allHome() && b.frames.allHome());
});

test('tap whose interface is down drops and counts what is sent', {
  skip: rootless ? false : needsRoot,
}, () => {
  const { arena, a } = makeEnds();
  const tap = openTap(arena, a.frames, a.counters, { ifname: 'ixtap', entries: RING });
  for (let i = 0; i < 10; i++) tap.transmit(a.frames.takeTransmit() + 2, 60);
  tap.kick();
  assert.equal(a.counters.get('txLinkDown'), 10);
  assert.ok(a.frames.allHome(tap.receiveLent()));
  tap.close();
  assert.ok(a.frames.allHome());
});

test('random addresses are unicast and locally administered', () => {
  for (let i = 0; i < 100; i++) assert.equal(randomMac()[0]! & 3, 2);
});

/** Why a user namespace cannot be had here; false when it can. */
function noUserNamespace(): string | false {
  if (rootless) return 'this is the rootless run';
  const said = spawnSync('unshare', ['--user', '--map-root-user', '--net', 'true']);
  return said.status === 0
    ? false
    : 'no user namespaces: sysctl user.max_user_namespaces, or no unshare(1)';
}

test('all of this again without privilege, in a user namespace', {
  skip: noUserNamespace(),
}, () => {
  const run = ['--user', '--map-root-user', '--net', process.execPath, '--test-reporter=tap'];
  const env: NodeJS.ProcessEnv = { ...process.env, IX_TEST_ROOTLESS: '1' };
  delete env['NODE_TEST_CONTEXT'];
  const file = fileURLToPath(import.meta.url);
  const said = spawnSync('unshare', [...run, file], {
    env,
    encoding: 'utf8',
    timeout: 120_000,
  }).stdout;
  assert.match(said, /^# fail 0$/m);
  assert.match(said, /ok \d+ - rootless tap: frames of every size cross/);
});

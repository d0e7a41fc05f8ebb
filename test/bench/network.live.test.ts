/**
 * The benchmark's network: this file's process moves into a namespace of its own, so it is alone in
 * it.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { measureLimit } from '../../bench/harness/limit.ts';
import {
  CLIENT_LINK,
  enterPrivateNetwork,
  makeBenchLink,
  SERVER_LINK,
} from '../../bench/harness/network.ts';
import { peerNamed, startPeer } from '../../bench/harness/peers.ts';
import { hasCapability, networkNamespace } from '../../src/native/process.ts';
import { readOffload } from '../../src/nic/privileged/interface.ts';

const skip =
  !(hasCapability('CAP_SYS_ADMIN') && hasCapability('CAP_NET_ADMIN')) &&
  'needs root: makes a network namespace';

const links = (): string[] =>
  [...readFileSync('/proc/self/net/dev', 'utf8').matchAll(/^\s*([^:|\s]+):/gm)].map((m) => m[1]!);

test('private_network_has_only_what_a_run_makes_and_nothing_after_it', { skip }, () => {
  const outside = networkNamespace();
  enterPrivateNetwork();
  assert.notEqual(networkNamespace(), outside);
  const before = links();
  assert.ok(!before.includes(SERVER_LINK));
  const link = makeBenchLink('ours');
  assert.deepEqual(links().sort(), [...before, CLIENT_LINK, SERVER_LINK].sort());
  link.remove();
  assert.deepEqual(links(), before);
});

test('kernel_side_has_whole_checksums_and_an_address_that_peers_listen_on', { skip }, async () => {
  const link = makeBenchLink('kernel');
  try {
    for (const offload of ['txChecksum', 'tso', 'gso'] as const) {
      assert.equal(readOffload(SERVER_LINK, offload), false, offload);
    }
    const running = await startPeer(peerNamed('epoll'), link.serverAddress, 0);
    await running.stop();
  } finally {
    link.remove();
  }
});

test('limit_is_measured_on_the_link_itself', { skip }, async () => {
  const link = makeBenchLink('ours');
  try {
    const plan = { seconds: 0.3, bytes: 64, serverCpu: 1, clientCpu: 0 };
    const { framesPerSecond } = await measureLimit(plan);
    assert.ok(framesPerSecond > 10_000, `${framesPerSecond} frames/s`);
  } finally {
    link.remove();
  }
});

/**
 * Neighbours that never answer: what waits for them ends, at a cost that other flows do not raise.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEAD, EVENT } from '../../src/gate/abi.ts';
import { address } from '../net/harness.ts';
import { icmp, ipFrame } from '../net/packets.ts';
import { Peer } from './peer.ts';

const absent = (i: number): string => `10.77.${1 + (i >> 8)}.${i & 255}`;

test('synSent_aThousandAbsentNeighbours_onlySynsAreLookedAt', () => {
  const p = new Peer({
    environment: { config: { prefixLength: 16 }, limits: { neighbours: 1024, flows: 2048 } },
  }).open();
  const { host } = p;
  const handles = [0, 500, 999].map((i) => host.tcp.connect(i, address(absent(i)), 80));
  const there = host.tcp.connect(7, address('10.77.0.1'), 80);
  for (let i = 0; i < 1000; i++) {
    host.env.nic.inject(ipFrame(icmp(8, 0, 0x10002, []), { protocol: 1, source: absent(i) }));
    host.turn();
  }
  const iterations = 40;
  for (let i = 0; i < iterations; i++) {
    host.pass(100);
    host.turn();
  }
  const dead = host.takeEvents().filter(({ kind }) => kind === EVENT.dead);
  assert.deepEqual(
    dead.map(({ handle, words }) => [handle, words[0]]).sort(),
    handles.map((handle) => [handle, DEAD.unreachable]).sort(),
  );
  const most = iterations * 4;
  assert.ok(host.tcp.failureSteps > 0 && host.tcp.failureSteps <= most, `${host.tcp.failureSteps}`);
  assert.equal(host.stateOf(there), 'synSent');
  assert.equal(p.state, 'established');
  host.env.nic.takeSent();
  p.close();
});

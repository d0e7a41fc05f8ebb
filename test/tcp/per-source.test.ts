/** The quota of connections for each source: an IPv4 address, or a /64. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitsFor } from '../../src/limits.ts';
import { describeIpv4 } from '../../src/net/ip.ts';
import { PerSource } from '../../src/tcp/per-source.ts';
import { makeEnvironment } from '../net/harness.ts';
import { Peer } from './peer.ts';

const quotas = (perSource?: number) =>
  limitsFor({ quotas: perSource === undefined ? {} : { perSource } }).quotas;

/** Tokens stand for the /64 of their last byte but one. */
const describe = (remote: number, at: number, into: Int32Array): void => {
  if (remote >>> 24 !== 0) describeIpv4(remote, at, into);
  else into.set([0x20010db8, remote >> 8, 0, remote & 255], at);
};

function make(perSource?: number) {
  const env = makeEnvironment({ limits: { quotas: quotas(perSource) } });
  return { env, sources: new PerSource(env, { describe }) };
}

test('quota_sourceHasAll_isRefusedUntilOneEnds', () => {
  const { env, sources } = make(2);
  const [a, b] = [0x0a4d0001, 0x0a4d0005];
  for (let i = 0; i < 2; i++) {
    assert.ok(sources.mayOpen(a));
    sources.opened(a);
  }
  assert.ok(!sources.mayOpen(a));
  assert.ok(sources.mayOpen(b), 'others may');
  assert.equal(env.counters.get('quotaPerSource'), 1);
  sources.closed(a);
  assert.ok(sources.mayOpen(a));
  sources.closed(a);
  assert.equal(sources.count, 0);
});

test('quota_addressesOfOneNetwork64_areOneSource', () => {
  const { sources } = make(3);
  for (const host of [1, 2, 3]) sources.opened((7 << 8) | host);
  assert.ok(!sources.mayOpen((7 << 8) | 4));
  assert.ok(sources.mayOpen((8 << 8) | 4));
  for (const host of [3, 1, 2]) sources.closed((7 << 8) | host);
  assert.equal(sources.count, 0);
});

test('noQuota_nothingIsCounted', () => {
  const { env, sources } = make();
  for (let i = 0; i < 1000; i++) {
    assert.ok(sources.mayOpen(0x0a4d0001));
    sources.opened(0x0a4d0001);
  }
  assert.equal(sources.count, 0);
  assert.equal(env.counters.get('quotaPerSource'), 0);
});

test('listen_synsOfOneSourceBeyondItsQuota_areDroppedUntilAConnectionEnds', () => {
  const first = new Peer({ environment: { limits: { quotas: quotas(2) } } }).open();
  const { host } = first;
  const second = new Peer({ host, sourcePort: 41_000 }).open();
  const third = new Peer({ host, sourcePort: 42_000 });
  third.send('S', { seq: 0, mss: 1460 });
  assert.deepEqual(third.replies(), [], 'silence: it tries again');
  assert.equal(host.count('quotaPerSource'), 1);
  second.send('RA');
  host.turn();
  third.send('S', { seq: 0, mss: 1460 });
  assert.equal(third.replies()[0]?.flags, 'SA');
  // what we open ourselves does not count
  assert.ok(host.tcp.connect(9, 0x0a4d0001, 80) > 0);
  host.env.nic.takeSent();
  first.close();
});

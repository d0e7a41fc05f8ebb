/** The user timeout (RFC 9293 3.8.3, 3.9.1), and who must go when control blocks run out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, DEAD, EVENT } from '../../src/gate/abi.ts';
import { Peer } from './peer.ts';

const SACK = { mss: 1000, sack: true };
const reasons = (p: Peer): number[] => p.eventsOf(EVENT.dead).map(({ words }) => words[0]!);

/** Seconds until `dead`, in steps of 10 ms. */
function lives(p: Peer, most: number): number {
  for (let ms = 10; ms <= most; ms += 10) {
    p.pass(10);
    if (reasons(p).includes(DEAD.timeout)) return ms;
  }
  return -1;
}

for (const ms of [1500, 5000, 600_000]) {
  test(`established_userTimeout${ms}_nothingAcknowledged_deadThen`, () => {
    const p = new Peer().open(SACK);
    assert.equal(p.host.tcp.userTimeout(p.handle, ms), CODE.OK);
    p.write(0, 100);
    const lived = lives(p, ms + 100);
    assert.ok(lived >= ms - 10 && lived <= ms + 20, `${lived} ms`);
    assert.equal(p.host.count('tcpUserTimeouts'), 1);
    p.close();
  });
}

test('established_userTimeoutSetWhileStuck_countsFromThen', () => {
  const p = new Peer().open(SACK);
  p.write(0, 100);
  p.pass(3000);
  assert.equal(p.host.tcp.userTimeout(p.handle, 2000), CODE.OK);
  const lived = lives(p, 4000);
  assert.ok(lived >= 1990 && lived <= 2020, `${lived} ms`);
  p.close();
});

test('established_progress_startsAnew', () => {
  const p = new Peer().open(SACK);
  p.host.tcp.userTimeout(p.handle, 3000);
  p.write(0, 2000);
  for (let i = 0; i < 25; i++) p.pass(100);
  p.send('A', { ack: 1001 });
  const lived = lives(p, 6000);
  assert.ok(lived > 2900, `${lived} ms`);
  p.close();
});

test('established_acknowledged_lives', () => {
  const p = new Peer().open(SACK);
  p.host.tcp.userTimeout(p.handle, 3000);
  p.write(0, 100);
  p.pass(1100).send('A', { ack: 101 });
  assert.equal(lives(p, 20_000), -1);
  assert.equal(p.state, 'established');
  p.close();
});

test('zeroWindow_userTimeout_deadAlthoughThePeerAnswers', () => {
  const p = new Peer().open(SACK);
  p.host.tcp.userTimeout(p.handle, 5000);
  p.send('A', { window: 0 });
  p.write(0, 100).replies();
  let ms = 0;
  for (; ms < 10_000 && reasons(p).length === 0; ms += 100) {
    p.pass(100);
    if (p.replies().length > 0) p.send('A', { ack: 1, window: 0 });
  }
  assert.ok(ms >= 5000 && ms <= 6300, `${ms} ms; the first probe comes after a second`);
  p.close();
});

test('connect_userTimeout_givesUpThen', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  assert.equal(p.host.tcp.userTimeout(p.handle, 2500), CODE.OK);
  p.turn();
  const lived = lives(p, 4000);
  assert.ok(lived >= 2490 && lived <= 2520, `${lived} ms`);
  p.close();
});

test('connect_userTimeoutLong_synGoesOnBeyondItsRetries', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  p.host.tcp.userTimeout(p.handle, 600_000);
  for (let s = 0; s < 595; s++) p.pass(1000);
  assert.equal(p.state, 'synSent');
  assert.ok(p.host.count('tcpTimeouts') > 7);
  for (let s = 0; s < 10; s++) p.pass(1000);
  assert.deepEqual(reasons(p), [DEAD.timeout]);
  p.close();
});

test('keepalive_userTimeout_fewerProbes', () => {
  const p = new Peer().open(SACK);
  p.host.tcp.keepalive(p.handle, 1000, 1000);
  p.host.tcp.userTimeout(p.handle, 3000);
  const lived = lives(p, 20_000);
  assert.ok(lived >= 3000 && lived <= 4100, `${lived} ms`);
  p.close();
});

test('userTimeout_badArguments_refused', () => {
  const p = new Peer().open(SACK);
  assert.equal(p.host.tcp.userTimeout(p.handle, -1), CODE.BAD_RANGE);
  assert.equal(p.host.tcp.userTimeout(p.handle + 1, 1000), CODE.BAD_HANDLE);
  assert.equal(p.host.tcp.userTimeout(p.handle, 0), CODE.OK);
  p.write(0, 100);
  for (let s = 0; s < 100; s++) p.pass(1000);
  assert.equal(p.state, 'established', 'the usual retries');
  p.close();
});

test('flowsUsedUp_oldestOrphanIsReset_nextSynFindsRoom', () => {
  const first = new Peer({ environment: { limits: { flows: 4 } } });
  const { host } = first;
  const peers = [0, 1, 2, 3].map((i) => new Peer({ host, sourcePort: 41_000 + i }));
  for (const p of peers) {
    p.open(SACK);
    p.host.tcp.close(p.handle); // and its FIN is never acknowledged
    p.turn();
    p.host.env.nic.takeSent();
  }
  const late = new Peer({ host, sourcePort: 42_000 });
  late.send('S', SACK);
  const sent = host.env.nic.sent.filter((frame) => (frame[47]! & 4) !== 0);
  assert.equal(sent.length, 1, 'one reset');
  assert.equal((sent[0]![36]! << 8) | sent[0]![37]!, 41_000, 'the oldest');
  assert.equal(host.count('tcpOrphansAborted'), 1);
  assert.deepEqual(reasons(first), [DEAD.timeout]);
  late.seq = 0;
  late.turn().turn();
  host.env.nic.takeSent();
  late.send('S', { ...SACK, seq: 0 });
  assert.equal(late.replies()[0]?.flags, 'SA');
  first.close();
});

test('flowsUsedUp_batchOfSyns_oneOrphanIsResetAndTheNextWhenItsRowIsTaken', () => {
  const first = new Peer({ environment: { limits: { flows: 8 } } });
  const { host } = first;
  const peers = Array.from({ length: 8 }, (_, i) => new Peer({ host, sourcePort: 41_000 + i }));
  for (const p of peers) {
    p.open(SACK);
    p.host.tcp.close(p.handle);
    p.turn();
    p.host.env.nic.takeSent();
  }
  const late = Array.from({ length: 30 }, (_, i) => new Peer({ host, sourcePort: 42_000 + i }));
  const syns = late.map((p) => p.frame('S', { ...SACK, seq: 0 }));
  for (const syn of syns) host.env.nic.inject(syn);
  host.turn();
  assert.equal(host.count('tcpOrphansAborted'), 1, 'one for the whole batch');
  for (let turn = 0; turn < 4; turn++) host.turn();
  assert.equal(host.tcp.flows.free, 1);
  for (const syn of syns) host.env.nic.inject(syn);
  host.turn();
  assert.equal(
    host.count('tcpOrphansAborted'),
    2,
    'the free row was taken, and another is on its way',
  );
  const answers = host.env.nic.takeSent().filter((frame) => (frame[47]! & 0x12) === 0x12);
  assert.equal(answers.length, 1);
  first.close();
});

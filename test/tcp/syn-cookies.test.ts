/**
 * SYN cookies: connections through a full backlog, what they keep of the SYN, what is not believed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { FLAG } from '../../src/tcp/tcb.ts';
import { isStream } from './host.ts';
import { type Fields, Peer } from './peer.ts';

const ALL: Fields = { mss: 1460, scale: 9, sack: true, ts: [1000, 0] };

/** A host whose listener has two half-open flows that never go on, and so no room for a third. */
function flooded(): Peer {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 2, 0);
  for (const i of [1, 2]) new Peer({ host: p.host, sourcePort: 41_000 + i }).send('S');
  p.host.env.nic.takeSent();
  return p;
}

for (const [kind, options] of [
  ['allOptions', ALL],
  ['noSack', { ...ALL, sack: false }],
  ['noScale', { mss: 1460, sack: true, ts: [1000, 0] as [number, number] }],
  ['noTimestamps', { mss: 1000, scale: 9, sack: true }],
  ['nothing', {}],
] as const) {
  test(`backlogFull_syn_${kind}_cookieBecomesAConnection`, () => {
    const p = flooded();
    p.send('S', options);
    const [synAck] = p.replies();
    assert.deepEqual([synAck!.flags, synAck!.ack], ['SA', 1]);
    const hasTs = 'ts' in options;
    assert.equal(synAck!.sack ?? false, hasTs && 'sack' in options && options.sack === true);
    assert.equal(synAck!.scale !== undefined, hasTs && 'scale' in options);
    assert.equal(p.host.tcp.openFlows, 2, 'nothing is remembered');
    p.stamps = hasTs;
    p.send('PA', { data: 100 });
    const [knock] = p.eventsOf(EVENT.knock);
    p.handle = knock!.handle;
    assert.equal(p.host.tcp.accept(p.handle, 5), CODE.OK);
    p.turn();
    const [recv] = p.eventsOf(EVENT.recv);
    assert.ok(isStream(p.host, recv!.words[0]!, 100, 0));
    const hasSack = (p.host.field(p.handle, 'flags') & FLAG.sack) !== 0;
    assert.equal(hasSack, synAck!.sack ?? false);
    assert.equal(p.host.field(p.handle, 'sndScale'), hasTs && 'scale' in options ? 9 : 0);
    assert.equal(p.host.count('tcpCookiesOut'), 1);
    assert.equal(p.host.count('tcpCookiesIn'), 1);
    const named = 'mss' in options ? (options.mss === 1000 ? 536 : 1460) : 536;
    assert.equal(p.host.field(p.handle, 'mss'), named - (hasTs ? 12 : 0));
    p.write(0, 300);
    assert.equal(p.replies().at(-1)!.length, 300);
    p.send('A');
    p.close();
  });
}

/** The flow that a cookie's acknowledgement makes: `now` is its timestamp option, if it has one. */
function comesBack(p: Peer, now: Fields): void {
  p.send('PA', { data: 100, ...now });
  p.handle = p.eventsOf(EVENT.knock)[0]!.handle;
  assert.equal(p.host.tcp.accept(p.handle, 5), CODE.OK);
  p.turn();
}

test('cookie_synHadNoTimestamps_thoseOfItsAckAreNotRead', () => {
  const p = flooded();
  p.send('S', { mss: 1460, scale: 9, sack: true }).replies();
  comesBack(p, { ts: [5_000_000, 0x7fff_fff3] }); // scale 3 and SACK, if anybody believed it
  const flags = p.host.field(p.handle, 'flags');
  assert.equal(flags & (FLAG.timestamps | FLAG.sack), 0);
  assert.deepEqual(
    (['sndScale', 'tsRecent', 'mss'] as const).map((name) => p.host.field(p.handle, name)),
    [0, 0, 1460],
  );
  assert.equal(p.host.field(p.handle, 'rcvScale'), -1);
  p.replies();
  p.write(0, 300);
  const sent = p.replies().at(-1)!;
  assert.deepEqual([sent.length, sent.ts], [300, undefined]);
  p.send('A', { ts: [1, 0] }); // no PAWS either
  assert.equal(p.host.field(p.handle, 'sndUna'), (p.irs + 301) | 0);
  p.close();
});

test('cookie_synHadTimestamps_ackWithout_keepsOurScaleAndUsesNoneOfTheRest', () => {
  const p = flooded();
  p.send('S', ALL);
  const [synAck] = p.replies();
  comesBack(p, {});
  assert.equal(p.host.count('tcpCookiesIn'), 1);
  const flags = p.host.field(p.handle, 'flags');
  assert.equal(flags & (FLAG.timestamps | FLAG.sack), 0);
  assert.equal(p.host.field(p.handle, 'rcvScale'), synAck!.scale, 'the peer reads our windows so');
  assert.equal(p.host.field(p.handle, 'sndScale'), 0, 'its own is lost: never too much');
  p.replies();
  p.write(0, 300);
  const sent = p.replies().at(-1)!;
  assert.deepEqual([sent.length, sent.ts], [300, undefined]);
  p.send('A', { ts: [1, 0] });
  assert.equal(p.host.field(p.handle, 'sndUna'), (p.irs + 301) | 0);
  p.close();
});

for (const [kind, echo] of [
  ['zero', () => 0],
  ['ofTomorrow', (ours: number) => ours + 86_400_000],
  ['ofYesterday', (ours: number) => ours - 86_400_000],
] as const) {
  test(`cookie_echo_${kind}_bitsAreNotBelieved`, () => {
    const p = flooded();
    p.send('S', ALL);
    const [synAck] = p.replies();
    comesBack(p, { ts: [1001, echo(synAck!.ts![0]) | 0] });
    assert.equal(p.host.field(p.handle, 'flags') & FLAG.sack, 0);
    assert.equal(p.host.field(p.handle, 'sndScale'), 0);
    assert.equal(p.host.field(p.handle, 'rcvScale'), synAck!.scale);
    assert.equal(p.host.field(p.handle, 'tsRecent'), 1001, 'timestamps were agreed on');
    p.stamps = true;
    p.close();
  });
}

test('backlogFull_synTwice_sameCookieForAMinute', () => {
  const p = flooded();
  p.send('S', ALL).send('S', { ...ALL, seq: 0 });
  const [first, second] = p.replies();
  assert.equal(first!.seq, second!.seq);
  p.close();
});

test('cookie_anyOtherNumber_reset', () => {
  const p = flooded();
  p.send('S', ALL).replies();
  p.stamps = true;
  for (const [seq, ack] of [
    [1, 2],
    [2, 1],
    [1, 1 + (1 << 24)],
    [1, 1 + (1 << 27)],
  ]) {
    p.send('A', { seq: seq!, ack: ack! }).expect({ flags: 'R' });
  }
  const other = new Peer({ host: p.host, sourcePort: 45_000 });
  other.irs = p.irs;
  other.send('A', { seq: 1, ack: 1 }).expect({ flags: 'R' });
  assert.equal(p.host.tcp.openFlows, 2);
  p.close();
});

test('cookie_afterThreeMinutes_reset', () => {
  const p = flooded();
  p.send('S', ALL).replies();
  p.stamps = true;
  for (let second = 0; second < 200; second++) p.pass(1000);
  p.host.env.nic.takeSent();
  p.send('A', { seq: 1, ack: 1 }).expect({ flags: 'R' });
  p.close();
});

test('cookie_somebodyWaitsForAccept_noMoreCookies', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 1, 0);
  const first = new Peer({ host: p.host, sourcePort: 41_001 });
  first.send('S').replies();
  first.send('A');
  p.send('S', ALL).expect();
  p.close();
});

test('cookie_comesBackWhenNoneMayWait_dropped_andTakenWhenSentAgain', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 1, 0);
  const first = new Peer({ host: p.host, sourcePort: 41_001 });
  first.send('S').replies();
  p.send('S', ALL).replies();
  p.stamps = true;
  first.send('A');
  const [knock] = first.eventsOf(EVENT.knock);
  const full = p.host.count('tcpBacklogFull');
  p.send('PA', { data: 100 }).expect();
  assert.equal(p.host.count('tcpBacklogFull'), full + 1);
  assert.equal(p.host.tcp.accept(knock!.handle, 5), CODE.OK);
  first.handle = knock!.handle;
  p.send('PA', { seq: 1, data: 100 });
  const again = p.eventsOf(EVENT.knock)[0]!;
  assert.equal(p.host.tcp.accept(again.handle, 6), CODE.OK);
  p.handle = again.handle;
  p.turn();
  assert.equal(p.host.count('tcpCookiesIn'), 1);
  p.close();
});

test('cookie_window_isKept', () => {
  const p = flooded();
  p.send('S', ALL);
  const [synAck] = p.replies();
  p.stamps = true;
  p.send('A');
  const [knock] = p.eventsOf(EVENT.knock);
  p.handle = knock!.handle;
  p.host.tcp.accept(p.handle, 5);
  const edge = (p.host.field(p.handle, 'rcvEdge') - p.iss) | 0;
  assert.ok(edge >= 1 + synAck!.window, `${edge}`);
  p.close();
});

/** Black holes, and the way up again (RFC 4821, 8899, 1191): what is sent, believed, paid. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TCB } from '../../src/tcp/tcb.ts';
import { icmp, ipFrame } from '../net/packets.ts';
import { type Fields, Peer } from './peer.ts';

const SACK: Fields = { mss: 1460, sack: true };
/** Payloads of packets of 1280, 552 and 1400 bytes. */
const LOW = 1240;
const LOWEST = 512;
const NEARLY = 1360;

const field = (p: Peer, name: keyof typeof TCB): number => p.host.field(p.handle, name);
const lengths = (p: Peer): number[] => p.replies().map(({ length }) => length);

/** Round trips take 10 ms. */
function opened(fields: Fields = SACK): Peer {
  const p = new Peer().open(fields);
  p.write(0, 1000).replies();
  p.pass(10).send('A').replies();
  const { i32 } = p.host.env.arena;
  const row = p.host.tcp.flows.resolve(p.handle);
  i32[row + TCB.srtt] = 10_000 << 3;
  i32[row + TCB.rttvar] = 1000 << 2;
  i32[row + TCB.minRtt] = 10_000;
  i32[row + TCB.rto] = 200_000;
  return p;
}

/** The flow has found out that full segments do not get through; `sent` bytes are acknowledged. */
function lowered(fields: Fields = SACK): { p: Peer; sent: number } {
  const p = opened(fields);
  p.write(1000, 6000).replies();
  for (let i = 0; i < 100 && p.host.count('tcpPathMtuLowered') === 0; i++) p.pass(10).replies();
  assert.equal(p.host.count('tcpTimeouts'), 2);
  p.send('A', { ack: 7001 }).replies();
  const row = p.host.tcp.flows.resolve(p.handle);
  p.host.env.arena.i32[row + TCB.cwnd] = 20_000; // time has passed
  return { p, sent: 7000 };
}

for (const [kind, fields] of [['sack', SACK], ['noSack', { mss: 1460 }]] as const) {
  test(`blackHole_${kind}_twoTimeouts_smallerPieces`, () => {
    const p = opened(fields);
    p.write(1000, 6000).replies();
    const seen: number[] = [];
    for (let i = 0; i < 100 && seen.at(-1) !== LOW; i++) seen.push(...lengths(p.pass(10)));
    assert.equal(seen.at(-1), LOW, `${seen}`);
    assert.equal(field(p, 'mss'), LOW);
    assert.equal(p.host.count('tcpPathMtuLowered'), 1);
    p.send('A', { ack: 1001 + LOW });
    assert.ok(lengths(p).every((length) => length <= LOW));
    p.close();
  });
} // biome-ignore format: one line

test('blackHole_smallerPiecesDoNotPassEither_smallest', () => {
  const p = opened();
  p.write(1000, 6000).replies();
  for (let i = 0; i < 400; i++) p.pass(10);
  assert.equal(field(p, 'mss'), LOWEST);
  assert.equal(p.replies().at(-1)!.length, LOWEST);
  assert.equal(p.host.count('tcpPathMtuLowered'), 2);
  p.close();
});

test('timeouts_shortSegments_noBlackHole', () => {
  const p = opened();
  p.write(1000, 500).replies();
  for (let i = 0; i < 400; i++) p.pass(10);
  assert.ok(p.host.count('tcpTimeouts') >= 3);
  assert.equal(field(p, 'mss'), 1460);
  p.close();
});

test('blackHole_segmentShorterThanTheMss_foundToo', () => {
  const p = opened();
  p.write(1000, 800).replies();
  for (let i = 0; i < 200 && field(p, 'mss') === 1460; i++) p.pass(10).replies();
  assert.equal(field(p, 'mss'), LOWEST);
  p.send('A', { ack: 1001 + LOWEST }).expect({ seq: 1001 + LOWEST, length: 800 - LOWEST });
  p.close();
});

/** Round trips until all is acknowledged. */
function drain(p: Peer): void {
  for (let i = 0; i < 5; i++) p.pass(10).send('A').replies();
}

/** Time until a probe is wanted, then enough data for one. -> what is sent. */
function probe(p: Peer, from: number): number[] {
  p.pass(5100).replies();
  p.write(from, 8000);
  return lengths(p);
}

test('lowered_laterSegmentOfTheNextSizeArrives_mssRises', () => {
  const { p, sent } = lowered();
  const seen = probe(p, sent);
  assert.equal(seen[0], NEARLY, `${seen}`);
  assert.ok(seen.slice(1).every((length) => length <= LOW));
  drain(p);
  assert.equal(field(p, 'mss'), LOW, 'known when its time is over');
  p.pass(1000);
  assert.equal(field(p, 'mss'), NEARLY);
  assert.equal(probe(p, sent + 8000)[0], 1460);
  drain(p);
  p.pass(1000);
  assert.equal(field(p, 'mss'), 1460);
  assert.equal(p.host.count('tcpPathMtuRaised'), 2);
  p.pass(700_000).expect();
  p.close();
});

test('lowered_probeLost_sentAgainInPieces_windowKept', () => {
  const { p, sent } = lowered();
  const first = sent + 1;
  const cwnd = field(p, 'cwnd');
  assert.equal(probe(p, sent)[0], NEARLY);
  p.pass(10);
  p.send('A', { ack: first, blocks: [[first + NEARLY, p.ack]] });
  assert.deepEqual(lengths(p).slice(0, 2), [LOW, NEARLY - LOW]);
  assert.ok(field(p, 'cwnd') >= cwnd, 'no congestion');
  assert.equal(p.host.count('tcpFastRetransmits'), 0);
  drain(p);
  p.pass(100_000).expect();
  assert.equal(field(p, 'mss'), LOW);
  p.write(sent + 8000, 8000);
  assert.ok(
    lengths(p).every((length) => length <= LOW),
    'not before ten minutes',
  );
  drain(p);
  p.pass(510_000);
  p.write(sent + 16_000, 8000);
  assert.equal(lengths(p)[0], NEARLY);
  p.close();
});

test('lowered_probeAndMoreLost_isCongestion', () => {
  const { p, sent } = lowered();
  const first = sent + 1;
  assert.equal(probe(p, sent)[0], NEARLY);
  const next = first + NEARLY + LOW;
  p.pass(10).send('A', { ack: first, blocks: [[next, p.ack]] });
  assert.equal(p.host.count('tcpFastRetransmits'), 1);
  p.close();
});

test('lowered_noSack_mssRisesWithoutProbe', () => {
  const { p, sent } = lowered({ mss: 1460 });
  p.pass(5100);
  p.write(sent, 4000);
  assert.equal(lengths(p)[0], NEARLY);
  p.close();
});

test('lowered_nothingToSend_noProbe', () => {
  const { p, sent } = lowered();
  p.pass(60_000).expect();
  p.write(sent, 1000);
  assert.deepEqual(lengths(p), [1000]);
  p.close();
});

test('tooBig_byIcmp_raisedNotBeforeTenMinutes', () => {
  const p = opened();
  p.write(1000, 6000);
  const [frame] = p.host.env.nic.sent;
  p.host.env.nic.inject(ipFrame(icmp(3, 4, 1300, frame!.subarray(14, 42)), { protocol: 1 }));
  p.turn();
  assert.equal(field(p, 'mss'), 1260);
  p.replies();
  p.send('A', { ack: 7001 });
  p.pass(590_000);
  p.write(7000, 8000);
  assert.ok(lengths(p).every((length) => length <= 1260));
  p.send('A', { ack: 15_001 }).pass(11_000);
  p.write(15_000, 8000);
  assert.equal(lengths(p)[0], NEARLY);
  p.close();
});

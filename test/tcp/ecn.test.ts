/** ECN and DCTCP, segment by segment: who agrees, what is marked and echoed (RFC 3168, 8257). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPaid } from '../../src/tcp/ecn.ts';
import { FLAG, RARE, ROW_WORDS, TCB } from '../../src/tcp/tcb.ts';
import { type Fields, Peer, type PeerChoices } from './peer.ts';

const SACK: Fields = { mss: 1000, sack: true };
const CE = 3;
const ECT0 = 2;

const field = (p: Peer, name: keyof typeof TCB): number => p.host.field(p.handle, name);

/** A flow that the peer has opened, with ECN. */
function asked(choices: PeerChoices = {}, fields: Fields = SACK): Peer {
  const p = new Peer(choices);
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('SEW', fields).expect({ flags: 'SAE', ecn: 0 });
  p.seq = p.ack = 1;
  p.send('A');
  p.handle = p.host.takeEvents()[0]!.handle;
  p.host.tcp.accept(p.handle, 55);
  p.turn().expect();
  return p;
}

/** Ten segments are on the way, the round trip being 10 ms. */
function flight(choices: PeerChoices = {}, fields: Fields = SACK): Peer {
  const p = asked(choices, fields);
  p.write(0, 1000).expect({ flags: 'PA', ecn: ECT0 });
  p.pass(10).send('A').replies();
  const { i32 } = p.host.env.arena;
  const row = p.host.tcp.flows.resolve(p.handle);
  i32[row + TCB.srtt] = 10_000 << 3; // the handshake took no time at all
  i32[row + TCB.rttvar] = 1000 << 2;
  i32[row + TCB.minRtt] = 10_000;
  i32[row + TCB.rto] = 200_000;
  p.write(1000, 10_000).replies();
  p.pass(10);
  return p;
}

test('listen_synWithoutEcn_noEcn', () => {
  const p = new Peer().open(SACK);
  p.write(0, 10).expect({ flags: 'PA', ecn: 0 });
  p.send('A', { data: 10, ecn: CE }).pass(50).expect({ flags: 'A', ack: 11 });
  assert.equal(p.host.count('tcpEcnFlows'), 0);
  p.close();
});

test('listen_eceAlone_noEcn', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('SE', SACK).expect({ flags: 'SA' });
  p.close();
});

test('listen_off_noEcn', () => {
  const p = new Peer({ ecn: 'off' });
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('SEW', SACK).expect({ flags: 'SA' });
  p.close();
});

test('connect_byDefault_doesNotAsk', () => {
  const p = new Peer();
  p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  p.turn().expect({ flags: 'S' });
  p.close();
});

test('connect_asks_synAckWithEce_agreed', () => {
  const p = new Peer({ ecn: 'ask' });
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  p.turn().expect({ flags: 'SEW', ecn: 0 });
  p.send('SAE', SACK).expect({ flags: 'A', ecn: 0 });
  p.write(0, 10).expect({ flags: 'PA', ecn: ECT0 });
  assert.equal(p.host.count('tcpEcnFlows'), 1);
  p.close();
});

test('connect_asks_synLost_secondDoesNotAsk', () => {
  const p = new Peer({ ecn: 'ask' });
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  p.turn().expect({ flags: 'SEW' });
  p.pass(1001).expect({ flags: 'S' });
  p.send('SA', SACK).expect({ flags: 'A' });
  p.write(0, 10).expect({ flags: 'PA', ecn: 0 });
  p.close();
});

test('connect_reflectedFlags_noEcn', () => {
  const p = new Peer({ ecn: 'ask' });
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  p.turn().expect({ flags: 'SEW' });
  p.send('SAEW', SACK).expect({ flags: 'A' });
  p.write(0, 10).expect({ flags: 'PA', ecn: 0 });
  p.close();
});

test('established_ceMark_echoedUntilCwr', () => {
  const p = asked();
  p.send('A', { data: 10, ecn: CE }).pass(50).expect({ flags: 'AE', ack: 11, ecn: 0 });
  p.send('A', { data: 10, ecn: ECT0 }).pass(50).expect({ flags: 'AE', ack: 21 });
  p.write(0, 10).expect({ flags: 'PAE', ecn: ECT0 });
  p.send('AW', { data: 10, ecn: ECT0 }).pass(50).expect({ flags: 'A', ack: 31 });
  p.send('AW', { data: 10, ecn: CE }).pass(50).expect({ flags: 'AE', ack: 41 });
  assert.equal(p.host.count('tcpEcnCe'), 2);
  p.close();
});

test('established_ceOnPureAck_ignored', () => {
  const p = asked();
  p.write(0, 10).replies();
  p.send('A', { ecn: CE });
  p.send('A', { data: 10, ecn: ECT0 }).pass(50).expect({ flags: 'A' });
  p.close();
});

test('established_ece_windowReducedOnceARoundTrip', () => {
  const p = flight();
  const cwnd = field(p, 'cwnd');
  p.send('AE', { ack: 2001 }).expect();
  assert.equal(field(p, 'cwnd'), 7000, 'CUBIC: 0.7 of what was in flight');
  assert.ok(cwnd >= 10_000);
  p.send('AE', { ack: 3001 }).send('AE', { ack: 6001 });
  assert.equal(field(p, 'ssthresh'), 7000);
  assert.equal(p.host.count('tcpEcnReduced'), 1);
  p.write(11_000, 1000).expect({ flags: 'PAW', ecn: ECT0 });
  p.write(12_000, 1000).expect({ flags: 'PA', ecn: ECT0 });
  p.send('AE', { ack: 11_001 });
  assert.equal(p.host.count('tcpEcnReduced'), 1, 'the peer has not yet seen our CWR');
  p.send('AE', { ack: 12_001 });
  assert.equal(p.host.count('tcpEcnReduced'), 2, 'the data behind it was marked too');
  assert.equal(p.host.count('tcpRetransmits'), 0);
  p.close();
});

test('established_newReno_halves', () => {
  const p = flight({ congestion: 'newReno' });
  p.send('AE', { ack: 2001 }).expect();
  assert.equal(field(p, 'cwnd'), 5000);
  p.close();
});

test('recovery_ece_notPaidTwice', () => {
  const p = flight();
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] }).expect({ seq: 1001, ecn: 0 });
  const ssthresh = field(p, 'ssthresh');
  p.send('AE', { ack: 1001, blocks: [[2001, 6001]] }).replies();
  assert.equal(field(p, 'ssthresh'), ssthresh);
  assert.equal(p.host.count('tcpEcnReduced'), 0);
  p.close();
});

for (const [kind, fields] of [
  ['sack', SACK],
  ['noSack', { mss: 1000 }],
] as const) {
  test(`recovery_ece_${kind}_answeredWithCwrByNewData`, () => {
    const p = flight({}, fields);
    p.send('A', { ack: 2001 }).replies();
    const lose = (to: number): Fields => ('sack' in fields ? { blocks: [[3001, to]] } : {});
    for (const to of [4001, 5001, 6001]) p.send('A', { ack: 2001, ...lose(to) });
    p.expect({ seq: 2001, ecn: 0 }); // lost again; from now on there are echoes
    p.write(11_000, 20_000);
    for (let to = 7001; to <= 11_001; to += 1000) p.send('AE', { ack: 2001, ...lose(to) });
    const sent = p.replies().filter(({ seq }) => seq >= 11_001);
    assert.ok(sent.length >= 2, `${sent.length}`);
    assert.deepEqual(
      sent.map(({ flags }) => flags.includes('W')),
      sent.map((_, i) => i === 0),
      'the first, and no other',
    );
    assert.equal(p.host.count('tcpEcnReduced'), 0);
    p.send('A', { ack: 31_001 }).close();
  });
}

for (const [kind, fields] of [
  ['sack', SACK],
  ['noSack', { mss: 1000 }],
] as const) {
  const lose = (to: number): Fields => ('sack' in fields ? { blocks: [[3001, to]] } : {});

  test(`recovery_${kind}_newDataSaysCwr_echoOfItsWindowIsPaid`, () => {
    const p = flight({}, fields);
    p.send('A', { ack: 2001 }).replies();
    for (const to of [4001, 5001, 6001]) p.send('A', { ack: 2001, ...lose(to) });
    p.expect({ flags: 'A', seq: 2001, ecn: 0 });
    const ssthresh = field(p, 'ssthresh');
    p.send('AE', { ack: 11_001 }).expect();
    p.write(11_000, 1000).expect({ flags: 'PAW', seq: 11_001, ecn: ECT0 });
    p.send('AE', { ack: 11_001 });
    assert.deepEqual([field(p, 'ssthresh'), p.host.count('tcpEcnReduced')], [ssthresh, 0]);
    p.send('AE', { ack: 12_001 });
    assert.equal(p.host.count('tcpEcnReduced'), 1, 'what was sent behind the CWR was marked');
    p.close();
  });

  test(`timeout_${kind}_newDataSaysCwr`, () => {
    const p = flight({}, fields);
    for (let i = 0; i < 4; i++) p.pass(1000); // so often that nobody doubts it (F-RTO)
    assert.ok(p.replies().some(({ seq, ecn }) => seq === 1001 && ecn === 0));
    p.send('A', { ack: 11_001 }).replies();
    const [first] = p.write(11_000, 1000).replies();
    assert.deepEqual([first!.flags, first!.seq, first!.ecn], ['AW', 11_001, ECT0]);
    p.send('A', { ack: 12_001 }).close();
  });

  test(`established_${kind}_markThenLossInOneWindow_paidOnce`, () => {
    const p = flight({}, fields);
    p.send('AE', { ack: 2001 }).replies();
    assert.equal(field(p, 'ssthresh'), 7000);
    for (const to of [4001, 5001, 6001]) p.send('A', { ack: 2001, ...lose(to) });
    assert.ok(p.replies().some(({ seq }) => seq === 2001));
    assert.equal(field(p, 'ssthresh'), 7000);
    p.send('A', { ack: 11_001 });
    assert.equal(field(p, 'cwnd') <= 7000, true);
    p.close();
  });
}

test('recovery_undone_noCwr_nextEchoIsTheFirst', () => {
  const p = flight();
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] }).expect({ seq: 1001, ecn: 0 });
  p.send('A', { ack: 11_001 }).send('A', { ack: 11_001, blocks: [[1001, 2001]] });
  assert.equal(p.host.count('tcpUndone'), 1);
  p.write(11_000, 1000).expect({ flags: 'PA', ecn: ECT0 });
  p.send('AE', { ack: 12_001 });
  assert.equal(p.host.count('tcpEcnReduced'), 1);
  p.close();
});

test('isPaid_numbersHaveComeRound_oldEndSaysNothing', () => {
  const row = new Int32Array(ROW_WORDS);
  row[TCB.flags] = FLAG.ecn;
  row[TCB.sndMax] = 10_000;
  row[RARE.ecnEnd] = 5000;
  assert.deepEqual([isPaid(row, 0, 4999), isPaid(row, 0, 5000)], [true, false]);
  row[RARE.ecnEnd] = 0x7000_0000;
  assert.equal(isPaid(row, 0, 4999), false);
});

test('established_withoutEcn_eceIgnored', () => {
  const p = new Peer().open(SACK);
  p.write(0, 5000).replies();
  const cwnd = field(p, 'cwnd');
  p.send('AE', { ack: 1001 });
  assert.ok(field(p, 'cwnd') >= cwnd);
  p.close();
});

test('zeroWindow_probe_notMarkedAsAble', () => {
  const p = asked();
  p.send('A', { window: 0 });
  p.write(0, 10).expect();
  p.pass(1001).expect({ length: 1, ecn: 0 });
  p.send('A', { ack: 1, window: 1000 }).replies();
  p.close();
});

// --- DCTCP ---

test('dctcp_synAsks', () => {
  const p = new Peer({ congestion: 'dctcp' });
  p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  p.turn().expect({ flags: 'SEW' });
  p.close();
});

test('dctcp_receiver_echoesExactlyWhatWasMarked', () => {
  const p = asked({ congestion: 'dctcp' });
  p.deliver('A', { data: 10, ecn: ECT0 });
  p.deliver('A', { data: 10, ecn: CE });
  p.deliver('A', { data: 10, ecn: CE });
  p.deliver('A', { data: 10, ecn: ECT0 });
  p.turn().pass(50);
  p.expect({ flags: 'A', ack: 11 }, { flags: 'AE', ack: 31 }, { flags: 'A', ack: 41 });
  p.close();
});

test('dctcp_firstMark_halves', () => {
  const p = flight({ congestion: 'dctcp' });
  p.send('AE', { ack: 2001 });
  assert.equal(field(p, 'cwnd'), 5313, 'alpha has gone from 1 to 15/16 in the first window');
  p.close();
});

test('dctcp_fewMarks_smallReductions', () => {
  const p = flight({ congestion: 'dctcp' });
  let sent = 11_000;
  p.send('A', { ack: 11_001 });
  for (let round = 0; round < 60; round++) {
    const length = 10_000;
    p.write(sent, length).replies();
    sent += length;
    p.pass(10)
      .send('A', { ack: sent + 1 })
      .replies();
  }
  const alpha = field(p, 'cubicMax' /* alpha stands in its place */);
  assert.ok(alpha < 40, `without marks alpha goes to 0: ${alpha}`);
  const cwnd = field(p, 'cwnd');
  p.write(sent, 10_000).replies();
  p.pass(10).send('AE', { ack: sent + 1001 });
  const less = cwnd - field(p, 'cwnd');
  assert.ok(less >= 0 && less <= cwnd / 40, `${less} of ${cwnd}`);
  p.send('A', { ack: sent + 10_001 });
  p.close();
});

test('dctcp_allMarked_alphaStaysAtOne', () => {
  const p = flight({ congestion: 'dctcp' });
  let sent = 11_000;
  p.send('AE', { ack: 11_001 });
  for (let round = 0; round < 20; round++) {
    p.write(sent, 2000).replies();
    sent += 2000;
    p.pass(10)
      .send('AE', { ack: sent + 1 })
      .replies();
  }
  assert.ok(
    field(p, 'cubicMax' /* alpha stands in its place */) > 1000,
    `${field(p, 'cubicMax' /* alpha stands in its place */)}`,
  );
  assert.equal(field(p, 'cwnd'), 2000);
  p.close();
});

test('dctcp_loss_answeredAsNewReno', () => {
  const p = flight({ congestion: 'dctcp' });
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] }).expect({ seq: 1001, length: 1000 });
  assert.equal(field(p, 'ssthresh'), 5000);
  p.close();
});

// --- Accurate ECN (RFC 9768): its SYN has AE, CWR and ECE, and is answered as RFC 3168 says ---

/** AE, the bit beside the data offset. */
const AE = 1;

test('listen_accurateEcnSyn_answeredAsRfc3168Says', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('SEW', { ...SACK, reserved: AE }).expect({ flags: 'SAE', reserved: 0, ecn: 0 });
  p.seq = p.ack = 1;
  p.send('A');
  p.handle = p.host.takeEvents()[0]!.handle;
  p.host.tcp.accept(p.handle, 55);
  p.turn();
  p.write(0, 10).expect({ flags: 'PA', reserved: 0, ecn: ECT0 });
  assert.equal(p.host.count('tcpEcnFlows'), 1);
  p.close();
});

test('listen_accurateEcnSynAgainWithout_answeredWithout', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('SEW', { ...SACK, reserved: AE }).expect({ flags: 'SAE' });
  p.send('S', { ...SACK, seq: 0 }).expect({ flags: 'SA', reserved: 0 });
  p.send('SEW', { ...SACK, seq: 0, reserved: AE }).expect({ flags: 'SA' });
  p.seq = p.ack = 1;
  p.send('A');
  p.handle = p.host.takeEvents()[0]!.handle;
  p.host.tcp.accept(p.handle, 55);
  p.turn();
  p.write(0, 10).expect({ flags: 'PA', ecn: 0 });
  p.close();
});

test('listen_accurateEcnSyn_cookieAnswersWithout', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 1, 0);
  const other = new Peer({ host: p.host, sourcePort: 40_500 });
  other.send('S', SACK).replies();
  p.send('SEW', { ...SACK, reserved: AE }).expect({ flags: 'SA', reserved: 0, ecn: 0 });
  assert.equal(p.host.count('tcpCookiesOut'), 1);
  p.seq = p.ack = 1;
  p.send('A', { reserved: AE });
  assert.deepEqual(p.events(), ['knock']);
  p.close();
});

for (let reserved = 0; reserved < 16; reserved++) {
  test(`established_reservedBits${reserved}_ignored`, () => {
    const p = new Peer();
    p.host.tcp.listen(1, 0, p.port, 16, 0);
    p.send('S', { ...SACK, reserved }).expect({ flags: 'SA', reserved: 0 });
    p.send('A', { reserved });
    p.handle = p.host.takeEvents()[0]!.handle;
    p.host.tcp.accept(p.handle, 55);
    p.turn();
    p.send('PA', { data: 10, reserved }).pass(50).expect({ flags: 'A', ack: 11, reserved: 0 });
    p.send('FA', { reserved }).expect({ flags: 'A', ack: 12 });
    p.close();
  });
}

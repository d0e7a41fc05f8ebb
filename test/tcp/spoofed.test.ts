/**
 * Whoever guesses the addresses, the ports and one of the two numbers of a connection changes
 * nothing in it (RFC 5961): the whole control block is compared, so that no field can be forgotten.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { RARE, ROW_WORDS, STATE, TCB } from '../../src/tcp/tcb.ts';
import { type Fields, Peer } from './peer.ts';

const SYN: Fields = { mss: 1000, sack: true, scale: 3, ts: [5000, 0] };
/** What an answer to something unacceptable may change. */
const RATIONS: readonly number[] = [RARE.challenges, RARE.challengeMs];
const NAMES = new Map<number, string>(
  Object.entries({ ...TCB, ...RARE }).map(([name, word]) => [word, name]),
);

/** Everything agreed: timestamps, SACK, scale, ECN. */
function open(): Peer {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('SEW', SYN).replies();
  p.stamps = true;
  p.tsVal = 5000;
  p.send('A');
  p.handle = p.host.takeEvents().find(({ kind }) => kind === EVENT.knock)!.handle;
  assert.equal(p.host.tcp.accept(p.handle, 55), CODE.OK);
  p.turn();
  p.send('PA', { data: 100 });
  p.host.tcp.recvDone(p.handle, 100);
  p.pass(50).replies();
  return p;
}

/**
 * Data is in flight, a keepalive and a retransmission are unanswered, and a second has passed in
 * silence.
 */
function waiting(): Peer {
  const p = open();
  p.host.tcp.keepalive(p.handle, 100_000);
  p.write(0, 3000).replies();
  const { i32 } = p.host.env.arena;
  const row = rowOf(p);
  i32[row + TCB.keepProbes] = i32[row + TCB.retries] = 3;
  p.host.env.clock.ms = (p.host.env.clock.ms + 1000) | 0;
  p.events();
  return p;
}

const rowOf = (p: Peer): number =>
  p.host.tcp.flows.table.find(0x0a4d0001, (p.sourcePort << 16) | p.port, p.host.address);

/** The names of the words that `event` has changed. */
function changes(p: Peer, event: () => void): string[] {
  const { i32 } = p.host.env.arena;
  const row = rowOf(p);
  const before = i32.slice(row, row + ROW_WORDS);
  event();
  return Array.from(before.keys())
    .filter((word) => before[word] !== i32[row + word] && !RATIONS.includes(word))
    .map((word) => NAMES.get(word) ?? `word ${word}`);
}

/** Carries all that a segment can carry: each of it would be believed if the numbers were right. */
const LOADED: Fields = {
  data: 10,
  ts: [0x6000_0000, 0],
  blocks: [[1001, 2001]],
  window: 0,
  urgent: 8,
  ecn: 3,
};
const BEGINS = { next: 101, straddling: 96, inside: 130 };
const SPOOFS: Record<string, [string, Fields]> = {
  ackOfTheFuture: ['PAUEW', { ack: 3002 }],
  ackTooOld: ['PAUEW', { ack: 1 - 60_000 * 8 - 1 }],
  noAck: ['PUEW', {}],
  syn: ['SUEW', {}],
  synWithAck: ['SAUEW', { ack: 3001 }],
  synWithBadAck: ['SAUEW', { ack: 9999 }],
  finWithBadAck: ['FAUEW', { ack: 9999 }],
  finWithoutAck: ['FUEW', {}],
};

for (const [where, seq] of Object.entries(BEGINS)) {
  for (const [what, [flags, fields]] of Object.entries(SPOOFS)) {
    test(`established_${what}_${where}_nothingIsTaken`, () => {
      const p = waiting();
      const changed = changes(p, () => p.send(flags, { ...LOADED, ...fields, seq }));
      assert.deepEqual(changed, []);
      for (const reply of p.replies()) {
        assert.deepEqual([reply.flags, reply.ack, reply.blocks], ['A', 101, undefined]);
        assert.equal(reply.ts![1], 5000, 'TS.Recent is the peer’s');
      }
      assert.deepEqual(p.events(), []);
      p.tsVal = 6000;
      p.send('PA', { seq: 101, ack: 1001, data: 10 });
      assert.ok(p.events().includes('recv'), 'the genuine peer is heard');
      p.close();
    });
  }
}

test('established_finalWords_ofTheGenuinePeer_areTaken', () => {
  const p = waiting();
  const changed = changes(p, () => p.send('PAUEW', { ...LOADED, seq: 101, ack: 1001 }));
  const told = 'tsRecent lastRxMs keepProbes sndUna sndWnd urgentEnd sacked ecn';
  for (const name of told.split(' ')) {
    assert.ok(changed.includes(name), `${name}: the same segment with right numbers`);
  }
  p.close();
});

for (const [what, seq] of Object.entries({ long: 101 - 0x4000_0000, lately: 51 })) {
  const kinds: Record<string, Fields> = { bad: { ack: 9999 }, none: {} };
  for (const [kind, fields] of Object.entries(kinds)) {
    test(`established_old${what}_ack_${kind}_noDuplicateIsTold`, () => {
      const p = waiting();
      const flags = kind === 'none' ? 'PUEW' : 'PAUEW';
      const changed = changes(p, () => p.send(flags, { ...LOADED, ...fields, seq, ts: [5001, 0] }));
      assert.deepEqual(changed, []);
      assert.equal(p.replies().at(-1)!.blocks, undefined);
      p.close();
    });
  }
} // biome-ignore format: one line

test('established_repetition_longAgo_itsAckIsNotTaken', () => {
  const p = waiting();
  const seq = 101 - 0x1000_0000;
  assert.deepEqual(
    changes(p, () => p.send('A', { seq, ack: 3001, data: 10 })),
    [],
  );
  p.close();
});

test('established_repetition_lately_itsAckIsTaken', () => {
  const p = waiting();
  const changed = changes(p, () => p.send('PA', { seq: 51, ack: 2001, data: 50 }));
  for (const name of ['sndUna', 'lastRxMs', 'keepProbes']) assert.ok(changed.includes(name), name);
  assert.ok(!changed.includes('tsRecent'), 'a repetition says nothing of the time');
  assert.ok(!changed.includes('rcvNxt'));
  const [reply] = p.replies();
  assert.deepEqual([reply!.ack, reply!.blocks], [101, [[51, 101]]]);
  p.close();
});

test('timeWait_finOfSomebody_theWaitEndsInTime', () => {
  const wait = (): Peer => {
    const p = open();
    p.host.tcp.close(p.handle);
    p.turn().replies();
    p.send('FA', { seq: 101 });
    p.pass(1000).replies();
    assert.equal(p.host.env.arena.i32[rowOf(p) + TCB.state], STATE.timeWait);
    return p;
  };
  const unlikely = [
    { seq: 40, ack: 2 },
    { seq: 101, ack: 5000 },
    { seq: 101 - 99_999_999, ack: 2 },
  ];
  for (const fields of unlikely) {
    const p = wait();
    assert.ok(!changes(p, () => p.send('FA', fields)).includes('longAt'), JSON.stringify(fields));
    p.close();
  }
  const p = wait();
  assert.ok(changes(p, () => p.send('FA', { seq: 101, ack: 2 })).includes('longAt'), 'the peer’s');
  p.close();
});

test('challenges_usedUpBySomebody_keepaliveIsAnswered', () => {
  const p = open();
  for (let i = 0; i < 30; i++) p.send('R', { seq: 5000 + i });
  assert.equal(p.replies().length, 10);
  assert.equal(p.host.count('tcpChallengeLimited'), 20);
  for (let i = 0; i < 3; i++) p.send('A', { seq: 100 }).expect({ flags: 'A', ack: 101 });
  for (let i = 0; i < 30; i++) p.send('A', { seq: 100 });
  assert.equal(p.replies().length, 7, 'two confused peers do not talk for ever');
  p.close();
});

// --- options that were agreed and are missing, or were not and are there (RFC 7323 3.2) ---

test('established_dataWithoutTimestamps_taken', () => {
  const p = open();
  p.send('PA', { data: 10, options: [] }).pass(50);
  assert.ok(p.events().includes('recv'));
  assert.equal(p.replies().at(-1)!.ack, 111);
  p.close();
});

test('established_keepaliveWithoutTimestamps_answered', () => {
  for (const data of [0, 1]) {
    const p = open();
    p.send('A', { seq: 100, data, options: [] }).expect({ flags: 'A', seq: 1, ack: 101 });
    p.close();
  }
});

test('synReceived_ackWithoutTimestamps_established', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('S', SYN).replies();
  p.send('A', { options: [] });
  assert.deepEqual(p.events(), ['knock']);
  p.send('PA', { data: 10, options: [] }).pass(50);
  assert.equal(p.replies().at(-1)!.ack, 11);
  p.close();
});

test('established_timestampsNotAgreed_noRoundTripFromThem', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 100).replies();
  const { i32 } = p.host.env.arena;
  p.pass(1000).replies(); // sent again: only a timestamp could give a round trip
  const row = rowOf(p);
  const { srtt, rttvar } = TCB;
  const [a, b] = [i32[row + srtt], i32[row + rttvar]];
  const now = (p.host.env.clock.ms + i32[row + TCB.tsOffset]!) | 0;
  p.send('A', { ts: [1, now - 7000] });
  assert.deepEqual([i32[row + srtt], i32[row + rttvar]], [a, b]);
  assert.equal(i32[row + TCB.tsRecent], 0);
  p.close();
});

test('recovery_timestampsNotAgreed_noEiffel', () => {
  const p = new Peer().open({ mss: 1000, sack: true });
  p.write(0, 8000).replies();
  p.pass(20);
  for (const end of [2001, 3001, 4001]) p.send('A', { ack: 1, blocks: [[1001, end]] });
  assert.equal(p.replies().length > 0, true);
  const cwnd = p.host.field(p.handle, 'cwnd');
  const past = (p.host.env.clock.ms + p.host.field(p.handle, 'tsOffset') - 10) | 0;
  p.pass(20).send('A', { ack: 4001, ts: [1, past] });
  assert.equal(p.host.count('tcpUndone'), 0, 'an echo of nobody’s clock proves nothing');
  assert.ok(p.host.field(p.handle, 'cwnd') <= cwnd + 4000);
  p.close();
});

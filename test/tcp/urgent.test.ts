/** Urgent data: the application is told, and it comes in line (RFC 9293 3.8.5, RFC 6093). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { type Fields, Peer } from './peer.ts';

const SACK: Fields = { mss: 1000, sack: true };

/** What was told since: ['urgent', bytes] or ['recv', bytes]. */
function told(p: Peer): [string, number][] {
  return p.host.takeEvents().flatMap(({ kind, words }): [string, number][] => {
    if (kind === EVENT.urgent) return [['urgent', words[0]!]];
    return kind === EVENT.recv ? [['recv', words[1]!]] : [];
  });
}

test('established_urgent_toldBeforeItsDataInLine', () => {
  const p = new Peer().open(SACK);
  told(p);
  p.send('PAU', { data: 100, urgent: 40 });
  assert.deepEqual(told(p), [['urgent', 40], ['recv', 100]]); // biome-ignore format: pairs
  assert.equal(p.host.count('tcpUrgent'), 1);
  p.send('PA', { data: 10 });
  assert.deepEqual(told(p), [['recv', 10]]);
  p.close();
});

test('established_urgentAhead_oncePerAdvance', () => {
  const p = new Peer().open(SACK);
  told(p);
  p.send('AU', { urgent: 3000 });
  assert.deepEqual(told(p), [['urgent', 3000]], 'before any of its data');
  p.send('AU', { data: 1000, urgent: 2000 });
  assert.deepEqual(told(p), [['recv', 1000]], 'the same end: told already');
  p.send('AU', { data: 1000, urgent: 500 });
  assert.deepEqual(told(p), [['recv', 1000]], 'an end before it');
  p.send('AU', { data: 500, urgent: 1500 });
  assert.deepEqual(told(p), [['urgent', 1500], ['recv', 500]]); // biome-ignore format: pairs
  assert.equal(p.host.count('tcpUrgent'), 2);
  p.close();
});

test('established_urgentOfAnyLength_isSaid', () => {
  for (const bytes of [1, 2, 1000, 32_767, 32_768, 65_535]) {
    const p = new Peer({ sourcePort: 40_000 + (bytes & 1023) }).open(SACK);
    told(p);
    p.send('AU', { urgent: bytes });
    assert.deepEqual(told(p), [['urgent', bytes]]);
    p.close();
  }
});

test('established_urgentPointerBehind_isNothing', () => {
  const p = new Peer().open(SACK);
  told(p);
  p.send('AU', { urgent: 0 });
  p.send('PA', { data: 100, urgent: 40 }); // no URG: the field means nothing
  p.send('AU', { seq: 50, urgent: 51 });
  assert.deepEqual(told(p), [['recv', 100]]);
  assert.equal(p.host.count('tcpUrgent'), 0);
  p.close();
});

test('established_urgentBehindAHole_countsFromWhatWasGiven', () => {
  const p = new Peer().open(SACK);
  told(p);
  p.send('AU', { seq: 1001, data: 1000, urgent: 10 });
  assert.deepEqual(told(p), [['urgent', 1010]]);
  p.send('A', { seq: 1, data: 1000 });
  assert.equal(
    told(p).reduce((sum, [, bytes]) => sum + bytes, 0),
    2000,
  );
  p.close();
});

test('established_urgentWithFin_finIsNoByte', () => {
  const p = new Peer().open(SACK);
  told(p);
  p.send('FAU', { data: 100, urgent: 100 });
  assert.deepEqual(told(p), [['urgent', 100], ['recv', 100]]); // biome-ignore format: pairs
  p.close();
});

test('knocking_urgent_toldAfterAccept', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('S', SACK).replies();
  p.seq = p.ack = 1;
  p.send('A');
  p.handle = p.host.takeEvents()[0]!.handle;
  p.send('AU', { data: 100, urgent: 7 });
  assert.deepEqual(told(p), []);
  assert.equal(p.host.tcp.accept(p.handle, 55), CODE.OK);
  p.turn();
  assert.deepEqual(told(p), [['urgent', 7], ['recv', 100]]); // biome-ignore format: pairs
  p.close();
});

test('zeroWindow_urgentWithoutData_isTold', () => {
  const p = new Peer().open(SACK);
  const field = 'rcvEdge';
  for (
    let i = 0;
    i < 200 && p.host.field(p.handle, field) !== p.host.field(p.handle, 'rcvNxt');
    i++
  ) {
    const room = (p.host.field(p.handle, field) - p.host.field(p.handle, 'rcvNxt')) | 0;
    p.send('A', { data: Math.min(1000, room) });
  }
  assert.equal(p.host.field(p.handle, field), p.host.field(p.handle, 'rcvNxt'), 'closed');
  p.replies();
  told(p);
  p.send('AU', { urgent: 5 });
  assert.deepEqual(told(p), [['urgent', 5]]);
  p.close();
});

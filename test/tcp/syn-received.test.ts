/** SYN-RECEIVED: what is sent again, promised again, and what must not leave before our SYN. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Peer } from './peer.ts';

test('synReceived_framesScarceWhenSentAgain_windowNotSmaller', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, 7, 16, 0);
  p.send('S', { mss: 1460, scale: 7 });
  const [first] = p.replies();
  const { frames } = p.host.env;
  const taken: number[] = [];
  while (frames.receiveFree > 40) taken.push(frames.takeReceive());
  p.pass(1001);
  const [again] = p.replies();
  assert.equal(again!.flags, 'SA');
  assert.equal(again!.window, first!.window);
  for (const frame of taken) frames.free(frame);
  p.close();
});

test('listen_sameTupleInSameBatch_laterIss', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, 7, 16, 0);
  let last = -1;
  for (let i = 0; i < 5; i++) {
    p.send('S', { mss: 1460 });
    const [synAck] = p.replies();
    assert.equal(synAck!.flags, 'SA');
    assert.ok(synAck!.seq > last, `${synAck!.seq} after ${last}`);
    last = synAck!.seq;
    p.send('R', { seq: 1 });
    p.seq = 0;
  }
  p.close();
});

test('synReceived_badSegmentInSameBatch_noAckBeforeTheSynAck', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, 7, 16, 0);
  p.deliver('S', { mss: 1460 });
  p.deliver('A', { seq: 200_000, ack: 1, data: 10 });
  p.host.turn();
  p.expect({ flags: 'SA', seq: 0, ack: 1 });
  p.close();
});

test('synReceived_peersSynAgainAtTheLastMoment_patienceBeginsAnew', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, 7, 16, 0);
  p.send('S', { mss: 1460 });
  for (let second = 0; second < 62; second++) p.pass(1000);
  assert.equal(p.replies().length, 6, 'five times again');
  p.send('S', { seq: 0, mss: 1460 }).expect({ flags: 'SA' });
  p.pass(3000).expect({ flags: 'SA' }); // without it, RST by now
  p.send('A').expect();
  assert.equal(p.host.tcp.openFlows, 1);
  assert.equal(p.events()[0], 'knock');
  p.close();
});

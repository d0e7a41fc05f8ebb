/** What TcpOptions switches off is neither offered nor accepted, by SYN, SYN-ACK or cookie. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT } from '../../src/gate/abi.ts';
import type { Offer } from '../../src/tcp/open.ts';
import { FLAG } from '../../src/tcp/tcb.ts';
import { type Fields, Peer, type Segment } from './peer.ts';

const ALL: Fields = { mss: 1460, scale: 9, sack: true, ts: [1000, 0] };
const OFFERS: readonly Offer[] = [
  {},
  { sack: false },
  { timestamps: false },
  { windowScale: false },
  { sack: false, timestamps: false, windowScale: false },
];

function assertOffer(said: Segment, offer: Offer): void {
  assert.equal(said.sack === true, offer.sack !== false, 'sack');
  assert.equal(said.ts !== undefined, offer.timestamps !== false, 'timestamps');
  assert.equal(said.scale !== undefined, offer.windowScale !== false, 'scale');
}

function assertAgreed(p: Peer, offer: Offer): void {
  const flags = p.host.field(p.handle, 'flags');
  assert.equal((flags & FLAG.sack) !== 0, offer.sack !== false);
  assert.equal((flags & FLAG.timestamps) !== 0, offer.timestamps !== false);
  assert.equal(p.host.field(p.handle, 'sndScale'), offer.windowScale === false ? 0 : 9);
  assert.equal(p.host.field(p.handle, 'mss'), offer.timestamps === false ? 1460 : 1448);
}

for (const offer of OFFERS) {
  const name = Object.keys(offer).join('And') || 'nothing';

  test(`connect_lacks_${name}_synOffersAndUsesTheRest`, () => {
    const p = new Peer({ offer });
    p.handle = p.host.tcp.connect(55, 0x0a4d0001, (7 << 16) | 40_000);
    p.turn();
    assertOffer(p.replies()[0]!, offer);
    p.send('SA', ALL); // a peer that has not listened
    assertAgreed(p, offer);
    p.close();
  });

  test(`listen_lacks_${name}_synAckAcceptsTheRest`, () => {
    const p = new Peer({ offer });
    p.host.tcp.listen(9, 0, 7, 4, 0);
    p.send('S', ALL);
    assertOffer(p.replies()[0]!, offer);
    p.stamps = offer.timestamps !== false;
    p.send('A');
    p.handle = p.eventsOf(EVENT.knock)[0]!.handle;
    assertAgreed(p, offer);
    p.close();
  });

  test(`backlogFull_lacks_${name}_cookieTheSame`, () => {
    const p = new Peer({ offer });
    p.host.tcp.listen(9, 0, 7, 1, 0);
    new Peer({ host: p.host, sourcePort: 41_001 }).send('S');
    p.host.env.nic.takeSent();
    p.send('S', ALL);
    const [synAck] = p.replies();
    // the rest is in the timestamp
    const told = offer.timestamps === false ? { sack: false, windowScale: false } : {};
    assertOffer(synAck!, { ...offer, ...told });
    assert.equal(p.host.count('tcpCookiesOut'), 1);
    p.stamps = offer.timestamps !== false;
    p.send('A');
    p.handle = p.eventsOf(EVENT.knock)[0]!.handle;
    assertAgreed(p, { ...offer, ...told });
    p.close();
  });
}

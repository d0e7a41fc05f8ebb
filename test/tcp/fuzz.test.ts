/**
 * Whatever arrives and whatever is called: nothing throws, invariants hold, every pool is full
 * again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LISTEN_KNOCK_AT_SYN } from '../../src/gate/abi.ts';
import { type Random, randomFrom } from '../net/random.ts';
import { type Fields, Peer } from './peer.ts';

const FLAGS = [
  'A',
  'A',
  'A',
  'PA',
  'FA',
  'S',
  'SA',
  'R',
  'RA',
  'F',
  '',
  'SF',
  'FPA',
  'UA',
  'SFRPAU',
];

function randomOptions(random: Random): number[] | undefined {
  switch (random.below(6)) {
    case 0:
      return Array.from({ length: random.below(40) }, () => random.below(256));
    case 1:
      return [1, 1, 8, 10, ...Array.from({ length: 8 }, () => random.below(256))];
    case 2:
      return [2, 4, random.below(256), random.below(256), 3, 3, random.below(256), 4, 2];
    default:
      return undefined;
  }
}

/** Numbers mostly near those that matter. */
function randomFields(random: Random, p: Peer): Fields {
  const near = (n: number): number =>
    n + random.pick([0, 0, 0, 0, 1, -1, 100, -100, 1460, 70_000, random.next() | 0]);
  const options = randomOptions(random);
  return {
    seq: near(p.seq),
    ack: near(p.ack),
    window: random.pick([0, 1, 500, 60_000, 65_535]),
    data: random.pick([0, 0, 1, 10, 536, 1400]),
    ...(options === undefined ? {} : { options }),
    ...(random.below(50) === 0 ? { dataOffset: random.below(16) } : {}),
    ...(random.below(50) === 0 ? { badChecksum: true } : {}),
  };
}

/** Any call, with any handle that has been seen or invented. */
function randomCall(random: Random, p: Peer, handles: number[]): void {
  const { tcp } = p.host;
  const handle = random.below(10) === 0 ? random.next() | 0 : (random.pick([...handles, 0]) ?? 0);
  switch (random.below(12)) {
    case 0: {
      const h = tcp.connect(
        random.next() | 0,
        0x0a4d0001,
        random.below(3) === 0 ? random.next() | 0 : (7 << 16) | 40_000,
      );
      if (h > 0) handles.push(h);
      break;
    }
    case 1:
    case 2:
      tcp.accept(handle, random.next() | 0);
      break;
    case 3:
      tcp.reject(handle);
      break;
    case 4:
      if (random.below(4) === 0) tcp.close(handle);
      break;
    case 5:
      if (random.below(8) === 0) tcp.abort(handle);
      break;
    case 6:
      tcp.shutdown(handle);
      break;
    case 7:
      tcp.keepalive(handle, random.pick([0, 1000, 100_000, -1]));
      break;
    case 8:
      tcp.recvDone(handle, random.pick([0, 1, 10, 100, 1400, -5, random.next() | 0]));
      break;
    default:
      tcp.send(handle, p.host.at(random.below(60_000)), random.pick([1, 7, 64, 1460, 5000]));
  }
}

test('fuzz_segmentsAndCalls_nothingThrowsAndAllIsHome', (t) => {
  const random = randomFrom(t);
  for (let round = 0; round < 20; round++) {
    const signed = random.below(2) === 1;
    const p = new Peer({
      signed,
      environment: { limits: { receiveFrames: 96, flows: 8, sendSpans: 64 } },
    });
    const handles: number[] = [];
    const listener = p.host.tcp.listen(1, 0, 7, 4, random.below(2) === 1 ? LISTEN_KNOCK_AT_SYN : 0);
    assert.ok(listener > 0);
    const others = [40_001, 40_002, 40_003].map(
      (sourcePort) => new Peer({ host: p.host, sourcePort, signed }),
    );
    const peers = [p, ...others];
    for (let step = 0; step < 400; step++) {
      const peer = random.pick(peers);
      if (p.host.env.frames.receiveFree > 0) {
        const isPolite = random.below(3) !== 0; // so that flows get somewhere
        const fields = isPolite ? { data: random.pick([0, 10, 1000]) } : randomFields(random, peer);
        peer.deliver(isPolite ? random.pick(['A', 'PA', 'S', 'SA']) : random.pick(FLAGS), fields);
      }
      if (random.below(2) === 0) randomCall(random, p, handles);
      if (random.below(3) === 0) {
        p.pass(random.pick([0, 0, 1, 50, 300, 5000, 70_000]));
        for (const event of p.host.takeEvents()) handles.push(event.handle);
        const sent = p.host.env.nic.takeSent();
        for (const other of peers) {
          p.host.env.nic.sent = sent.filter(
            (f) => f.length >= 54 && ((f[36]! << 8) | f[37]!) === other.sourcePort,
          );
          other.replies();
        }
      }
    }
    p.host.tcp.unlisten(listener);
    p.close();
  }
});

/** Checksums of the pseudo-header alone: taken where the link is known for them, nowhere else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT } from '../../../src/gate/abi.ts';
import { Peer } from '../../tcp/peer.ts';
import { Fixture } from '../fixture.ts';
import type { EnvironmentChoices } from '../harness.ts';
import { checksum, ipFrame, udp } from '../packets.ts';
import { bytes6, HOST6, ip6Frame, ipv6Choices, OURS6, udp6 } from '../packets6.ts';

const KNOWN = { partialChecksums: true };
const known: EnvironmentChoices = { config: KNOWN };

/** The sum of a pseudo-header, not complemented. */
const pseudoSum = (addresses: number[], protocol: number, length: number): number =>
  ~checksum([...addresses, 0, protocol, length >> 8, length & 255]) & 0xffff;
const V4 = [10, 77, 0, 1, 10, 77, 0, 2];
const V6 = [...bytes6(HOST6), ...bytes6(OURS6)];

/**
 * Everything of a connection's life: SYN, data of odd and even lengths and of a whole segment, FIN.
 */
function live(choices: EnvironmentChoices): Peer {
  const p = new Peer({ environment: choices });
  p.host.tcp.listen(9, 0, 7, 16, 0);
  p.send('S', { partialChecksum: true });
  return p;
}

test('knownLink_tcpWithPseudoHeaderSum_connectsAndCounts', () => {
  const p = live(known);
  assert.equal(p.replies()[0]!.flags, 'SA');
  p.send('A', { partialChecksum: true });
  const [knock] = p.eventsOf(EVENT.knock);
  p.handle = knock!.handle;
  assert.equal(p.host.tcp.accept(p.handle, 5), CODE.OK);
  for (const data of [1, 100, 1459, 1460]) p.send('PA', { data, partialChecksum: true });
  assert.equal(p.eventsOf(EVENT.recv).length > 0, true);
  p.send('PA', { data: 10 });
  assert.equal(p.host.count('tcpPartialChecksums'), 6, 'whole ones are not counted');
  assert.equal(p.host.count('tcpBadChecksum') + p.host.count('partialChecksumsRefused'), 0);
  p.close();
});

test('otherLink_tcpWithPseudoHeaderSum_isWrongAndOfThatShape', () => {
  const p = live({});
  assert.deepEqual(p.replies(), []);
  assert.equal(p.host.count('tcpBadChecksum'), 1);
  assert.equal(p.host.count('partialChecksumsRefused'), 1);
  assert.equal(p.host.count('tcpPartialChecksums'), 0);
  p.close();
});

test('knownLink_tcpWithAnyOtherWrongSum_isWrong', () => {
  const p = new Peer({ environment: known });
  p.host.tcp.listen(9, 0, 7, 16, 0);
  p.send('S', { badChecksum: true });
  // complemented, as a whole checksum would be; and of another length
  for (const sum of [~pseudoSum(V4, 6, 20), pseudoSum(V4, 6, 21), pseudoSum(V4, 17, 20)]) {
    const frame = p.frame('S');
    frame[34 + 16] = (sum >> 8) & 255;
    frame[34 + 17] = sum & 255;
    p.host.env.nic.inject(frame);
    p.turn();
  }
  assert.deepEqual(p.replies(), []);
  assert.equal(p.host.count('tcpBadChecksum'), 4);
  assert.equal(p.host.count('tcpPartialChecksums'), 0);
  p.close();
});

test('knownLink_synCookieCompletedWithPseudoHeaderSum_connects', () => {
  const p = new Peer({ environment: known });
  p.host.tcp.listen(9, 0, 7, 2, 0);
  for (const i of [1, 2]) new Peer({ host: p.host, sourcePort: 41_000 + i }).send('S');
  p.host.env.nic.takeSent();
  const all = { mss: 1460, scale: 9, sack: true, ts: [1000, 0] as [number, number] };
  p.send('S', { ...all, partialChecksum: true });
  assert.equal(p.replies()[0]!.flags, 'SA');
  p.stamps = true;
  p.send('PA', { data: 100, partialChecksum: true });
  assert.equal(p.host.count('tcpCookiesIn'), 1);
  assert.equal(p.eventsOf(EVENT.knock).length, 1);
  p.close();
});

for (const [family, choices] of [
  ['ipv4', {}],
  ['ipv6', ipv6Choices()],
] as const) {
  for (const bytes of [0, 1, 64, 1400]) {
    const data = Uint8Array.from({ length: bytes }, (_, i) => i);
    const frame =
      family === 'ipv4'
        ? ipFrame(udp(data, { checksum: pseudoSum(V4, 17, 8 + bytes) }))
        : ip6Frame(udp6(data, 7, {}, pseudoSum6(17, 8 + bytes)), { next: 17 });
    test(`knownLink_udpOver_${family}_of${bytes}WithPseudoHeaderSum_isDelivered`, () => {
      const f = new Fixture({ ...choices, config: { ...choices.config, ...KNOWN } });
      f.stack.udp.bind(0, 7, 0);
      f.deliver(frame);
      assert.equal(f.events().length, 1);
      assert.deepEqual(f.counted(), { udpIn: 1, udpPartialChecksums: 1 });
      f.close();
    });

    test(`otherLink_udpOver_${family}_of${bytes}WithPseudoHeaderSum_isWrong`, () => {
      const f = new Fixture(choices);
      f.stack.udp.bind(0, 7, 0);
      f.deliver(frame);
      assert.deepEqual(f.events(), []);
      assert.deepEqual(f.counted(), { udpIn: 1, udpBadChecksum: 1, partialChecksumsRefused: 1 });
      f.close();
    });
  }
}

function pseudoSum6(protocol: number, length: number): number {
  return pseudoSum(V6, protocol, length);
}

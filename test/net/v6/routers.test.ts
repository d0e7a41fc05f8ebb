/** Router discovery, addresses made from prefixes, and duplicate address detection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE } from '../../../src/gate/abi.ts';
import { addressesWord } from '../../../src/gate/arrays.ts';
import { RawGate } from '../../../src/libix/index.ts';
import type { Ipv6Config } from '../../../src/net/both/environment.ts';
import { formatIpv6 } from '../../../src/wire/ipv6-text.ts';
import { Fixture } from '../fixture.ts';
import { HOST_MAC, parseEthernet } from '../packets.ts';
import {
  advertisement,
  bytes6,
  full6,
  HOST6,
  icmp6,
  ip6Frame,
  ipv6Choices,
  macOption,
  mtuOption,
  OURS6,
  OURS6_LINK,
  parseIcmp6,
  parseIpv6,
  prefixOption,
  routerAdvertisement,
  solicitation,
  words6,
} from '../packets6.ts';

const FAR = '2001:db8::7';
const SECOND_MAC = '02:00:00:00:00:51';
const MADE = '2001:db8:0:1:1234:5678:9abc:def0';

const fresh = (ipv6: Partial<Ipv6Config> = {}): Fixture => new Fixture(ipv6Choices(ipv6));

function tokenOf(f: Fixture, text: string): number {
  const [w0, w1, w2, w3] = words6(text) as [number, number, number, number];
  return f.stack.ip.peerOf(w0, w1, w2, w3);
}

/** MAC address that a datagram to `text` leaves for, or the code. */
function wayTo(f: Fixture, text: string): string | number {
  f.sent();
  const socket = f.stack.udp.bind(0, 0, 1);
  const code = f.stack.udp.send(socket, 0, 16, tokenOf(f, text), 9);
  f.stack.udp.close(socket);
  const [frame] = f.sent();
  return code < 0 ? code : parseEthernet(frame!).to;
}

/** Source address of the answer to a ping at `text`; '' when there is none. */
function answerFrom(f: Fixture, destination: string): string {
  f.deliver(solicitation(destination));
  f.sent();
  f.deliver(ip6Frame(icmp6(128, 0, [0, 0, 0, 0], { destination }), { next: 58, destination }));
  const [frame] = f.sent();
  return frame === undefined ? '' : parseIpv6(frame).source;
}

test('noRouter_advertisement_makesADefaultRoute', () => {
  const f = fresh();
  assert.equal(wayTo(f, FAR), CODE.NO_ROUTE);
  f.deliver(routerAdvertisement());
  assert.equal(wayTo(f, FAR), HOST_MAC);
  assert.equal(f.counted().ndpRouterAdvertisements, 1);
  f.deliver(routerAdvertisement({ lifetime: 0 }));
  assert.equal(wayTo(f, FAR), CODE.NO_ROUTE, 'it says that it routes no more');
  f.close();
  assert.equal(f.stack.ip.v6.destinations.held, 0);
});

test('router_lifetimeOver_isGone', () => {
  const f = fresh();
  f.deliver(routerAdvertisement({ lifetime: 30 }));
  f.pass(29_000);
  f.deliver(routerAdvertisement({ lifetime: 30 }));
  f.pass(29_000);
  assert.equal(wayTo(f, FAR), HOST_MAC, 'renewed');
  f.pass(1001);
  f.pass(1);
  assert.equal(wayTo(f, FAR), CODE.NO_ROUTE);
  f.close();
});

test('router_thatIsNoneAnyMore_isGone', () => {
  const f = fresh();
  f.deliver(routerAdvertisement());
  f.deliver(advertisement('fe80::1', 0x60));
  assert.equal(wayTo(f, FAR), CODE.NO_ROUTE);
  f.close();
});

test('router_thatDoesNotAnswer_isFollowedByTheNext', () => {
  const f = fresh();
  f.deliver(routerAdvertisement());
  f.deliver(routerAdvertisement({ options: macOption(1, SECOND_MAC) }, { source: 'fe80::51' }));
  assert.equal(wayTo(f, FAR), HOST_MAC);
  for (let i = 0; i < 9; i++) f.pass(1001); // DELAY, then three probes without an answer
  assert.equal(wayTo(f, FAR), SECOND_MAC);
  f.close();
});

test('fifthRouter_isIgnoredAndCounted', () => {
  const f = fresh();
  for (let i = 1; i <= 6; i++) f.deliver(routerAdvertisement({}, { source: `fe80::${i}` }));
  assert.equal(f.stack.discovery.routers.count, 4);
  assert.equal(f.counted().ndpRouterIgnored, 2);
  f.deliver(routerAdvertisement({ lifetime: 0 }, { source: 'fe80::7' }));
  assert.equal(f.counted().ndpRouterIgnored ?? 0, 0, 'who does not route is none to take');
  f.close();
});

test('configuredGateway_comesFirstAndNobodyIsAsked', () => {
  const f = fresh({ gateway: words6(HOST6) });
  f.stack.start();
  assert.ok(f.sent().every((frame) => frame[12] !== 0x86 || parseIcmp6(frame).icmpType !== 133));
  f.deliver(solicitation());
  f.deliver(routerAdvertisement({ options: macOption(1, SECOND_MAC) }, { source: 'fe80::51' }));
  assert.equal(wayTo(f, FAR), HOST_MAC);
  f.close();
});

test('onLinkPrefix_isReachedDirectlyUntilItIsOver', () => {
  const f = fresh();
  f.deliver(
    routerAdvertisement({ options: [...macOption(1), ...prefixOption('2001:db8::', 0x80, 60)] }),
  );
  assert.match(String(wayTo(f, FAR)), /^33:33:ff:00:00:07$/, 'asked for on the link');
  f.pass(60_001);
  f.pass(1);
  assert.equal(wayTo(f, FAR), HOST_MAC, 'by the router');
  f.close();
});

test('onLinkPrefix_ofManyLinks_isIgnoredAndCounted', () => {
  const f = fresh();
  f.deliver(routerAdvertisement({ options: macOption(1) }));
  f.counted();
  for (const [prefix, bits] of [
    ['::', 1],
    ['8000::', 1],
    ['2000::', 3],
    ['2001:db8::', 32],
    ['2001:db8::', 48],
    ['2001:db8::', 63],
  ] as const) {
    f.deliver(routerAdvertisement({ options: prefixOption(prefix, 0x80, 60, 60, bits) }));
    assert.equal(f.counted().ndpPrefixIgnored, 1, `${prefix}/${bits}`);
    assert.equal(wayTo(f, FAR), HOST_MAC, 'by the router');
  }
  f.close();
});

test('configuredGateway_prefixSaidToBeOnLink_doesNotBypassIt', () => {
  const f = fresh({ gateway: words6(HOST6) });
  f.deliver(solicitation());
  for (const [prefix, bits] of [
    ['::', 1],
    ['2001:db8::', 64],
    [FAR, 128],
  ] as const) {
    f.counted();
    f.deliver(
      routerAdvertisement(
        { options: [...macOption(1, SECOND_MAC), ...prefixOption(prefix, 0x80, 60, 60, bits)] },
        { source: 'fe80::51' },
      ),
    );
    assert.equal(f.counted().ndpPrefixIgnored, 1, `${prefix}/${bits}`);
    assert.equal(wayTo(f, FAR), HOST_MAC);
  }
  f.close();
});

test('mtu_ofARouter_isBelievedWithinReason', () => {
  const f = fresh();
  const { v6 } = f.stack.ip;
  for (const [mtu, is] of [
    [1279, 1500],
    [1501, 1500],
    [0x8000_0500, 1280],
    [1400, 1400],
    [1500, 1500],
  ] as const) {
    f.deliver(routerAdvertisement({ options: mtuOption(mtu) }));
    assert.equal(v6.linkMtu(), is, `${mtu}`);
  }
  f.close();
});

test('slaacOff_autonomousPrefix_makesNoAddress', () => {
  const f = fresh();
  f.deliver(routerAdvertisement({ options: prefixOption('2001:db8:0:1::') }));
  assert.equal(answerFrom(f, MADE), '');
  f.close();
});

test('slaac_autonomousPrefix_makesAnAddressForItsLifetime', () => {
  const f = fresh({ slaac: true });
  f.deliver(routerAdvertisement({ options: prefixOption('2001:db8:0:1::', 0x40, 10_000, 10_000) }));
  assert.equal(answerFrom(f, MADE), full6(MADE));
  f.deliver(routerAdvertisement({ options: prefixOption('2001:db8:0:1::', 0x40, 1, 1) }));
  f.pass(5000);
  assert.equal(answerFrom(f, MADE), full6(MADE), 'two hours are its own (RFC 4862 5.5.3 e)');
  for (let i = 0; i < 10; i++) f.pass(1_000_000);
  assert.equal(answerFrom(f, MADE), '');
  f.deliver(routerAdvertisement({ options: prefixOption('2001:db8:0:1::', 0x40, 10_000, 10_000) }));
  assert.equal(answerFrom(f, MADE), full6(MADE), 'again');
  assert.equal(f.stack.ip.v6.addresses.last, 3, 'in the same place');
  f.close();
});

test('slaac_addressComesAndGoes_applicationsAreShownIt', () => {
  const f = fresh({ slaac: true, detectsDuplicates: true });
  const offset = f.sink.header << 2;
  const seen = new RawGate(f.env.arena.i32, offset, offset);
  f.stack.discovery.onAddresses = () => f.stack.ip.v6.addresses.show(addressesWord(offset));
  const shown = (): string[] =>
    seen.ownAddresses().map(({ words, prefixLength }) => `${formatIpv6(words)}/${prefixLength}`);
  f.stack.start();
  assert.deepEqual(shown(), [], 'somebody else may have them');
  for (let i = 0; i < 5; i++) f.pass(1_000_000);
  assert.deepEqual(shown(), [`${OURS6}/64`]);
  f.deliver(routerAdvertisement({ options: prefixOption('2001:db8:0:1::', 0x40, 7201, 7201) }));
  for (let i = 0; i < 5; i++) f.pass(1_000_000);
  assert.deepEqual(shown(), [`${OURS6}/64`, `${MADE}/64`]);
  for (let i = 0; i < 8; i++) f.pass(1_000_000_000);
  assert.deepEqual(shown(), [`${OURS6}/64`]);
  f.close();
});

test('slaac_badPrefixes_areIgnoredAndCounted', () => {
  const f = fresh({ slaac: true });
  const bad = [
    prefixOption('2001:db8::', 0x40, 10, 10, 48),
    prefixOption('2001:db8::', 0x40, 10, 20),
    prefixOption('fe80::', 0x40),
    prefixOption('ff02::', 0x40),
    prefixOption('2001:db8::', 0x40, 10, 10, 129),
    prefixOption('2001:db8::', 0xc0, 10, 10, 0),
  ];
  for (const options of bad) f.deliver(routerAdvertisement({ options }));
  assert.equal(f.counted().ndpPrefixIgnored, bad.length);
  assert.equal(f.stack.ip.v6.addresses.last, 2);
  for (let i = 1; i <= 9; i++) {
    f.deliver(routerAdvertisement({ options: prefixOption(`2001:db8:0:${i}::`, 0x40) }));
  }
  assert.equal(f.counted().ndpPrefixIgnored, 3, 'eight addresses are all');
  f.close();
});

test('tentative_nobodyAnswers_isOursAfterASecond', () => {
  const f = fresh({ detectsDuplicates: true });
  f.stack.start();
  const probes = f
    .sent()
    .filter((frame) => frame[12] === 0x86)
    .map(parseIcmp6);
  const asked = probes.filter(({ icmpType }) => icmpType === 135);
  assert.deepEqual(
    asked.map(({ source, data, payload }) => [source, Array.from(data), payload.length]),
    [
      [full6('::'), bytes6(OURS6_LINK), 24],
      [full6('::'), bytes6(OURS6), 24],
    ],
  );
  f.deliver(ip6Frame(icmp6(128, 0, [0, 0, 0, 0]), { next: 58 }));
  assert.equal(f.counted().ip6NotForUs, 1, 'not ours yet');
  f.deliver(solicitation());
  assert.equal(f.sent().length, 0, 'not defended yet');
  f.pass(1001);
  const kinds = f.sent().map((frame) => parseIcmp6(frame).icmpType);
  assert.equal(kinds.filter((kind) => kind === 136).length, 2, 'announced');
  assert.equal(kinds.filter((kind) => kind === 133).length, 1, 'and routers asked for');
  assert.equal(answerFrom(f, OURS6), full6(OURS6));
  f.close();
});

test('tentative_somebodyHasIt_isNeverOurs', () => {
  for (const claim of [
    advertisement(OURS6, 0x20, { source: HOST6, destination: 'ff02::1' }),
    solicitation(OURS6, { source: '::' }, []),
  ]) {
    const f = fresh({ detectsDuplicates: true });
    f.stack.start();
    f.deliver(claim);
    for (let i = 0; i < 5; i++) f.pass(1001);
    f.sent();
    assert.equal(f.counted().ndpDuplicate, 1);
    assert.equal(answerFrom(f, OURS6), '');
    const [w0, w1, w2, w3] = words6(OURS6) as [number, number, number, number];
    assert.equal(f.stack.ip.localOf(w0, w1, w2, w3), -1, 'nobody can listen there');
    assert.equal(answerFrom(f, OURS6_LINK), full6(OURS6_LINK), 'the other address lives on');
    f.close();
  }
});

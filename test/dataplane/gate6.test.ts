/** The gate and IPv6: four words are an address of either protocol, and nothing else is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CALL, CODE } from '../../src/gate/abi.ts';
import { ipv6Choices, words6 } from '../net/packets6.ts';
import { randomFrom } from '../net/random.ts';
import { ANY, closeGate, makeGate, mapped } from './gate-fixture.ts';

const make = () => makeGate({}, ipv6Choices().config);

test('connect_ipv6_onLinkOpens_othersAreNoRoute', () => {
  const g = make();
  const connect = (text: string): number => g.call([CALL.connect, 1, ...words6(text), 80])[0]!;
  assert.ok(connect('fd77::1') > 0);
  assert.ok(connect('fe80::1') > 0);
  for (const text of ['fd78::1', 'fd77::2', '::1', 'ff02::1', '::', '::7']) {
    assert.equal(connect(text), CODE.NO_ROUTE, text);
  }
  assert.equal(
    g.call([CALL.connect, 1, 0, 0, 0xffff, 3, 80])[0],
    CODE.NO_ROUTE,
    'no token by name',
  );
  closeGate(g);
});

test('listenAndBind_ipv6_ourAddressesOnly', () => {
  const g = make();
  const listen = (words: number[], port: number): number =>
    g.call([CALL.listen, 1, ...words, port, 4, 0])[0]!;
  assert.ok(listen(words6('fd77::2'), 80) > 0);
  assert.ok(listen(mapped('10.77.0.2'), 80) > 0, 'another address, the same port');
  assert.ok(listen(ANY, 80) > 0);
  assert.equal(listen(words6('fd77::2'), 80), CODE.IN_USE);
  assert.equal(listen(words6('fd77::3'), 81), CODE.NO_ROUTE);
  assert.equal(listen([0, 0, 0, 2], 81), CODE.NO_ROUTE, 'no token by name');
  assert.equal(listen([0, 0, 0xffff, 2], 81), CODE.NO_ROUTE);
  const bind = (words: number[], port: number): number =>
    g.call([CALL.udp_bind, 1, ...words, port])[0]!;
  assert.ok(bind(words6('fd77::2'), 53) > 0);
  assert.equal(bind(words6('fd77::3'), 54), CODE.NO_ROUTE);
  closeGate(g);
});

test('udp_ofOneProtocol_doesNotSendByTheOther', () => {
  const g = make();
  const bind = (words: number[], port: number): number =>
    g.call([CALL.udp_bind, 1, ...words, port])[0]!;
  const send = (socket: number, words: number[]): number =>
    g.call([CALL.udp_sendv, socket, g.memory.offset, 10, ...words, 9])[0]!;
  const [six, four, any] = [bind(words6('fd77::2'), 1), bind(mapped('10.77.0.2'), 2), bind(ANY, 3)];
  const [host6, host4] = [words6('fd77::1'), mapped('10.77.0.1')];
  assert.deepEqual([send(six!, host6), send(four!, host4)], [10, 10]);
  assert.deepEqual([send(any!, host6), send(any!, host4)], [10, 10]);
  assert.deepEqual([send(six!, host4), send(four!, host6)], [CODE.NO_ROUTE, CODE.NO_ROUTE]);
  closeGate(g);
});

test('off_ipv6Addresses_areNoRoute', () => {
  const g = makeGate();
  assert.equal(g.call([CALL.connect, 1, ...words6('fd77::1'), 80])[0], CODE.NO_ROUTE);
  assert.equal(g.call([CALL.listen, 1, ...words6('fd77::2'), 80, 4, 0])[0], CODE.NO_ROUTE);
  closeGate(g);
});

test('randomWords_asAddresses_neverThrowAndLeaveNothing', (t) => {
  const random = randomFrom(t);
  const g = make();
  const word = (): number =>
    random.pick([
      0,
      0,
      1,
      2,
      0xffff,
      -1,
      0xfd770000 | 0,
      0xfe800000 | 0,
      0xff020000 | 0,
      random.next() | 0,
    ]);
  const kinds = [CALL.connect, CALL.listen, CALL.udp_bind];
  for (let i = 0; i < 20_000; i++) {
    const address = [word(), word(), word(), word()];
    const kind = random.pick(kinds);
    const handle = g.call([kind, 1, ...address, random.below(65_536), random.below(4), 0])[0]!;
    if (handle > 0 && kind === CALL.udp_bind) {
      g.call([CALL.udp_sendv, handle, g.memory.offset, 10, word(), word(), word(), word(), 9]);
      g.call([CALL.udp_close, handle]);
    } else if (handle > 0) g.call([kind === CALL.listen ? CALL.unlisten : CALL.abort, handle]);
    g.env.nic.takeSent();
    g.sink.clear();
    g.stack.emit(g.sink);
  }
  closeGate(g);
  g.stack.close();
  assert.equal(g.stack.ip.v6.destinations.held, 0);
});

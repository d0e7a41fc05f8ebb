/**
 * The gate of an application that may not speak to everybody: connections, and datagrams that are
 * no answers.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { COUNTER } from '../../src/counters.ts';
import { CALL, CODE } from '../../src/gate/abi.ts';
import { arp, ipFrame, udp } from '../net/packets.ts';
import { ANY, closeGate, makeGate, mapped } from './gate-fixture.ts';

const HOST = '10.77.0.1';
const PORT = 53;

describe('gate with a rule', () => {
  let g: ReturnType<typeof makeGate>;
  let socket: number;
  beforeEach(() => {
    g = makeGate({}, {}, [{ words: mapped('10.77.0.128'), prefixLength: 96 + 25 }]);
    socket = g.call([CALL.udp_bind, 1, ...ANY, PORT])[0]!;
    g.deliver(arp());
  });
  afterEach(() => closeGate(g));

  const connect = (to: number[]): number => g.call([CALL.connect, 7, ...to, 80])[0]!;
  const send = (to: number[], port = 4000): number =>
    g.call([CALL.udp_sendv, socket, g.memory.offset, 8, ...to, port])[0]!;
  const denied = (): number => g.env.counters.f64[g.env.counters.base + COUNTER.egressDenied]!;

  test('connect_outsideTheRule_isDeniedAndCounted', () => {
    const others = [mapped(HOST), mapped('10.77.0.127'), mapped('8.8.8.8'), [0, 0, 0, 1], ANY];
    for (const to of others) assert.equal(connect(to), CODE.DENIED, `${to}`);
    assert.equal(denied(), others.length);
    assert.ok(connect(mapped('10.77.0.129')) > 0);
    assert.equal(g.stack.tcp.openFlows, 1);
  });

  test('datagram_toWhoHasNotAsked_isDeniedAndCounted', () => {
    assert.equal(send(mapped(HOST)), CODE.DENIED);
    assert.equal(denied(), 1);
    assert.equal(send(mapped('10.77.0.129')), 8);
  });

  test('datagram_toWhoHasAsked_leaves', () => {
    g.deliver(ipFrame(udp([1, 2, 3], { sourcePort: 4000, port: PORT })));
    assert.equal(send(mapped(HOST)), 8);
    assert.equal(send(mapped(HOST), 4001), CODE.DENIED);
    assert.equal(send(mapped(HOST), 4000 + 65_536), CODE.BAD_RANGE);
    const [other = 0] = g.call([CALL.udp_bind, 2, ...ANY, PORT + 1]);
    const [code] = g.call([CALL.udp_sendv, other, g.memory.offset, 8, ...mapped(HOST), 4000]);
    assert.equal(code, CODE.DENIED, 'by another port than was asked');
  });

  test('datagram_ofNoSocketOrNoMemory_isAnsweredAsEver', () => {
    const to = mapped(HOST);
    const calls = [
      [CALL.udp_sendv, socket + 1, g.memory.offset, 8, ...to, 4000],
      [CALL.udp_sendv, socket, g.memory.offset - 1, 8, ...to, 4000],
    ];
    assert.deepEqual(g.call(...calls), [CODE.BAD_HANDLE, CODE.BAD_RANGE]);
  });
});

/**
 * Flows read out of a dataplane's memory: of real stacks, of one that changes its rows while they
 * are read, and of one that lies.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATISTICS_BYTES, type Tables } from '../../../src/child/config.ts';
import { type Flow, flowsOf, type Memory, Rows } from '../../../src/control/record/flows.ts';
import type { Instance } from '../../../src/control/record/instances.ts';
import { findCounters } from '../../../src/control/record/memory.ts';
import { tablesOf } from '../../../src/dataplane/tables.ts';
import { CODE } from '../../../src/gate/abi.ts';
import { flowFacts, rowForm, STATE_NAMES } from '../../../src/tcp/flow-facts.ts';
import { ROW_BYTES, ROW_WORDS, STATE, TCB } from '../../../src/tcp/tcb.ts';
import { ipv6Choices, words6 } from '../../net/packets6.ts';
import { Endpoints } from '../../tcp/endpoints.ts';
import type { Host } from '../../tcp/host.ts';
import { Network } from '../../tcp/network.ts';
import { Peer } from '../../tcp/peer.ts';

/** As DataplaneMemory would read it. */
function memoryOf({ env }: Host, onRead = (_at: number): void => {}): Memory {
  const base = env.counters.base * 2;
  return {
    read(_thread, from, into) {
      onRead(from);
      into.set(env.arena.i32.subarray(base + from / 4, base + from / 4 + into.length));
    },
  };
}

const tables = ({ env, stack }: Host): Tables => tablesOf(env.counters, stack);

const read = (host: Host, onRead?: (at: number) => void): Flow[] => [
  ...new Rows(memoryOf(host, onRead), 0, tables(host)).all(),
];

test('established_dataBothWays_isShownAsItIs', () => {
  const p = new Peer().open({ mss: 1000 });
  assert.deepEqual(read(p.host).length, 1);
  p.send('PA', { data: 100 });
  p.write(0, 300);
  const [flow, ...more] = read(p.host);
  assert.deepEqual(more, []);
  assert.deepEqual(
    [flow!.local, flow!.localPort, flow!.remote, flow!.remotePort, flow!.state, flow!.isActive],
    ['10.77.0.2', p.port, '10.77.0.1', p.sourcePort, 'ESTABLISHED', false],
  );
  assert.deepEqual([flow!.unread, flow!.inFlight, flow!.unsent, flow!.mss], [100, 300, 0, 1000]);
  assert.deepEqual([flow!.sendWindow, flow!.ssthresh, flow!.retransmits], [60_000, 0, 0]);
  assert.equal(flow!.changing, undefined);
  p.send('A', { ack: 301 });
  p.close();
  assert.deepEqual(read(p.host), [], 'a row that is free is no flow');
});

test('nothingAcknowledged_sentAgain_isCountedByFlow_andTheNextFlowOfTheRowBeginsAtZero', () => {
  const p = new Peer().open({ mss: 1000, sack: true });
  p.write(0, 100);
  for (let i = 0; i < 400; i++) p.pass(10);
  const [flow] = read(p.host);
  assert.ok(flow!.retransmits >= 3, `${flow!.retransmits}`);
  assert.equal(flow!.retransmits, p.host.count('tcpRetransmits'));
  assert.ok(flow!.backoff >= 2 && flow!.inFlight === 100);
  const { tcp } = p.host;
  assert.equal(tcp.abort(p.handle), CODE.OK);
  p.turn().turn();
  assert.equal(tcp.flows.free, tcp.flows.count, 'its row is among them');
  const again = Array.from({ length: tcp.flows.free }, () => tcp.flows.take());
  const base = tcp.flows.retransmits;
  for (const row of again) assert.equal(tcp.flows.i32[base + tcp.flows.i32[row + TCB.flow]!], 0);
  for (const row of again) tcp.flows.give(row);
});

test('ipv6_addressesOfBothEnds_areWhole', () => {
  const [a6, b6] = ['fd77::2', 'fd77::3'];
  const net = new Network(
    {},
    1,
    ipv6Choices({ address: words6(a6), linkLocal: words6('fe80::a') }),
    ipv6Choices({ address: words6(b6), linkLocal: words6('fe80::b') }),
  );
  new Endpoints(net.b).listen();
  const [w0, w1, w2, w3] = words6(b6) as [number, number, number, number];
  new Endpoints(net.a).connect(net.a.stack.ip.peerOf(w0, w1, w2, w3), 7, {});
  net.run(() => net.b.count('tcpAccepted') === 1);
  const [ours] = read(net.a);
  const [theirs] = read(net.b);
  assert.deepEqual([ours!.local, ours!.remote, ours!.isActive], [a6, b6, true]);
  assert.deepEqual([theirs!.local, theirs!.remote, theirs!.isActive], [b6, a6, false]);
  net.close();
});

test('rowThatChangesWhileItIsRead_isReadAgain_untilItHoldsStill', () => {
  const p = new Peer().open();
  const { i32, base } = p.host.tcp.flows;
  const at = tables(p.host).flows;
  let changes = 5;
  const [flow] = read(p.host, (from) => {
    if (from === at && changes-- > 0) i32[base + TCB.rto]! += 1;
  });
  assert.equal(flow!.rtoUs, i32[base + TCB.rto], 'as it was in the end');
  assert.equal(flow!.changing, undefined);
  assert.ok(changes < 0);
  p.close();
});

test('rowThatNeverHoldsStill_isSaidToBeChanging', () => {
  const p = new Peer().open();
  const { i32, base } = p.host.tcp.flows;
  const at = tables(p.host).flows;
  const [flow] = read(p.host, (from) => {
    if (from === at) i32[base + TCB.rto]! += 1;
  });
  assert.equal(flow!.changing, true);
  p.close();
});

test('rowThatClosesWhileItIsRead_isLeftOut', () => {
  const p = new Peer().open();
  const { i32, base } = p.host.tcp.flows;
  const at = tables(p.host).flows;
  let reads = 0;
  const found = read(p.host, (from) => {
    if (from === at && ++reads === 3) i32[base + TCB.state] = STATE.closed;
  });
  assert.deepEqual([found, reads > 3], [[], true]);
});

test('memoryOfNoise_comesOutAsNumbersAndNames', () => {
  const noise: Memory = {
    read: (_thread, from, into) => {
      for (let i = 0; i < into.length; i++) into[i] = Math.imul(from + i * 4 + 1, 0x9e3779b1);
    },
  };
  const where = { flows: 0, flowCount: 500, retransmits: 4, destinations: 8 };
  const lies = { ...where, destinationCount: 9, addresses: 12 };
  const found = [...new Rows(noise, 0, lies).all()];
  assert.ok(found.length > 400);
  for (const { state, local, remote, isActive, ...numbers } of found) {
    assert.ok(state === 'UNKNOWN' || STATE_NAMES.includes(state));
    for (const address of [local, remote]) assert.match(address, /^(\?|[\d.]+|[\da-f:.]+)$/);
    assert.equal(typeof isActive, 'boolean');
    for (const [name, value] of Object.entries(numbers)) {
      assert.ok(Number.isInteger(value), `${name} ${value}`);
    }
  }
});

test('tokenBeyondItsTable_isNoAddress', () => {
  const row = new Int32Array(ROW_WORDS);
  row[TCB.state] = STATE.established;
  row[TCB.remote] = 10;
  row[TCB.local] = 0xffff;
  const memory: Memory = {
    read: (_thread, from, into) => {
      if (into.length >= ROW_WORDS) into.set(row);
      else if (from > ROW_BYTES) into.fill(0);
    },
  };
  const where = { flows: 0, flowCount: 1, retransmits: 2048, destinations: 4096 };
  const [flow] = [...new Rows(memory, 0, { ...where, destinationCount: 9, addresses: 1 }).all()];
  assert.deepEqual([flow!.remote, flow!.local], ['?', '?']);
});

test('facts_clockHasWrapped_idleIsShort', () => {
  const row = new Int32Array(ROW_WORDS);
  row[TCB.lastRxMs] = 2 ** 31 - 10;
  row[TCB.lastTxMs] = 2 ** 31 - 50;
  assert.equal(flowFacts(row, 0, (2 ** 31 + 5) | 0).idleMs, 15);
});

test('serviceOfAnotherVersion_orNotYetReady_isRefusedWithTheRemedy', () => {
  const given = { app: 'kv\x1b', address: '10.77.0.2', threads: 1 } as unknown as Instance;
  assert.throws(() => flowsOf(given), /kv\\x1b at 10\.77\.0\.2 does not serve yet; try again/);
  const form = rowForm().replace(/./g, '0');
  const other = { ...given, tables: { form, threads: [] } };
  assert.throws(() => flowsOf(other), /another version.*; use its bin\/ix, or start/);
  const gone = { ...given, tables: { form: rowForm(), threads: [] } };
  assert.throws(() => flowsOf(gone), /does not serve now/);
});

test('counters_amongOtherMappings_areFoundByInodeAndPlace', () => {
  const second = STATISTICS_BYTES.toString(16).padStart(8, '0');
  const maps = [
    '55d0c8a00000-55d0c8a28000 r--p 00000000 fe:01 1311 /usr/bin/node',
    `7f0000001000-7f0000003000 rw-s ${second} 00:01 4242 /memfd:ix-statistics (deleted)`,
    '7f0000009000-7f000000a000 rw-s 00000000 00:01 4242 /memfd:ix-statistics (deleted)',
    '7f000000b000-7f000000c000 rw-s 00000000 00:01 4243 /memfd:ix-statistics (deleted)',
    '7f000000d000-7f000000e000 rw-p 00000000 00:00 0 ',
  ].join('\n');
  assert.deepEqual(findCounters(maps, 4242, 2), [0x7f0000009000, 0x7f0000001000]);
  assert.deepEqual(findCounters(maps, 4242, 3), [0x7f0000009000, 0x7f0000001000, 0]);
});

/** The tracing wrapper: one line a frame, and no bytes that make it fall. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeFrame, Trace } from '../../../src/nic/around/trace.ts';
import { Cable, closeCable, makeCable } from '../../../src/nic/cable.ts';
import { collect, type End, makeEnds, nicSuite, RING, send, settle } from '../suite.ts';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
console.log(`SEED=${SEED}`);

nicSuite({
  name: 'traced',
  skip: false,
  capacity: RING,
  allocates: 10_000, // a line of text a frame does
  connect: (a, b) => {
    const parts = makeCable(RING);
    const inner = new Cable(a.arena, a.frames, a.counters, parts, 0);
    const traced = new Trace(inner, a.arena, () => {});
    const peer = new Cable(b.arena, b.frames, b.counters, parts, 1);
    return { a: traced, b: peer, remove: () => closeCable(parts) };
  },
});

const describe = (hex: string): string => {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return describeFrame(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
};
const ETHERNET = '0200000000010200000000020800';
const ip = (length: string, protocol: string, fragment = '4000') =>
  `${ETHERNET} 4500${length} 0000${fragment} 40${protocol}0000 0a4d0002 0a4d0001`;

test('TCP is shown with flags, numbers, window and payload length', () => {
  const line = describe(
    `${ip('002c', '06')} 2bcb9c40 00000001 ffffffff 5012ffff 00000000 61626364`,
  );
  assert.equal(line, '10.77.0.2.11211 > 10.77.0.1.40000 [S.] seq 1 ack 4294967295 win 65535 len 4');
  assert.match(
    describe(`${ip('0028', '06')} 2bcb9c40 00000001 00000000 5039ffff 00000000`),
    /\[FPU\.\]/,
  );
  assert.match(
    describe(`${ip('0028', '06')} 2bcb9c40 00000001 00000000 5000ffff 00000000`),
    /\[none\]/,
  );
});

test('UDP, ICMP, fragments and ARP are shown as what they are', () => {
  assert.equal(
    describe(`${ip('0020', '11')} 00350400 000c0000 61626364`),
    '10.77.0.2.53 > 10.77.0.1.1024 udp len 4',
  );
  assert.equal(
    describe(`${ip('001c', '01')} 08000000 00010002`),
    '10.77.0.2 > 10.77.0.1 icmp type 8 code 0 len 8',
  );
  assert.equal(
    describe(`${ip('001c', '11', '20b9')} 0000000000000000`),
    '10.77.0.2 > 10.77.0.1 protocol 17 fragment 1480+ len 8',
  );
  const arp = (operation: string) =>
    `ffffffffffff0200000000020806 0001080006040${operation} 020000000002 0a4d0002 000000000000 0a4d0001`;
  assert.equal(describe(arp('001')), 'arp who-has 10.77.0.1 tell 10.77.0.2');
  assert.equal(describe(arp('002')), 'arp 10.77.0.2 is-at 02:00:00:00:00:02 to 10.77.0.1');
  assert.equal(
    describe('ffffffffffff02000000000288b5 00000000'),
    '02:00:00:00:00:02 > ff:ff:ff:ff:ff:ff type 0x88b5 len 4',
  );
});

const ETHERNET6 = '02000000000102000000000286dd';
const ip6 = (length: string, next: string, to = 'fd770000000000000000000000000001') =>
  `${ETHERNET6} 60000000 ${length} ${next}40 fd770000000000000000000000000002 ${to}`;

test('IPv6 is shown with short addresses, what it went through, and what it carries', () => {
  assert.equal(
    describe(`${ip6('0018', '06')} 2bcb9c40 00000001 ffffffff 5012ffff 00000000 61626364`),
    'fd77::2.11211 > fd77::1.40000 [S.] seq 1 ack 4294967295 win 65535 len 4',
  );
  assert.equal(
    describe(`${ip6('0014', '3c')} 11000104 00000000 00350400 000c0000 61626364`),
    'fd77::2.53 > fd77::1.1024 udp len 4 (destination options)',
  );
  assert.equal(
    describe(`${ip6('0008', '3a')} 80000000 00010002`),
    'fd77::2 > fd77::1 icmp6 echo request len 8',
  );
  assert.equal(
    describe(`${ip6('0008', '3a')} 01040000 00000000`),
    'fd77::2 > fd77::1 icmp6 unreachable code 4 len 8',
  );
  const target = 'fd770000000000000000000000000007';
  assert.equal(
    describe(
      `${ip6('0018', '3a', 'ff0200000000000000000001ff000007')} 87000000 00000000 ${target}`,
    ),
    'fd77::2 > ff02::1:ff00:7 icmp6 neighbour solicitation fd77::7 len 24',
  );
  assert.equal(
    describe(`${ip6('0010', '2c')} 11000001 00000007 00350400 000c0000`),
    'fd77::2.53 > fd77::1.1024 udp len 0 (fragment 0+)',
  );
  assert.equal(
    describe(`${ip6('0010', '2c')} 110005a9 00000007 61626364 65666768`),
    'fd77::2 > fd77::1 fragment 1448+ protocol 17 len 8',
  );
  assert.equal(describe(ip6('0000', '3b')), 'fd77::2 > fd77::1 nothing');
  assert.equal(describe(ip6('0009', '3b')), 'ip6, bad length');
});

test('any bytes of any length are one line', () => {
  let state = SEED;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 8;
  };
  const types = ['0800', '0806', '86dd'];
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(Array.from({ length: next() % 80 }, () => next() & 255));
    bytes.write(types[i % 3]!, Math.min(12, bytes.length), 'hex');
    if (i % 2 === 0 && bytes.length > 18) bytes[14] = 0x45;
    const line = describeFrame(
      new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
      0,
      bytes.length,
    );
    assert.ok(line.length > 0 && !line.includes('\n'));
  }
});

test('both directions go to the sink', () => {
  const ends = makeEnds();
  const parts = makeCable(64);
  const lines: string[] = [];
  const inner = new Cable(ends.arena, ends.a.frames, ends.a.counters, parts, 0);
  const a: End = { ...ends.a, nic: new Trace(inner, ends.arena, (line) => lines.push(line)) };
  const b: End = {
    ...ends.b,
    nic: new Cable(ends.arena, ends.b.frames, ends.b.counters, parts, 1),
  };
  send(a, 1, 60);
  assert.equal(collect(b, 1).length, 1);
  send(b, 2, 61);
  assert.equal(collect(a, 1).length, 1);
  assert.deepEqual(lines, [
    '> 02:69:78:00:00:01 > ff:ff:ff:ff:ff:ff type 0x88b5 len 46',
    '< 02:69:78:00:00:02 > ff:ff:ff:ff:ff:ff type 0x88b5 len 47',
  ]);
  settle(a);
  settle(b);
  a.nic.close();
  b.nic.close();
  closeCable(parts);
  assert.ok(a.frames.allHome() && b.frames.allHome());
});

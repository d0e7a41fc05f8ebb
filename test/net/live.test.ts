/**
 * The stack against the kernel's, over AF_XDP on a veth pair in a namespace of its own: the
 * kernel's ping (small, fragmented, as long as there is), its ARP, its UDP sockets.
 *
 * - ixla, 10.77.0.1/24, is the kernel's end; ixlb is ours and has no address there.
 */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Netlink } from '../../src/control/link/netlink.ts';
import { carveSink, raiseStack } from '../../src/dataplane/assembly.ts';
import type { Stack } from '../../src/dataplane/stack.ts';
import { CODE } from '../../src/gate/abi.ts';
import type { EventSink } from '../../src/gate/arrays.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';
import { type OpenXdp, openXdp } from '../../src/nic/privileged/open.ts';
import { Struct } from '../../src/nic/struct.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { makeVeth } from '../nic/links.ts';
import { address, makeEnvironment } from './harness.ts';
import { HOST, icmp, macText, OURS, pattern, readIcmp } from './packets.ts';

enterNamespace();
const skip = needsRoot;

const AF_INET = 2;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const IPPROTO_ICMP = 1;
const DEADLINE_MS = 5000;

/** Our end: a stack on AF_XDP that echoes UDP port 7, driven by `until`. */
class Ours {
  readonly stack: Stack;
  readonly #env: ReturnType<typeof makeEnvironment>;
  readonly #xdp: OpenXdp;
  readonly #sink: EventSink;
  readonly echo: number;

  constructor() {
    const base = makeEnvironment({ limits: { receiveFrames: 1024 } });
    const { arena, frames, counters } = base;
    arena.bindNative();
    const options = { ifname: 'ixlb', ipv4: [address(OURS)], ringEntries: base.limits.ringEntries };
    this.#xdp = openXdp(arena, frames, counters, options);
    this.#env = base;
    const { nic } = this.#xdp;
    this.stack = raiseStack({ ...base, nic }).stack;
    this.#sink = carveSink(arena);
    this.echo = this.stack.udp.bind(0, 7, 0);
  }

  get mac(): string {
    return macText(this.#xdp.nic.mac);
  }

  /** Bytes in application memory. */
  place(bytes: Uint8Array): number {
    const at = this.#env.arena.carve('application', bytes.length, 4);
    this.#env.arena.u8.set(bytes, at);
    return at;
  }

  turn(): void {
    const { nic } = this.#xdp;
    const now = performance.now();
    this.#env.clock.us = Math.floor(now * 1000) | 0;
    this.#env.clock.ms = Math.floor(now) | 0;
    nic.reclaim();
    this.stack.advance();
    const count = nic.receive(64);
    for (let i = 0; i < count; i++) this.stack.receive(nic.rxOffsets[i]!, nic.rxLengths[i]!);
    this.#sink.clear();
    this.stack.emit(this.#sink);
    for (let i = 0; i < this.#sink.count; i++) this.#answer(this.#sink.header + 16 + i * 16);
    this.stack.flush();
    nic.kick();
  }

  #answer(w: number): void {
    const [kind, handle, , offset, length, , , , from, ports] = this.#env.arena.i32.subarray(
      w,
      w + 16,
    );
    if (kind !== 7) return; // udp_recv
    this.stack.udp.send(handle!, offset!, length!, from!, ports! & 0xffff);
    assert.equal(this.stack.udp.recvDone(handle!, offset!), CODE.OK);
  }

  /** Turns until `isDone`, or for five seconds. */
  async until(isDone: () => boolean): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS;
    while (!isDone()) {
      assert.ok(performance.now() < deadline, 'nothing came in five seconds');
      this.turn();
      await setImmediate();
    }
  }

  close(): void {
    this.stack.close();
    this.#xdp.close();
    assert.ok(this.#env.frames.allHome());
  }
}

/** The kernel's ping: a raw ICMP socket. */
class Ping {
  readonly #fd = must(sys.syscall(SYS.socket, AF_INET, SOCK_RAW_NONBLOCK, IPPROTO_ICMP), 'socket');
  readonly #buffer = new Uint8Array(65_536);

  send(message: Uint8Array): void {
    const name = new Struct(16).u16(0, AF_INET);
    name.bytes.set(OURS.split('.').map(Number), 4);
    const vector = new Struct(16).pointer(0, message).u64(8, message.length);
    const header = new Struct(56).pointer(0, name.bytes).u32(8, 16);
    header.pointer(16, vector.bytes).u64(24, 1);
    must(sys.syscall(SYS.sendmsg, this.#fd, header.bytes, 0), 'sendmsg');
  }

  /** The next message that came to us, or null. */
  receive(): Uint8Array | null {
    const length = sys.syscall(SYS.read, this.#fd, this.#buffer, this.#buffer.length);
    return length < 0 ? null : this.#buffer.slice(20, length);
  }

  close(): void {
    sys.syscall(SYS.close, this.#fd);
  }
}

let ours: Ours;
let removeLink: () => void;

before(() => {
  if (skip !== false) return;
  removeLink = makeVeth('ixla', 'ixlb');
  const netlink = new Netlink();
  netlink.addAddress(netlink.link('ixla')!.index, address(HOST), 24);
  netlink.close();
  ours = new Ours();
});

after(() => {
  if (skip !== false) return;
  ours.close();
  removeLink();
});

for (const size of [0, 56, 1472, 1473, 3000, 65_507]) {
  test(`kernel_ping_of_${size}_bytes_is_answered`, { skip }, async (t) => {
    const ping = new Ping();
    t.after(() => ping.close());
    const data = pattern(size);
    ping.send(icmp(8, 0, 0x1234_0001, data));
    let answer: Uint8Array | null = null;
    await ours.until(() => {
      const got = ping.receive();
      if (got !== null && got[0] === 0) answer = got;
      return answer !== null;
    });
    const { icmpType, rest, data: returned } = readIcmp(answer!);
    assert.deepEqual([icmpType, rest, returned.length], [0, 0x1234_0001, size]);
    assert.ok(Buffer.from(returned).equals(Buffer.from(data)));
  });
}

test('kernel_asksForUs_learns_our_mac', { skip }, () => {
  const entry = readFileSync('/proc/thread-self/net/arp', 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`${OURS} `));
  assert.ok(entry?.includes(ours.mac), entry ?? 'no entry');
});

/** A kernel socket on the host's address. */
async function hostSocket(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, HOST);
  await once(socket, 'listening');
  return socket;
}

test('stack_asksForTheKernel_sends_what_it_held', { skip }, async (t) => {
  const socket = await hostSocket();
  t.after(() => socket.close());
  const got: Buffer[] = [];
  socket.on('message', (message) => got.push(message));
  ours.stack.arp.close(); // forget everybody
  assert.equal(ours.stack.arp.neighbours.count, 0);
  const at = ours.place(pattern(100));
  const sent = ours.stack.udp.send(ours.echo, at, 100, address(HOST), socket.address().port);
  assert.equal(sent, 100);
  await ours.until(() => got.length > 0);
  assert.deepEqual(new Uint8Array(got[0]!), pattern(100));
});

test('kernel_udpClient_is_echoed', { skip }, async (t) => {
  const socket = await hostSocket();
  t.after(() => socket.close());
  const got: Buffer[] = [];
  socket.on('message', (message, from) => {
    assert.deepEqual([from.address, from.port], [OURS, 7]);
    got.push(message);
  });
  for (const size of [0, 1, 100, 1472, 1473, 1900]) {
    const data = pattern(size, size);
    got.length = 0;
    socket.send(data, 7, OURS);
    await ours.until(() => got.length > 0);
    assert.deepEqual(new Uint8Array(got[0]!), data, `${size} bytes`);
  }
});

test('stack_sendsLargeDatagram_kernel_reassembles_it', { skip }, async (t) => {
  const socket = await hostSocket();
  t.after(() => socket.close());
  const got: Buffer[] = [];
  socket.on('message', (message) => got.push(message));
  for (const size of [9000, 60_000]) {
    const data = pattern(size);
    got.length = 0;
    const at = ours.place(data);
    const { port } = socket.address();
    assert.equal(ours.stack.udp.send(ours.echo, at, size, address(HOST), port), size);
    await ours.until(() => got.length > 0);
    assert.ok(got[0]!.equals(Buffer.from(data)), `${size} bytes`);
  }
});

test('kernel_udpToClosedPort_is_refused', { skip }, async (t) => {
  const socket = await hostSocket();
  t.after(() => socket.close());
  const codes: (string | undefined)[] = [];
  socket.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code));
  await new Promise<void>((connected) => socket.connect(9, OURS, connected));
  socket.send(Buffer.from('anybody?'));
  await ours.until(() => codes.length > 0);
  assert.deepEqual(codes, ['ECONNREFUSED'], 'the kernel believed our port unreachable');
});

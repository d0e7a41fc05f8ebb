/**
 * The threads of one service under random steering: every frame of a peer comes on any queue, some
 * in fragments on two of them, some behind a priority tag. Every byte arrives, each way, of flows
 * that the peer has opened and of those that the threads have; and no flow has two owners.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEAD } from '../../src/gate/abi.ts';
import { Handover, makeHandover } from '../../src/nic/around/handover.ts';
import { Siblings } from '../../src/nic/around/siblings.ts';
import { spreadGroups } from '../../src/nic/flow-groups.ts';
import type { FlowTable } from '../../src/nic/toeplitz.ts';
import { passTime, type TestEnvironment } from '../net/harness.ts';
import { checksum } from '../net/packets.ts';
import { randomFrom } from '../net/random.ts';
import { keyFrom } from '../nic/flow-frames.ts';
import { Endpoints } from './endpoints.ts';
import { HOST_A, HOST_B, Host } from './host.ts';

const THREADS = 3;
const FROM_PEER = 24;
const FROM_EACH = 4;
const ROUND_US = 100;
const ROUNDS = 100_000;
const PEER_PORT = 9;

type Random = ReturnType<typeof randomFrom>;

/** Three threads and their peer; where the peer's frames come is drawn. */
class Service {
  readonly hosts: Host[];
  readonly peer: Host;
  readonly #random: Random;
  #id = 1;

  constructor(table: FlowTable, random: Random) {
    this.#random = random;
    const parts = makeHandover(THREADS, false);
    const siblings: Siblings[] = [];
    this.hosts = Array.from({ length: THREADS }, (_, thread) => {
      const around = ({ arena, frames, clock, counters, nic }: TestEnvironment): Siblings => {
        const handover = new Handover(parts, thread, arena);
        const tell = (frame: Uint8Array): void => {
          for (const other of siblings) if (other !== siblings[thread]) other.hear(frame);
        };
        const made = new Siblings(nic, { arena, frames, clock, counters, handover, tell });
        siblings[thread] = made;
        return made;
      };
      const config = { flowGroups: table, thread, threads: THREADS };
      const choices = { config, limits: { receiveFrames: 2048 } };
      return new Host(choices, 1000, 'cubic', undefined, {}, around);
    });
    const config = { address: HOST_B };
    this.peer = new Host({ config, mac: [2, 0, 0, 0, 0, 3] }, 1000);
  }

  /** One round: everybody's turn, and what was sent is where it comes to. */
  round(): void {
    for (const host of [...this.hosts, this.peer]) {
      host.turn();
      passTime(host.env, ROUND_US);
    }
    for (const { env } of this.hosts) {
      for (const frame of env.nic.takeSent()) this.peer.env.nic.inject(frame);
    }
    for (const frame of this.peer.env.nic.takeSent()) {
      for (const each of this.#onItsWay(frame)) {
        this.hosts[this.#random.below(THREADS)]!.env.nic.inject(each);
      }
    }
  }

  #onItsWay(frame: Uint8Array): Uint8Array[] {
    const isSegment = frame[12] === 8 && frame[13] === 0 && frame[23] === 6;
    const what = isSegment ? this.#random.below(8) : 2;
    if (what === 0) return this.#cut(frame);
    if (what > 1) return [frame];
    return [Uint8Array.from([...frame.slice(0, 12), 0x81, 0, 0xe0, 0, ...frame.slice(12)])];
  }

  /** Two fragments, as a router makes them that does not care for DF. */
  #cut(frame: Uint8Array): Uint8Array[] {
    const payload = frame.subarray(34);
    const first = 8 * (1 + this.#random.below((payload.length - 1) >> 3));
    this.#id = (this.#id + 1) & 0xffff;
    const piece = (from: number, to: number, more: number): Uint8Array => {
      const bytes = Uint8Array.from([...frame.subarray(0, 34), ...payload.subarray(from, to)]);
      const view = new DataView(bytes.buffer);
      view.setUint16(16, 20 + to - from);
      view.setUint16(18, this.#id);
      view.setUint16(20, more | (from >> 3));
      view.setUint16(24, 0);
      view.setUint16(24, checksum(bytes.subarray(14, 34)));
      return bytes;
    };
    return [piece(0, first, 0x2000), piece(first, payload.length, 0)];
  }

  counted(name: Parameters<Host['count']>[0]): number {
    return this.hosts.reduce((sum, host) => sum + host.count(name), 0);
  }
}

const toeplitz = (): FlowTable => ({
  toeplitz: keyFrom(3).flatMap((word) => [...Buffer.from(Int32Array.of(word).buffer)]),
  threads: spreadGroups(THREADS),
});

for (const [kind, table] of [
  ['ourHash', { key: keyFrom(7), threads: spreadGroups(THREADS) }],
  ['toeplitz', toeplitz()],
] as const) {
  test(`threads_${kind}_framesOnAnyQueue_everyByteOfEveryFlowAndOneOwner`, (t) => {
    const random = randomFrom(t);
    const service = new Service(table, random);
    const bytes = (): number => 1 + random.below(20_000);
    const threads = service.hosts.map(
      (host) => new Endpoints(host, { send: bytes(), shutdownAfterSend: true }),
    );
    const peer = new Endpoints(service.peer, { send: bytes(), shutdownAfterSend: true });
    peer.listen(PEER_PORT, 64);
    for (const thread of threads) {
      thread.listen(7, 64);
      for (let i = 0; i < FROM_EACH; i++) {
        thread.connect(HOST_B, PEER_PORT, { send: bytes(), shutdownAfterSend: true });
      }
    }
    for (let i = 0; i < FROM_PEER; i++) {
      peer.connect(HOST_A, 7, { send: bytes(), shutdownAfterSend: true });
    }
    const flows = FROM_PEER + THREADS * FROM_EACH;
    const all = () => [peer, ...threads].flatMap(({ connections }) => connections);
    const isOver = () => all().length === 2 * flows && all().every((c) => c.dead >= 0);
    for (let round = 0; round < ROUNDS && !isOver(); round++) {
      service.round();
      const owned = service.hosts.reduce((sum, { tcp }) => sum + tcp.openFlows, 0);
      assert.ok(owned <= flows, `${owned} flows of ${flows}: one has two owners`);
    }
    assert.ok(isOver(), 'all came to an end');
    assert.ok(all().every(({ dead }) => dead === DEAD.closed));
    const sum = (name: 'sent' | 'received', of: Endpoints[]): number =>
      of.flatMap(({ connections }) => connections).reduce((total, c) => total + c[name], 0);
    assert.equal(sum('received', threads), sum('sent', [peer]));
    assert.equal(sum('received', [peer]), sum('sent', threads));
    assert.ok(
      threads.every(({ connections }) => connections.length > FROM_EACH),
      'each has some',
    );
    assert.ok(service.counted('ipReassembled') > 0);
    assert.deepEqual([service.counted('handedDropped'), service.counted('tcpNoFlow')], [0, 0]);
    for (const host of [...service.hosts, service.peer]) host.close();
  });
}

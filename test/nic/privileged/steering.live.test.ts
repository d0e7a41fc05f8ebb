/**
 * Frames that leave one end of a veth pair arrive on the queue of their flow's thread at the other,
 * however the program is attached, with native and with generic XDP there.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Arena } from '../../../src/arena/arena.ts';
import { Frames } from '../../../src/arena/frames.ts';
import { callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { classify } from '../../../src/control/link/classifier.ts';
import { Counters } from '../../../src/counters.ts';
import { BATCH_MAX, TRANSMIT_HEADROOM } from '../../../src/limits.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE, SYS, sys } from '../../../src/native/sys.ts';
import { AfXdp } from '../../../src/nic/afxdp.ts';
import type { XdpMode } from '../../../src/nic/drivers.ts';
import { FlowGroups } from '../../../src/nic/flow-groups.ts';
import { attachXdp } from '../../../src/nic/privileged/attach.ts';
import { readInterface } from '../../../src/nic/privileged/interface.ts';
import {
  adoptSteering,
  queueBefore,
  STEERED_BY,
  type SteeredBy,
  type Steering,
  steerFlows,
} from '../../../src/nic/privileged/steering.ts';
import { randomFrom, SEED } from '../../arena/property.ts';
import { enterNamespace, needsRoot } from '../../control/namespace.ts';
import { flowFrom, frameOf, groupOf, TCP, UDP } from '../flow-frames.ts';
import { makeVeth, openPacketSocket } from '../links.ts';
import { type End, RING } from '../suite.ts';

enterNamespace();
const skip = needsRoot;
const XDP_MODES = ['native', 'generic'] as const;
/** Does not divide 128. */
const QUEUES = 3;
const FRAMES = 1024;
const SETTLE_MS = 100;

/** The host's end, which sends, and every queue of ours. */
class Pair {
  readonly #sender: End;
  readonly #queues: End[];
  readonly #close: () => void;

  constructor(mode: XdpMode = 'native') {
    const arena = new Arena(48 * 2 ** 20);
    arena.bindNative();
    const end = (name: string): Omit<End, 'nic'> => ({
      arena,
      frames: new Frames(arena, FRAMES, FRAMES),
      counters: new Counters(arena, name),
    });
    const near = end('sender');
    this.#sender = { ...near, nic: openPacketSocket(near, 'ixta') };
    const attachment = attachXdp({ ifname: 'ixtb', ipv4: [], everything: true, mode });
    const { index, mac, mtu } = attachment.interface;
    this.#queues = Array.from({ length: QUEUES }, (_, queue) => {
      const far = end(`queue ${queue}`);
      const fd = attachment.openSocket();
      const nic = new AfXdp(arena, far.frames, far.counters, {
        ...{ fd, ifname: 'ixtb', ifindex: index, queue, mac, mtu, ringEntries: RING },
      });
      attachment.enable(queue, fd);
      return { ...far, nic };
    });
    this.#close = () => {
      for (const { nic } of [this.#sender, ...this.#queues]) nic.close();
      attachment.detach();
    };
  }

  /** The queue that each frame arrives on, by its bytes. */
  queuesOf(frames: readonly Buffer[]): Map<string, number> {
    const found = new Map<string, number>();
    for (let at = 0; at < frames.length; at += BATCH_MAX) {
      for (const frame of frames.slice(at, at + BATCH_MAX)) this.#send(frame);
      this.#sender.nic.kick();
      const until = performance.now() + SETTLE_MS;
      while (performance.now() < until && found.size < Math.min(at + BATCH_MAX, frames.length)) {
        this.#queues.forEach((end, queue) => {
          for (const bytes of taken(end)) found.set(bytes, queue);
        });
      }
    }
    return found;
  }

  #send(frame: Buffer): void {
    const { nic, frames, arena } = this.#sender;
    const offset = frames.takeTransmit() + TRANSMIT_HEADROOM;
    arena.u8.set(frame, offset);
    nic.transmit(offset, frame.length);
  }

  close(): void {
    this.#close();
    for (const { frames } of [this.#sender, ...this.#queues]) assert.ok(frames.allHome());
  }
}

function taken(end: End): string[] {
  end.nic.reclaim();
  const count = end.nic.receive(BATCH_MAX);
  return Array.from({ length: count }, (_, i) => {
    const offset = end.nic.rxOffsets[i]!;
    const bytes = end.arena.u8.slice(offset, offset + end.nic.rxLengths[i]!);
    end.frames.free(offset);
    return Buffer.from(bytes).toString('hex');
  });
}

const makePair = (mode: XdpMode = 'native'): (() => void) =>
  makeVeth('ixta', 'ixtb', QUEUES, queueBefore(mode));

function steerAt(ifname: string, by: SteeredBy, mode: XdpMode = 'native'): Steering {
  const { index } = readInterface(ifname);
  return steerFlows({ ifname, ifindex: index, mode, threads: QUEUES, classify, by });
}

/** Frames of flows, and the queue that each should arrive on. */
function flowsOf(steering: Steering, count: number, seed: number): [Buffer, number][] {
  const groups = new FlowGroups(steering.table);
  const next = randomFrom(seed);
  return Array.from({ length: count }, (_, i) => {
    const flow = flowFrom(next, i % 2 === 0 ? 4 : 16);
    const queue = steering.table.threads[groupOf(groups, flow)]!;
    return [frameOf(flow, { protocol: i % 4 < 2 ? TCP : UDP }), queue];
  });
}

/** How many of these frames arrived where they should. */
function right(pair: Pair, frames: readonly [Buffer, number][]): number {
  const found = pair.queuesOf(frames.map(([frame]) => frame));
  return frames.filter(([frame, queue]) => found.get(frame.toString('hex')) === queue).length;
}

/** What has no flow group, cut ones included. */
function without(): [Buffer, number][] {
  const next = randomFrom(SEED);
  const frames: Buffer[] = [];
  for (let i = 0; i < 32; i++) {
    const [four, six] = [flowFrom(next, 4), flowFrom(next, 16)];
    frames.push(frameOf(four, { fragment: 0x2000 }), frameOf(four, { fragment: 100 }));
    frames.push(frameOf(four, { protocol: 1 }), frameOf(six, { protocol: 58 }));
    frames.push(frameOf(four).subarray(0, 14 + 19), frameOf(six).subarray(0, 14 + 39));
    const other = frameOf(four);
    other.writeUInt16BE(i % 2 === 0 ? 0x0806 : 0x88b5, 12);
    frames.push(other);
  }
  return frames.map((frame) => [frame, 0]);
}

for (const by of STEERED_BY) {
  for (const mode of XDP_MODES) {
    test(`steered_${by}_${mode}_everyFlowToItsThreadAndTheRestToTheFirst`, { skip }, (t) => {
      t.after(makePair(mode));
      const steering = steerAt('ixta', by, mode);
      assert.equal(steering.by, by);
      const pair = new Pair(mode);
      const flows = flowsOf(steering, 512, SEED);
      assert.equal(new Set(flows.map(([, queue]) => queue)).size, QUEUES, 'every thread has some');
      assert.equal(right(pair, flows), flows.length);
      const rest = without();
      assert.equal(right(pair, rest), rest.length);
      pair.close();
      steering.close();
    });
  }

  test(`steered_${by}_anotherControlPlaneHasTheSameTable`, { skip }, (t) => {
    t.after(makePair());
    const steering = steerAt('ixta', by);
    const { mapFd, linkFd } = steering;
    assert.deepEqual(adoptSteering(by, mapFd, linkFd).table, steering.table);
    const other = steerAt('ixtb', by);
    assert.notDeepEqual(other.table.key, steering.table.key, 'a key is used once');
    other.close();
    steering.close();
  });
}

test('descriptorsOfSteering_inOtherHands_areNeitherMappedNorWritten', { skip }, (t) => {
  t.after(makeVeth('ixta', 'ixtb', QUEUES));
  const steering = steerAt('ixta', 'tcx');
  const { mapFd, linkFd = -1, table } = steering;
  for (const fd of [mapFd, linkFd]) {
    assert.ok(fd > 2);
    for (const protection of [PROT_READ, PROT_READ | PROT_WRITE]) {
      assert.equal(typeof sys.map(4096, protection, MAP_SHARED, fd, 0), 'number');
    }
    const word = Uint8Array.of(1, 0, 0, 0);
    assert.ok(sys.syscall(SYS.write, fd, word, 4) < 0);
    assert.ok(sys.syscall(callNumber('pwrite64'), fd, word, 4, 0) < 0);
    assert.ok(sys.syscall(SYS.read, fd, word, 4) < 0);
    assert.ok(sys.syscall(SYS.ftruncate, fd, 0) < 0);
  }
  assert.deepEqual(adoptSteering('tcx', mapFd, linkFd).table, table);
  steering.close();
});

test('closed_tcx_nothingIsSteeredAnyMore', { skip }, (t) => {
  t.after(makePair());
  const steering = steerAt('ixta', 'tcx');
  const flows = flowsOf(steering, 256, SEED);
  steering.close();
  steering.close();
  const pair = new Pair();
  assert.ok(right(pair, flows) < 200);
  pair.close();
});

test('closed_clsact_isThereAsLongAsTheInterface', { skip }, (t) => {
  t.after(makePair());
  const steering = steerAt('ixta', 'clsact');
  const flows = flowsOf(steering, 256, SEED);
  steering.close();
  const pair = new Pair();
  assert.equal(right(pair, flows), flows.length);
  pair.close();
});

test('noTcx_isAttachedByNetlink_andARefusalLeavesNothingOpen', { skip }, (t) => {
  t.after(makePair());
  const options = { ifname: 'ixta', mode: 'native', threads: QUEUES } as const;
  // An interface that is not there: what bpf(2) refuses is asked for by netlink.
  const asked: number[] = [];
  const refuse = (_programFd: number, ifindex: number): void => {
    asked.push(ifindex);
    throw new Error('refused');
  };
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  assert.throws(() => steerFlows({ ...options, ifindex: 9999, classify: refuse }), /refused/);
  assert.deepEqual(asked, [9999]);
  assert.throws(() => steerFlows({ ...options, ifindex: 9999, classify }), /errno 19/);
  assert.equal(open(), before);
});

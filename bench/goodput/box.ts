/**
 * The box: a switch between the four endpoints that gives every lane a bad network of its own. A
 * worker.
 *
 * - Ports in the order of ENDPOINTS: cables to our dataplanes, TAPs to Linux. A frame goes where
 *   its IPv4 destination (or ARP target) is; TCP from or to a lane's port takes that lane's path,
 *   one each way (sim/path.ts).
 * - Frames are held in the pool they arrived in and leave when they are due: the box sleeps in
 *   ppoll until then, with a timer slack of a microsecond.
 * - Nothing here is our TCP's or Linux's: both go through the same lines.
 *
 * Started by runner.ts with workerData BoxInput; ends when word 0 of `control` is set.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Path } from '../../sim/path.ts';
import { Random } from '../../sim/random.ts';
import { Schedule } from '../../sim/schedule.ts';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { Counters } from '../../src/counters.ts';
import { setTimerSlack } from '../../src/dataplane/schedule.ts';
import { BATCH_MAX, ETHERNET_MTU } from '../../src/limits.ts';
import { POLLIN, sys } from '../../src/native/sys.ts';
import { Cable, type CableParts } from '../../src/nic/cable.ts';
import { FrameFile } from '../../src/nic/frame-file.ts';
import type { Nic } from '../../src/nic/nic.ts';
import { ETH_PAYLOAD, ETH_TYPE, ETH_TYPE_IPV4 } from '../../src/wire/ethernet.ts';
import { ENDPOINT_BASE, ENDPOINTS, LANE_PORT, type Lane, pathOptions } from './conditions.ts';

export type BoxPort =
  | { kind: 'cable'; cable: CableParts }
  | { kind: 'tap'; fd: number; name: string };

export interface BoxInput {
  ports: BoxPort[];
  lanes: Lane[];
  control: Int32Array;
}

/** Frames on their way at any time: all lanes' delay and queues. */
const FRAMES = 24_576;
const PORT_ENTRIES = 4096;
const ARENA_BYTES = 128 * 2 ** 20;
const IDLE_US = 5000;
const IP_PROTOCOL_TCP = 6;

const { ports, lanes, control } = workerData as BoxInput;
const arena = new Arena(ARENA_BYTES);
arena.bindNative();
const frames = new Frames(arena, FRAMES, 64);
const counters = new Counters(arena);
const { view, i32, u8 } = arena;
const poll = arena.carve('box poll', 64, 8);
const schedule = new Schedule();
/** Both directions of every lane. */
const there = lanes.map((lane) => new Path(pathOptions(lane), new Random(lane.seed)));
const back = lanes.map((lane) => new Path(pathOptions(lane), new Random(lane.seed).fork(1)));

const nics = ports.map((port, index): Nic => {
  const mac = Uint8Array.of(2, 0x69, 0x78, 0xbb, 0, index);
  if (port.kind === 'cable') return new Cable(arena, frames, counters, port.cable, 1, { mac });
  const { fd, name } = port;
  const mtu = ETHERNET_MTU;
  return new FrameFile(arena, frames, counters, { fd, name, mac, mtu, entries: PORT_ENTRIES });
});

const nowUs = (): number => Math.floor(performance.now() * 1000);

/** The port behind an IPv4 address, or -1. */
function portOf(address: number): number {
  const index = address - ENDPOINT_BASE;
  return index >= 0 && index < ENDPOINTS.length ? index : -1;
}

/** Consumes the frame. */
function take(from: number, offset: number, length: number): void {
  const ip = offset + ETH_PAYLOAD;
  const isIpv4 = view.getUint16(offset + ETH_TYPE) === ETH_TYPE_IPV4;
  const to = portOf(view.getInt32(ip + (isIpv4 ? 16 : 24)));
  if (to < 0 || to === from) return frames.free(offset);
  const path = isIpv4 ? pathOf(ip) : undefined;
  if (path === undefined) return nics[to]!.transmit(offset, length);
  const at = path.send(schedule.now, length, false);
  if (at < 0) frames.free(offset);
  else schedule.at(at, () => nics[to]!.transmit(offset, length));
}

function pathOf(ip: number): Path | undefined {
  if (u8[ip + 9] !== IP_PROTOCOL_TCP) return undefined;
  const tcp = ip + ((u8[ip]! & 15) << 2);
  return there[view.getUint16(tcp + 2) - LANE_PORT] ?? back[view.getUint16(tcp) - LANE_PORT];
}

function turn(): number {
  let received = 0;
  schedule.now = nowUs();
  for (let port = 0; port < nics.length; port++) {
    const nic = nics[port]!;
    nic.reclaim();
    const count = nic.receive(BATCH_MAX);
    for (let i = 0; i < count; i++) take(port, nic.rxOffsets[i]!, nic.rxLengths[i]!);
    received += count;
  }
  const now = nowUs();
  while (schedule.next <= now) {
    schedule.now = Math.max(schedule.now, schedule.next);
    schedule.take()();
  }
  for (const nic of nics) nic.kick();
  return received;
}

function sleep(): void {
  const left = Math.min(schedule.next - nowUs(), IDLE_US);
  if (left <= 0) return;
  if (nics.every((nic) => nic.prepareSleep?.() ?? true)) sys.wait(poll, nics.length, left);
  for (const nic of nics) nic.wake?.();
}

setTimerSlack(1000);
nics.forEach((nic, index) => {
  i32[(poll >> 2) + index * 2] = nic.fds[0]!;
  i32[(poll >> 2) + index * 2 + 1] = POLLIN;
});
parentPort?.postMessage('ready');
while (Atomics.load(control, 0) === 0) if (turn() === 0) sleep();

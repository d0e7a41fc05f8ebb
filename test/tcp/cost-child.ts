/**
 * Measures the request-reply path of one stack without VERIFY: run by cost.test.ts, or by hand.
 *
 * - The peer is simulated: one request frame is prepared, its sequence numbers, timestamps and
 *   checksum are moved on in place.
 */
import { getHeapStatistics } from 'node:v8';
import { carveSink } from '../../src/dataplane/assembly.ts';
import { EVENT } from '../../src/gate/abi.ts';
import { KEEP_FRAME } from '../../src/net/both/environment.ts';
import { Tcp } from '../../src/tcp/tcp.ts';
import { finish, pseudoHeaderSum } from '../../src/wire/checksum.ts';
import * as tcp from '../../src/wire/tcp.ts';
import { makeEnvironment } from '../net/harness.ts';

const REQUEST = 64;
const HEADER = 32;
const REMOTE = 0x0a4d0001;
const LOCAL = 0x0a4d0002;
const PORTS = (40_000 << 16) | 7;

const env = makeEnvironment({ limits: { flows: 1024 } });
const { arena, frames, counters } = env;
const { view, kernels, i32 } = arena;
let lastFrame = 0;
const ip = {
  headerBytes: () => 20,
  payloadAt: () => 34,
  remoteSum: (remote: number) => remote,
  localSum: (local: number) => local,
  neighbourFor: () => 0,
  doubt: () => {},
  sourceFor: () => LOCAL,
  hold: () => {},
  release: () => {},
  isLocal: () => true,
  describe: () => {},
  describeLocal: () => {},
  writeHeader: () => {},
  setHops: () => {},
  transmit(frame: number) {
    lastFrame = frame;
    frames.free(frame);
  },
  linkMtu: () => 1500,
  pathMtu: () => 1500,
};
const stack = new Tcp(env, ip);
const sink = carveSink(arena);
const memory = arena.carve('application', 4096);
stack.listen(1, 0, 7, 10, 0);

let seq = 0x7fff_0000;
let ack = 0;
let handle = 0;

function deliver(flags: number, length: number, options: boolean): void {
  const header = options ? HEADER : 20;
  const frame = frames.takeReceive() + 256;
  const at = frame + 34;
  view.setInt32(at, PORTS);
  view.setInt32(at + tcp.TCP_SEQUENCE, seq);
  view.setInt32(at + tcp.TCP_ACK, ack);
  view.setInt32(at + tcp.TCP_DATA_OFFSET, (header << 26) | (flags << 16) | 0x1000);
  view.setInt32(at + tcp.TCP_CHECKSUM, 0);
  if (options) {
    view.setInt32(at + 20, tcp.TIMESTAMPS_WORD);
    view.setInt32(at + 24, env.clock.ms);
    view.setInt32(at + 28, 1);
  }
  const bytes = header + length;
  const sum = kernels.sum(at, bytes, pseudoHeaderSum(REMOTE, LOCAL, 6, bytes));
  view.setUint16(at + tcp.TCP_CHECKSUM, finish(sum), true);
  if (stack.input(frame, frame + 14, at, bytes, REMOTE, LOCAL) !== KEEP_FRAME) frames.free(frame);
}

function emit(): void {
  sink.clear();
  stack.emit(sink);
  const first = sink.header + 16;
  for (let i = 0; i < sink.count; i++) {
    const w = first + i * 16;
    const kind = i32[w]!;
    handle = i32[w + 1]!;
    if (kind === EVENT.knock) stack.accept(handle, 7);
    else if (kind === EVENT.recv) {
      stack.send(handle, memory, REQUEST);
      stack.recvDone(handle, i32[w + 4]!);
    }
  }
}

function request(): void {
  env.clock.us = (env.clock.us + 50) | 0;
  deliver(tcp.ACK | tcp.PSH, REQUEST, true);
  emit();
  stack.flush();
  seq = (seq + REQUEST) | 0;
  ack = (ack + REQUEST) | 0;
}

deliver(tcp.SYN, 0, true);
stack.flush();
seq = (seq + 1) | 0;
ack = (view.getInt32(lastFrame + 34 + tcp.TCP_SEQUENCE) + 1) | 0;
deliver(tcp.ACK, 0, true);
emit();
for (let i = 0; i < 1_000_000; i++) request();

const COUNT = 2_000_000;
const predicted = counters.get('tcpHeaderPredicted');
const allocated = () =>
  (getHeapStatistics() as { total_allocated_bytes?: number }).total_allocated_bytes ?? 0;
allocated();
const base = allocated();
const idle = allocated() - base;
const before = allocated();
const start = process.cpuUsage(); // not the clock on the wall: other tests run beside this one
for (let i = 0; i < COUNT; i++) request();
const ns = (process.cpuUsage(start).user * 1e3) / COUNT;
const bytes = allocated() - before - idle;
console.log(
  JSON.stringify({
    ns,
    bytesPerRequest: bytes / COUNT,
    predicted: (counters.get('tcpHeaderPredicted') - predicted) / COUNT,
    flowOpen: stack.openFlows,
    received: counters.get('tcpBytesIn'),
    sent: counters.get('tcpBytesOut'),
  }),
);

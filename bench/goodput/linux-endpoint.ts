/**
 * An endpoint of `ix bench goodput` on the kernel's TCP: what ours-endpoint.ts does, with node:net.
 *
 * Usage: node linux-endpoint.ts PLAN (a LanePlan as JSON). Prints "ready", then one LaneResult a
 * line.
 */
import { connect, createServer, type Socket } from 'node:net';
import { must, SYS, sys } from '../../src/native/sys.ts';
import type { LaneResult } from './conditions.ts';
import type { LanePlan } from './ours-endpoint.ts';

const IPPROTO_TCP = 6;
const TCP_CONGESTION = 13;

const plan = JSON.parse(process.argv[2] ?? '') as LanePlan;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const block = Buffer.alloc(65_536, 0x78);

/**
 * Whatever the machine's default is. By the socket, because a namespace may not choose an algorithm
 * that the machine restricts; Node has no call for it, and keeps the descriptor where everybody
 * knows it is.
 */
function useCubic(socket: Socket): void {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const name = Buffer.from('cubic');
  must(sys.syscall(SYS.setsockopt, fd, IPPROTO_TCP, TCP_CONGESTION, name, name.length), 'cubic');
}

function send(address: string, port: number): void {
  const socket = connect({ host: address, port, noDelay: true });
  const pump = (): void => {
    while (socket.write(block));
  };
  socket.on('connect', () => {
    useCubic(socket);
    pump();
  });
  socket.on('drain', pump);
  socket.on('error', () => socket.destroy());
}

function receive(lane: number, port: number): Promise<void> {
  return new Promise((listening) => {
    const server = createServer((socket) => count(lane, socket));
    server.listen({ port, host: '0.0.0.0' }, listening);
  });
}

function count(lane: number, socket: Socket): void {
  const start = performance.now();
  let last = start;
  const result: LaneResult = { kind: 'lane', lane, bytes: 0, ms: 0, longestGapMs: 0 };
  const heard = (): void => {
    const now = performance.now();
    result.longestGapMs = Math.max(result.longestGapMs, Math.round(now - last));
    last = now;
  };
  const end = (): void => {
    heard();
    result.ms = Math.round(performance.now() - start);
    say(JSON.stringify(result));
    socket.removeAllListeners('close');
    socket.resetAndDestroy();
  };
  const timer = setTimeout(end, plan.ms);
  socket.on('data', (bytes) => {
    heard();
    result.bytes += bytes.length;
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    clearTimeout(timer);
    end();
  });
}

process.stdin.on('end', () => process.exit()).resume();
if (plan.role === 'receive') {
  await Promise.all(plan.lanes.map(({ lane, port }) => receive(lane, port)));
} else for (const { address, port } of plan.lanes) send(address, port);
say('ready');

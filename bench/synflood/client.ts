/**
 * The honest clients of the SYN flood, on the kernel's TCP: established connections that ask at a
 * fixed rate whatever the answers do (an open loop), and new ones that open, ask once and close.
 *
 * Usage: node bench/synflood/client.ts HOST PORT SECONDS RATE
 * Prints one JSON object (ClientResult). The connections are made before the time begins: "ready"
 * says so.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ClientResult {
  asked: number;
  answered: number;
  /** Answers a second. */
  rate: number;
  /** Connections that were lost. */
  lost: number;
  fresh: { tried: number; served: number; medianMs: number; maxMs: number };
}

const [host, port, seconds, rate] = process.argv.slice(2);
const CONNECTIONS = 32;
const FRESH_EVERY_MS = 20;
const FRESH_PATIENCE_MS = 5000;
const REQUEST = 'get none\r\n';
const ANSWER_BYTES = 'END\r\n'.length;

let bytes = 0;
let lost = 0;
let isOver = false;

async function open(): Promise<Socket> {
  const socket = connect({ host: host!, port: Number(port), noDelay: true });
  socket.on('error', () => socket.destroy());
  await once(socket, 'connect', { signal: AbortSignal.timeout(FRESH_PATIENCE_MS) });
  return socket;
}

async function fresh(times: number[]): Promise<void> {
  const start = performance.now();
  const socket = await open();
  socket.write(REQUEST);
  await once(socket, 'data', { signal: AbortSignal.timeout(FRESH_PATIENCE_MS) });
  times.push(performance.now() - start);
  socket.destroy();
}

const established = await Promise.all(Array.from({ length: CONNECTIONS }, open));
for (const socket of established) {
  socket.on('data', (chunk) => {
    bytes += chunk.length;
  });
  socket.on('close', () => {
    if (!isOver) lost++;
  });
}
console.log('ready');
const times: number[] = [];
const pending: Promise<void>[] = [];
let failed = 0;
let asked = 0;
let next = 0;
const start = performance.now();
const end = start + Number(seconds) * 1000;
let freshAt = start;
for (let now = start; now < end; now = performance.now()) {
  const due = Math.floor(((now - start) * Number(rate)) / 1000) - asked;
  const each = Math.ceil(due / CONNECTIONS);
  for (let left = due; left > 0; left -= each) {
    const count = Math.min(each, left);
    established[next]!.write(REQUEST.repeat(count));
    next = (next + 1) % CONNECTIONS;
    asked += count;
  }
  if (now >= freshAt) {
    freshAt = now + FRESH_EVERY_MS;
    pending.push(fresh(times).catch(() => void failed++));
  }
  await sleep(1);
}
const elapsed = (performance.now() - start) / 1000;
const answered = bytes / ANSWER_BYTES;
await Promise.all(pending);
isOver = true;
times.sort((a, b) => a - b);
const result: ClientResult = {
  ...{ asked, answered, rate: answered / elapsed, lost },
  fresh: {
    tried: times.length + failed,
    served: times.length,
    medianMs: times[times.length >> 1] ?? -1,
    maxMs: times.at(-1) ?? -1,
  },
};
console.log(JSON.stringify(result));
process.exit(0);

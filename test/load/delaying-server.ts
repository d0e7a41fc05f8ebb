/**
 * An echo server that holds every message for a known time, to the microsecond: what two generators
 * must agree on.
 *
 * - Of 50 messages in a row 30 are held 400 ms, 17 are held 600 ms and 3 are held 800 ms: p50, p90
 *   and p99 are known.
 * - It never sleeps while messages wait, so that it is not late itself.
 *
 * Usage: node delaying-server.ts PORT. Prints "ready" when it listens, on all addresses.
 */
import { createServer, type Socket } from 'node:net';

const holdMs = (n: number): number => {
  const i = (n * 7) % 50;
  return i < 30 ? 400 : i < 47 ? 600 : 800;
};

interface Held {
  dueMs: number;
  socket: Socket;
  bytes: Buffer;
}

let count = 0;
let held: Held[] = [];
let isLooking = false;

function look(): void {
  const now = performance.now();
  const due = held.filter(({ dueMs }) => dueMs <= now);
  if (due.length > 0) held = held.filter(({ dueMs }) => dueMs > now);
  for (const { socket, bytes } of due) socket.write(bytes);
  isLooking = held.length > 0;
  if (isLooking) setImmediate(look);
}

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes: Buffer) => {
    held.push({ dueMs: performance.now() + holdMs(count++), socket, bytes });
    if (!isLooking) look();
  });
});
server.listen(Number(process.argv[2]), () => console.log('ready'));

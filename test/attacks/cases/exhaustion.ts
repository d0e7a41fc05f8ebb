/** Bytes from the network that the application never takes: windows close, and nobody else pays. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { type Case, type Observed, sleep } from '../case.ts';

const PORT = 7;
const FLOODERS = 200;
export const FLOOD_MS = 350;

/** As many connections as write as much as they can, for a while. */
export async function flood(address: string, port = PORT, count = FLOODERS): Promise<void> {
  await sleepFor(100); // The application has been asked, and is asleep.
  const piece = Buffer.alloc(2 ** 20, 'x');
  const sockets: Socket[] = Array.from({ length: count }, () => {
    const socket = connect(port, address);
    socket.on('error', () => {});
    socket.write(piece);
    return socket;
  });
  await sleepFor(FLOOD_MS);
  for (const socket of sockets) {
    if (socket.connecting)
      socket.destroy(); // resetAndDestroy would go on connecting, to the next service even
    else socket.resetAndDestroy();
  }
}

export const cases: Case[] = [
  {
    name: 'network_floodIsNeverTaken_framesAreHeldAndComeBack',
    run: () => {
      sleep(FLOOD_MS + 350);
      return true;
    },
    meanwhile: (address) => flood(address),
    floods: true,
    expects: true,
    // The windows closed: far less came than was offered.
    check: (_: never, { counters }: Observed) => {
      const bytes = counters['tcpBytesIn']!;
      assert.ok(bytes > 2 ** 20 && bytes < (FLOODERS * 2 ** 20) / 2, `${bytes} bytes`);
    },
  },
];

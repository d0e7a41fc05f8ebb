/**
 * The competitor "Node": a TCP echo server on node:net, as a Node programmer writes a fast one.
 *
 * - `write` from the data handler, not `pipe`: no stream machinery between; back-pressure kept by
 *   hand.
 * - noDelay on. The kernel's defaults otherwise. Pinned by whoever starts it (taskset).
 *
 * Usage: node echo-node.ts ADDRESS PORT. Prints "ready" when it listens.
 */
import { createServer } from 'node:net';

const [address, port] = process.argv.slice(2);
if (!address || !port) {
  process.stderr.write('usage: echo-node.ts ADDRESS PORT\n');
  process.exit(2);
}

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  socket.on('error', () => socket.destroy());
});
server.listen({ host: address, port: Number(port), backlog: 4096 }, () => console.log('ready'));

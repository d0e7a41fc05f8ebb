// net and tls: half-close, reset, a peer that is told goodbye behind everything it sent.
import net from 'node:net';
import tls from 'node:tls';

const echo = (socket) => socket.on('error', () => {}).pipe(socket);
net.createServer({ allowHalfOpen: true }, echo).listen({ port: 3011, backlog: 2048 });
net.createServer((socket) => socket.once('data', () => socket.resetAndDestroy())).listen(3012);
const { KEY: key, CERTIFICATE: cert } = process.env;
tls.createServer({ key, cert, allowHalfOpen: true }, echo).listen(3013);

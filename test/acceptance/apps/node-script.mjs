// An ordinary program that asks, says what came, and has nothing left to do. For tests.
import net from 'node:net';

const [host, port] = process.argv.slice(2);
const socket = net.connect(Number(port), host);
for await (const piece of socket) process.exitCode = Number(piece);
net.createServer().listen(8080).unref();

// A Node program that serves, and asks a peer by its name or address. For tests.
import net from 'node:net';

const [host, port] = process.argv.slice(2);
net.createServer((socket) => socket.end('in')).listen(8080);
setTimeout(ask, 2000); // what it says is to come behind what the command says
function ask() {
  net
    .connect({ host, port: Number(port) })
    .on('data', (piece) => console.log(JSON.stringify({ heard: `${piece}` })))
    .on('error', ({ message }) => console.log(JSON.stringify({ message })));
}

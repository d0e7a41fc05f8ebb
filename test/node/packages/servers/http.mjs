// http and https: an echo by stream, an upgrade, and servers that lose patience.
import http from 'node:http';
import https from 'node:https';

function answer(request, response) {
  request.on('error', () => {});
  if (request.url === '/echo') return void request.pipe(response);
  if (request.url === '/silence') return;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ hello: request.url.split('/').at(-1) }));
}

const key = process.env.KEY;
const cert = process.env.CERTIFICATE;
const server = http.createServer({ keepAliveTimeout: 60_000 }, answer).listen(3003);
server.on('upgrade', (_request, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  socket.write(head);
  socket.on('error', () => {});
  socket.pipe(socket);
});
https.createServer({ key, cert }, answer).listen(3004);
// Ends connections: idle ones, and those whose request does not come or is not answered.
const hasty = { keepAliveTimeout: 100, keepAliveTimeoutBuffer: 0, headersTimeout: 200 };
const impatient = http.createServer({ ...hasty, connectionsCheckingInterval: 50 }, answer);
impatient.setTimeout(400).listen(3005);

/** An ordinary Node program, for tests: an http server that also asks itself. */
import http from 'node:http';
import os from 'node:os';

const port: number = Number(process.argv[2]);

const answers: Record<string, (response: http.ServerResponse) => void> = {
  '/about': (response) => {
    const { argv, env } = process;
    const { remoteAddress } = response.socket!;
    const interfaces = Object.keys(os.networkInterfaces());
    response.end(
      JSON.stringify({ args: argv.slice(2), who: env['WHO'], remoteAddress, interfaces }),
    );
  },
  '/later': (response) => {
    setTimeout(() => setImmediate(() => Promise.resolve().then(() => response.end('later'))), 5);
  },
  '/self': (response) => {
    http.get({ host: 'localhost', port, path: '/later' }, (answer) => void answer.pipe(response));
  },
  '/throw': () => {
    throw new Error('thrown by a handler');
  },
  '/exit': () => process.exit(7),
};

const server = http.createServer((request, response) => {
  if (request.method === 'POST') request.pipe(response);
  else answers[request.url!]!(response);
});
process.on('uncaughtException', ({ message }) => console.error(`caught: ${message}`));
// A program may wait at its top for its own network.
await new Promise<void>((done) => void server.listen(port, done));
const own = await fetch(`http://127.0.0.1:${port}/later`);
console.error(`own: ${await own.text()}`);

/**
 * The other end of test/drivers/run: a memcached client over the kernel's TCP. `client.ts ADDRESS
 * [seconds to wait]`
 *
 * - Values of many sizes are stored and read back by content: a driver that cuts, joins or mixes
 *   frames is seen here.
 * - Prints one line of JSON: what went wrong (`wrong`, empty when all is right), requests a second
 *   one at a time, gets a second over 40 connections.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

const PORT = 11_211;
/** Around what one frame holds, and what some drivers' buffers hold of it; then many frames. */
const SIZES = [1, 100, 700, 950, 1000, 1024, 1100, 1400, 1440, 1460, 3000, 10_000, 65_000, 200_000];
const SILENCE_MS = 20_000;
const ONE_BY_ONE_MS = 2000;
const CONNECTIONS = 40;
const ROUNDS = 10;
const PIPELINED = 10;

class Client {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = 0;
  #waiting: PromiseWithResolvers<void> | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes >= this.#wanted) this.#waiting?.resolve();
    });
    const ended = (): void => this.#waiting?.reject(new Error('the connection ended'));
    socket.on('close', ended).on('error', ended);
  }

  async ask(request: Buffer, answerBytes: number): Promise<Buffer> {
    this.#socket.write(request);
    this.#wanted = answerBytes;
    if (this.#bytes < answerBytes) {
      this.#waiting = Promise.withResolvers();
      const late = new Error(`${this.#bytes} of ${answerBytes} bytes, then silence`);
      const timer = setTimeout(() => this.#waiting?.reject(late), SILENCE_MS);
      await this.#waiting.promise.finally(() => clearTimeout(timer));
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(answerBytes)];
    this.#bytes = all.length - answerBytes;
    return all.subarray(0, answerBytes);
  }

  async setAndGet(key: string, value: Buffer): Promise<void> {
    const line = Buffer.from(`set ${key} 0 0 ${value.length}\r\n`);
    const set = Buffer.concat([line, value, CRLF]);
    const stored = await this.ask(set, 8);
    if (`${stored}` !== 'STORED\r\n') throw new Error(`set answered ${stored}`);
    const head = Buffer.from(`VALUE ${key} 0 ${value.length}\r\n`);
    const expected = Buffer.concat([head, value, CRLF, Buffer.from('END\r\n')]);
    const got = await this.ask(Buffer.from(`get ${key}\r\n`), expected.length);
    if (!got.equals(expected)) throw new Error('the value that came back is another');
  }

  end(): void {
    this.#socket.destroy();
  }
}

const CRLF = Buffer.from('\r\n');

const opened = (address: string): Promise<Client> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: address, port: PORT, timeout: 3000 });
    socket.once('connect', () => resolve(new Client(socket.setTimeout(0))));
    socket.once('error', reject);
    socket.once('timeout', () => socket.destroy(new Error('no answer')));
  });

async function firstOf(address: string, waitMs: number): Promise<Client | undefined> {
  const until = Date.now() + waitMs;
  do {
    try {
      return await opened(address);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  } while (Date.now() < until);
  return undefined;
}

async function sizes(address: string, wrong: string[]): Promise<void> {
  for (const size of SIZES) {
    const client = await firstOf(address, SILENCE_MS);
    try {
      if (!client) throw new Error('no connection');
      for (let i = 0; i < 3; i++) await client.setAndGet(`k${size}-${i}`, randomBytes(size));
    } catch (error) {
      wrong.push(`${size} bytes: ${(error as Error).message}`);
      if (wrong.length >= 3) return;
    } finally {
      client?.end();
    }
  }
}

/** Requests a second. */
async function oneByOne(client: Client): Promise<number> {
  const began = Date.now();
  let count = 0;
  while (Date.now() - began < ONE_BY_ONE_MS) {
    await client.setAndGet('a', Buffer.alloc(32, 120));
    count += 2;
  }
  return Math.round((count * 1000) / (Date.now() - began));
}

/** Gets a second of the value that `oneByOne` stored. */
async function together(address: string): Promise<number> {
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => opened(address)));
  const gets = Buffer.from('get a\r\n'.repeat(PIPELINED));
  const answer = Buffer.from(`VALUE a 0 32\r\n${'x'.repeat(32)}\r\nEND\r\n`);
  const began = Date.now();
  for (let round = 0; round < ROUNDS; round++) {
    const answers = clients.map((client) => client.ask(gets, answer.length * PIPELINED));
    for (const got of await Promise.all(answers)) {
      if (!got.equals(Buffer.concat(Array(PIPELINED).fill(answer)))) throw new Error('wrong gets');
    }
  }
  for (const client of clients) client.end();
  return Math.round((CONNECTIONS * ROUNDS * PIPELINED * 1000) / (Date.now() - began));
}

async function main(address: string, waitMs: number): Promise<object> {
  const client = await firstOf(address, waitMs);
  if (!client) return { wrong: ['no connection'] };
  const wrong: string[] = [];
  await sizes(address, wrong);
  let [requests, gets] = [0, 0];
  try {
    requests = await oneByOne(client);
    gets = await together(address);
  } catch (error) {
    wrong.push((error as Error).message);
  }
  return { wrong, requests, gets };
}

const [address = '', seconds = '60'] = process.argv.slice(2);
console.log(JSON.stringify(await main(address, Number(seconds) * 1000)));
process.exit(0);

/**
 * The other end of test/drivers/run: a client of kv or echo over the kernel's TCP. `client.ts
 * ADDRESS kv|echo [seconds to wait]`
 *
 * - Values of many sizes are sent and come back, compared by content: a driver that cuts, joins or
 *   mixes frames is seen here.
 * - Prints one line of JSON: what went wrong (`wrong`, empty when all is right), requests a second
 *   one at a time, answers a second over 40 connections that do not wait for each (`pipelined`).
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/** Around what one frame holds, and what some drivers' buffers hold of it; then many frames. */
const SIZES = [1, 100, 700, 950, 1000, 1024, 1100, 1400, 1440, 1460, 3000, 10_000, 65_000, 200_000];
const SILENCE_MS = 20_000;
const ATTEMPT_MS = 3000;
const ONE_BY_ONE_MS = 2000;
const CONNECTIONS = 40;
const ROUNDS = 10;
const PIPELINED = 10;
const SMALL = Buffer.alloc(32, 120);

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

  end(): void {
    this.#socket.destroy();
  }
}

const CRLF = Buffer.from('\r\n');

interface Protocol {
  readonly port: number;
  /** Gives the server a value and takes it back. */
  roundTrip(client: Client, key: string, value: Buffer): Promise<void>;
  /** How often that asks the server. */
  readonly requests: number;
  /** Asks for `a`, which roundTrip has left there with this value; and the answer. */
  again(value: Buffer): [Buffer, Buffer];
}

const kept = (key: string, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`VALUE ${key} 0 ${value.length}\r\n`), value, CRLF, END]);
const END = Buffer.from('END\r\n');

const kv: Protocol = {
  port: 11_211,
  requests: 2,
  async roundTrip(client, key, value) {
    const line = Buffer.from(`set ${key} 0 0 ${value.length}\r\n`);
    const stored = await client.ask(Buffer.concat([line, value, CRLF]), 8);
    if (`${stored}` !== 'STORED\r\n') throw new Error(`set answered ${stored}`);
    const expected = kept(key, value);
    const got = await client.ask(Buffer.from(`get ${key}\r\n`), expected.length);
    if (!got.equals(expected)) throw new Error('the value that came back is another');
  },
  again: (value) => [Buffer.from('get a\r\n'), kept('a', value)],
};

const echo: Protocol = {
  port: 7,
  requests: 1,
  async roundTrip(client, _, value) {
    const got = await client.ask(value, value.length);
    if (!got.equals(value)) throw new Error('what came back is not what was sent');
  },
  again: (value) => [value, value],
};

const [address = '', app = '', seconds = '60'] = process.argv.slice(2);
const protocol = app === 'echo' ? echo : kv;

const opened = (timeout = SILENCE_MS): Promise<Client> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: address, port: protocol.port, timeout });
    socket.once('connect', () => resolve(new Client(socket.setTimeout(0))));
    socket.once('error', reject);
    socket.once('timeout', () => socket.destroy(new Error('no answer')));
  });

async function firstOf(waitMs: number): Promise<Client | undefined> {
  const until = Date.now() + waitMs;
  do {
    try {
      return await opened(ATTEMPT_MS);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  } while (Date.now() < until);
  return undefined;
}

async function sizes(wrong: string[]): Promise<void> {
  for (const size of SIZES) {
    const client = await firstOf(SILENCE_MS);
    try {
      if (!client) throw new Error('no connection');
      for (let i = 0; i < 3; i++)
        await protocol.roundTrip(client, `k${size}-${i}`, randomBytes(size));
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
    await protocol.roundTrip(client, 'a', SMALL);
    count += protocol.requests;
  }
  return Math.round((count * 1000) / (Date.now() - began));
}

/** Answers a second. */
async function together(): Promise<number> {
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => opened()));
  const [request, answer] = protocol.again(SMALL).map((each) => Buffer.concat(many(each)));
  const began = Date.now();
  for (let round = 0; round < ROUNDS; round++) {
    const answers = clients.map((client) => client.ask(request!, answer!.length));
    for (const got of await Promise.all(answers)) {
      if (!got.equals(answer!)) throw new Error('wrong answers to what was pipelined');
    }
  }
  for (const client of clients) client.end();
  return Math.round((CONNECTIONS * ROUNDS * PIPELINED * 1000) / (Date.now() - began));
}

const many = (each: Buffer): Buffer[] => Array(PIPELINED).fill(each);

async function main(waitMs: number): Promise<object> {
  const client = await firstOf(waitMs);
  if (!client) return { wrong: ['no connection'] };
  const wrong: string[] = [];
  await sizes(wrong);
  let [requests, pipelined] = [0, 0];
  try {
    requests = await oneByOne(client);
    pipelined = await together();
  } catch (error) {
    wrong.push((error as Error).message);
  }
  return { wrong, requests, pipelined };
}

console.log(JSON.stringify(await main(Number(seconds) * 1000)));
process.exit(0);

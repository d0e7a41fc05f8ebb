/**
 * The well-behaved client of the soak, on the kernel's TCP: stores and reads back on a few
 * connections, one request in flight each, and opens a fresh connection now and then.
 *
 * Usage: node bench/soak/client.ts HOST PORT SECONDS SEED
 * Prints one JSON object: exchanges, errors (an exchange that failed, with the first reason), fresh
 * connections, their failures, and latencies in microseconds. Started by bench/soak.ts.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Histogram } from '../../src/load/result/histogram.ts';
import { Dice } from './dice.ts';

const [host, port, seconds, seed] = process.argv.slice(2);
const CONNECTIONS = 8;
const VALUE_MAX = 3000;
const FRESH_MS = 250;
/**
 * Above the kernel's backed-off retransmissions: the link is flooded, and frames are lost before
 * anybody has looked at them.
 */
const PATIENCE_MS = 60_000;

const dice = new Dice(Number(seed));
const histogram = new Histogram(1000);
const end = performance.now() + Number(seconds) * 1000;
const failures: string[] = [];
let errors = 0;

/** The bytes of a conversation, by count. */
class Reader {
  readonly #socket: Socket;
  #have = '';
  #wake = () => {};
  #why: string | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#have += text;
      this.#wake();
    });
    const ended = (why: string) => {
      this.#why ??= why;
      this.#wake();
    };
    socket.on('error', (error) => ended(error.message)).on('close', () => ended('closed'));
  }

  async expect(want: string, what: string): Promise<void> {
    const late = setTimeout(() => this.#socket.destroy(new Error('silence')), PATIENCE_MS);
    while (this.#have.length < want.length && this.#why === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    clearTimeout(late);
    const got = this.#have.slice(0, want.length);
    this.#have = this.#have.slice(want.length);
    if (got !== want) throw new Error(`${what}: ${this.#why ?? `answered ${got.slice(0, 60)}`}`);
  }
}

async function open(): Promise<{ socket: Socket; reader: Reader }> {
  const socket = connect({ host: host!, port: Number(port), noDelay: true });
  const reader = new Reader(socket);
  await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) });
  return { socket, reader };
}

async function exchange(socket: Socket, reader: Reader, key: string): Promise<void> {
  const value = String.fromCharCode(97 + dice.below(26)).repeat(1 + dice.below(VALUE_MAX));
  const sent = performance.now();
  socket.write(`set ${key} 5 0 ${value.length}\r\n${value}\r\n`);
  await reader.expect('STORED\r\n', `set ${key}`);
  const stored = performance.now();
  histogram.record(((stored - sent) * 1000) | 0);
  socket.write(`get ${key}\r\n`);
  await reader.expect(`VALUE ${key} 5 ${value.length}\r\n${value}\r\nEND\r\n`, `get ${key}`);
  histogram.record(((performance.now() - stored) * 1000) | 0);
}

async function steady(number: number): Promise<void> {
  const { socket, reader } = await open();
  for (let i = 0; performance.now() < end; i++) {
    try {
      await exchange(socket, reader, `well-behaved-${number}-${i % 100}`);
    } catch (error) {
      errors++;
      failures.push((error as Error).message);
      return; // the connection is lost: that is one error, and the others go on
    }
  }
  socket.end();
}

const fresh = { opened: 0, failed: 0, maxMs: 0 };
async function freshOnes(): Promise<void> {
  while (performance.now() < end) {
    const start = performance.now();
    try {
      const { socket, reader } = await open();
      socket.write('get well-behaved-none\r\n');
      await reader.expect('END\r\n', 'get');
      socket.destroy();
      fresh.opened++;
    } catch {
      fresh.failed++;
    }
    fresh.maxMs = Math.max(fresh.maxMs, Math.round(performance.now() - start));
    await new Promise((resolve) => setTimeout(resolve, FRESH_MS));
  }
}

await Promise.all([
  ...Array.from({ length: CONNECTIONS }, (_, number) => steady(number)),
  freshOnes(),
]).catch((error: Error) => {
  errors++;
  failures.push(error.message);
});
const { count, p50Ns, p99Ns, maxNs } = histogram.summary();
console.log(
  JSON.stringify({
    exchanges: count,
    errors,
    reason: failures[0],
    p50Us: p50Ns / 1000,
    p99Us: p99Ns / 1000,
    maxUs: maxNs / 1000,
    fresh,
  }),
);
process.exit(0);

/**
 * The competitor "Node kv": a memcached-compatible store on node:net and a Map, as a Node
 * programmer writes a fast one.
 *
 * - The classic ASCII commands, those of our kv: get gets gat gats, set add replace append prepend
 *   cas, delete, incr decr, touch, flush_all, version, verbosity, stats, quit; `noreply`, expiry,
 *   flags. No eviction: it is given enough memory.
 * - Answers of one chunk of input leave in one write. Keys are latin1 strings, values Buffers of
 *   their own.
 *
 * Usage: node kv-node.ts ADDRESS PORT. Prints "ready" when it listens.
 */
import { createServer, type Socket } from 'node:net';

const CRLF = Buffer.from('\r\n');
const END = Buffer.from('END\r\n');
const VALUE_MAX = 2 ** 20;
const MONTH = 60 * 60 * 24 * 30;

interface Item {
  flags: string;
  value: Buffer;
  cas: number;
  /** Milliseconds of Date.now(); 0: never. */
  expires: number;
}

/** A storage command that waits for its data block. */
interface Storing {
  verb: string;
  key: string;
  flags: string;
  expires: number;
  bytes: number;
  cas: number;
  quiet: boolean;
}

const items = new Map<string, Item>();
let casNow = 0;

const expiryOf = (word: string): number => {
  const seconds = Number(word);
  if (seconds === 0) return 0;
  if (seconds < 0) return 1;
  return seconds > MONTH ? seconds * 1000 : Date.now() + seconds * 1000;
};

function live(key: string): Item | undefined {
  const item = items.get(key);
  if (item === undefined || item.expires === 0 || item.expires > Date.now()) return item;
  items.delete(key);
  return undefined;
}

class Session {
  readonly #socket: Socket;
  #rest: Buffer | undefined;
  #storing: Storing | undefined;
  #out: Buffer[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#data(bytes));
    socket.on('drain', () => socket.resume());
    socket.on('error', () => socket.destroy());
  }

  #data(bytes: Buffer): void {
    const input = this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    for (;;) {
      const next = this.#storing ? this.#block(input, at) : this.#line(input, at);
      if (next < 0) break;
      at = next;
    }
    this.#rest = at < input.length ? input.subarray(at) : undefined;
    if (this.#out.length === 0) return;
    const out = this.#out.length === 1 ? this.#out[0]! : Buffer.concat(this.#out);
    this.#out = [];
    if (!this.#socket.write(out)) this.#socket.pause();
  }

  #say(text: string): void {
    this.#out.push(Buffer.from(`${text}\r\n`, 'latin1'));
  }

  #line(input: Buffer, at: number): number {
    const end = input.indexOf(10, at);
    if (end < 0) return -1;
    const stop = end > at && input[end - 1] === 13 ? end - 1 : end;
    this.#command(input.toString('latin1', at, stop).split(' '));
    return end + 1;
  }

  #command(words: string[]): void {
    const verb = words[0]!;
    switch (verb) {
      case 'get':
      case 'gets':
        return this.#get(words, 1, verb === 'gets', undefined);
      case 'gat':
      case 'gats':
        return this.#get(words, 2, verb === 'gats', words[1]);
      case 'set':
      case 'add':
      case 'replace':
      case 'append':
      case 'prepend':
      case 'cas':
        return this.#store(words);
      case 'delete':
        return this.#answer(words, items.delete(words[1] ?? '') ? 'DELETED' : 'NOT_FOUND');
      case 'incr':
      case 'decr':
        return this.#count(words, verb === 'incr');
      case 'touch':
        return this.#touch(words);
      case 'flush_all':
        items.clear();
        return this.#answer(words, 'OK');
      case 'version':
        return this.#say(`VERSION ${process.versions.node}`);
      case 'verbosity':
        return this.#answer(words, 'OK');
      case 'stats':
        return this.#say(`STAT curr_items ${items.size}\r\nEND`);
      case 'quit':
        this.#socket.end();
        return;
      default:
        return this.#say('ERROR');
    }
  }

  #answer(words: readonly string[], text: string): void {
    if (words.at(-1) !== 'noreply') this.#say(text);
  }

  #get(words: readonly string[], first: number, withCas: boolean, expiry: string | undefined) {
    for (let i = first; i < words.length; i++) {
      const key = words[i]!;
      const item = live(key);
      if (item === undefined) continue;
      if (expiry !== undefined) item.expires = expiryOf(expiry);
      const cas = withCas ? ` ${item.cas}` : '';
      const head = `VALUE ${key} ${item.flags} ${item.value.length}${cas}\r\n`;
      this.#out.push(Buffer.from(head, 'latin1'), item.value, CRLF);
    }
    this.#out.push(END);
  }

  #store(words: readonly string[]): void {
    const [verb = '', key = '', flags = '', expiry = '', bytes = '', cas = ''] = words;
    const size = Number(bytes);
    if (key === '' || key.length > 250 || !Number.isInteger(size) || size < 0 || size > VALUE_MAX) {
      return this.#say('CLIENT_ERROR bad command line format');
    }
    this.#storing = {
      ...{ verb, key, flags, expires: expiryOf(expiry), bytes: size },
      cas: verb === 'cas' ? Number(cas) : 0,
      quiet: words.at(-1) === 'noreply',
    };
  }

  #block(input: Buffer, at: number): number {
    const storing = this.#storing!;
    const end = at + storing.bytes;
    if (input.length < end + 2) return -1;
    this.#storing = undefined;
    const whole = input[end] === 13 && input[end + 1] === 10;
    const text = whole
      ? this.#put(storing, Buffer.from(input.subarray(at, end)))
      : 'CLIENT_ERROR bad data chunk';
    if (!storing.quiet) this.#say(text);
    return end + 2;
  }

  #put({ verb, key, flags, expires, cas }: Storing, value: Buffer): string {
    const old = live(key);
    if (verb === 'add' ? old : old === undefined && /^(replace|append|prepend)$/.test(verb)) {
      return 'NOT_STORED';
    }
    if (verb === 'cas') {
      if (old === undefined) return 'NOT_FOUND';
      if (old.cas !== cas) return 'EXISTS';
    }
    casNow++;
    if (verb === 'append' || verb === 'prepend') {
      const both = verb === 'append' ? [old!.value, value] : [value, old!.value];
      items.set(key, { ...old!, value: Buffer.concat(both), cas: casNow });
    } else items.set(key, { flags, value, cas: casNow, expires });
    return 'STORED';
  }

  #count(words: readonly string[], isUp: boolean): void {
    const item = live(words[1] ?? '');
    if (item === undefined) return this.#answer(words, 'NOT_FOUND');
    const text = item.value.toString('latin1');
    if (!/^\d+$/.test(text) || !/^\d+$/.test(words[2] ?? '')) {
      return this.#say('CLIENT_ERROR cannot increment or decrement non-numeric value');
    }
    const [now, by] = [BigInt(text), BigInt(words[2]!)];
    const next = isUp ? BigInt.asUintN(64, now + by) : now > by ? now - by : 0n;
    item.value = Buffer.from(String(next), 'latin1');
    item.cas = ++casNow;
    this.#answer(words, String(next));
  }

  #touch(words: readonly string[]): void {
    const item = live(words[1] ?? '');
    if (item) item.expires = expiryOf(words[2] ?? '0');
    this.#answer(words, item ? 'TOUCHED' : 'NOT_FOUND');
  }
}

const [address, port] = process.argv.slice(2);
if (!address || !port) {
  process.stderr.write('usage: kv-node.ts ADDRESS PORT\n');
  process.exit(2);
}
const server = createServer({ noDelay: true }, (socket) => void new Session(socket));
server.listen({ host: address, port: Number(port), backlog: 4096 }, () => console.log('ready'));

/**
 * Closed-loop client of a memcached server (ASCII) on libix: stores its keys, then asks for them.
 *
 * - First every stored key is SET, pipelined over all connections; then each connection keeps
 *   `depth` GETs in flight. Keys are uniform over a space of which `hitRatio` is stored.
 * - Every answer is checked: key, value and end of a hit; a miss of a stored key is counted as
 *   lost.
 * - Requests are constant bytes: nothing is copied or allocated per GET.
 *
 * Application module: `app(ix, options)`; options in options.ts, the report in result.ts.
 */
import type { Connection, Ix } from '../../libix/index.ts';
import { ClientPool } from '../generator/pool.ts';
import {
  GET_BYTES,
  HIT_BYTES,
  KeySpace,
  MISS_BYTES,
  REPLY,
  SET_BYTES,
  STORED_BYTES,
} from './key-space.ts';
import { Measurement } from './measurement.ts';
import { type KvOptions, kvOptions } from './options.ts';

/** SETs in flight per connection while the keys are stored. */
const FILL_DEPTH = 16;

export default function app(ix: Ix, options: Record<string, string>): void {
  new KvClient(ix, kvOptions(options)).open();
}

/** Cells of the counters. */
const HITS = 0;
const MISSES = 1;
const LOST = 2;

class KvClient {
  readonly #u8: Uint8Array;
  readonly #options: KvOptions;
  readonly #depth: number;
  readonly #keys: KeySpace;
  readonly #pool: ClientPool;
  readonly #measurement: Measurement;
  readonly #counts = new Float64Array(3);
  /** Per slot: the key that was asked for. */
  readonly #asked: Int32Array;
  /** Per connection: slot awaited next; requests (or SETs) not sent yet. */
  readonly #turn: Int32Array;
  readonly #owed: Int32Array;
  /** Per connection: next key to store, and SETs without an answer. */
  readonly #nextToStore: Int32Array;
  readonly #storing: Int32Array;
  readonly #random: Int32Array;
  #storedCount = 0;
  #isFilling = true;

  constructor(ix: Ix, options: KvOptions) {
    const { connections, depth } = options;
    this.#u8 = ix.u8;
    this.#options = options;
    this.#depth = depth;
    this.#keys = new KeySpace(ix, options.keys, options.hitRatio);
    this.#measurement = new Measurement(ix, options);
    this.#asked = new Int32Array(connections * depth);
    this.#turn = new Int32Array(connections);
    this.#owed = new Int32Array(connections);
    this.#nextToStore = Int32Array.from({ length: connections }, (_, k) => k);
    this.#storing = new Int32Array(connections);
    this.#random = new Int32Array([options.seed]);
    this.#pool = new ClientPool(
      ix,
      options,
      {
        received: (c, offset, length) => this.#received(c, offset, length),
        drained: (c) => this.#drained(c),
      },
      () => {
        for (const c of this.#pool.connections) this.#store(c, c.state as number);
      },
    );
  }

  open(): void {
    this.#pool.open(() => !this.#isFilling);
  }

  #received(c: Connection, offset: number, length: number): number {
    if (this.#pool.hasEnded) return length;
    return this.#isFilling
      ? this.#receivedStored(c, offset, length)
      : this.#receivedValues(c, offset, length);
  }

  #drained(c: Connection): void {
    if (this.#pool.hasEnded) return;
    const k = c.state as number;
    if (this.#isFilling) this.#store(c, k);
    else this.#sendOwed(c, k);
  }

  // --- filling ---

  /** Keeps FILL_DEPTH SETs of this connection's share of the keys on the way. */
  #store(c: Connection, k: number): void {
    while (this.#storing[k]! < FILL_DEPTH && this.#nextToStore[k]! < this.#options.keys) {
      if (!c.write(this.#keys.set(this.#nextToStore[k]!), SET_BYTES)) return;
      this.#nextToStore[k] = this.#nextToStore[k]! + this.#options.connections;
      this.#storing[k] = this.#storing[k]! + 1;
    }
  }

  #receivedStored(c: Connection, offset: number, length: number): number {
    const k = c.state as number;
    let done = 0;
    while (done < length) {
      const reply = this.#keys.replyToSet(offset + done, length - done);
      if (reply === REPLY.partial) break;
      if (reply === REPLY.wrong || this.#storing[k] === 0) {
        this.#failWith('SET', offset + done, length - done);
        return length;
      }
      done += STORED_BYTES;
      this.#storing[k] = this.#storing[k]! - 1;
      this.#storedCount = (this.#storedCount + 1) | 0;
    }
    if (this.#storedCount === this.#options.keys) this.#start();
    else this.#store(c, k);
    return done;
  }

  // --- measuring ---

  #start(): void {
    this.#isFilling = false;
    for (const c of this.#pool.connections) {
      const k = c.state as number;
      this.#owed[k] = this.#depth;
      for (let i = 0; i < this.#depth; i++) this.#measurement.sent(k * this.#depth + i);
      this.#sendOwed(c, k);
    }
    this.#measurement.begin((result) =>
      this.#pool.finish({
        ...result,
        hits: this.#counts[HITS]!,
        misses: this.#counts[MISSES]!,
        lost: this.#counts[LOST]!,
      }),
    );
  }

  #receivedValues(c: Connection, offset: number, length: number): number {
    const k = c.state as number;
    let done = 0;
    while (done < length) {
      const turn = this.#turn[k]!;
      const slot = k * this.#depth + turn;
      const key = this.#asked[slot]!;
      const reply = this.#keys.replyToGet(key, offset + done, length - done);
      if (reply === REPLY.partial) break;
      if (reply === REPLY.wrong || this.#owed[k] === this.#depth) {
        this.#failWith('GET', offset + done, length - done);
        return length;
      }
      if (reply === REPLY.hit) {
        done += HIT_BYTES;
        this.#count(HITS);
      } else {
        done += MISS_BYTES;
        this.#count(MISSES);
        if (key < this.#keys.stored) this.#count(LOST);
      }
      this.#measurement.turn(slot);
      this.#turn[k] = turn + 1 === this.#depth ? 0 : turn + 1;
      this.#owed[k] = this.#owed[k]! + 1;
    }
    if (this.#owed[k]! > 0) this.#sendOwed(c, k);
    return done;
  }

  /**
   * Sends the requests of the free slots, oldest first: those just before the slot that is awaited
   * next.
   */
  #sendOwed(c: Connection, k: number): void {
    while (this.#owed[k]! > 0) {
      const behind = this.#turn[k]! - this.#owed[k]!;
      const key = this.#randomKey();
      this.#asked[k * this.#depth + (behind < 0 ? behind + this.#depth : behind)] = key;
      if (!c.send(this.#keys.get(key), GET_BYTES)) return;
      this.#owed[k] = this.#owed[k]! - 1;
    }
  }

  /**
   * xorshift32 (Marsaglia 2003); the low 31 bits modulo the number of keys: a bias below 1 in
   * 20,000.
   */
  #randomKey(): number {
    let x = this.#random[0]!;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random[0] = x;
    return (x & 0x7fffffff) % this.#keys.count;
  }

  #count(cell: number): void {
    if (this.#measurement.isMeasuring) this.#counts[cell] = this.#counts[cell]! + 1;
  }

  #failWith(command: string, offset: number, length: number): void {
    const text = String.fromCharCode(...this.#u8.subarray(offset, offset + Math.min(length, 80)));
    this.#pool.fail(`${command} was answered ${JSON.stringify(text)}`);
  }
}

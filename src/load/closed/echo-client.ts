/**
 * Closed-loop echo client on libix: N connections, each with `depth` messages in flight.
 *
 * - A pool of constant pseudo-random messages lies in application memory. Each message of a
 *   connection is the next one of the pool, so that sending copies nothing and every answer is
 *   known beforehand.
 * - Every answer is checked: its length always, and the first and last word of every piece that
 *   arrives.
 * - Answers may arrive in any pieces. Several that arrive at once are answered by one send, which
 *   is contiguous.
 * - Nothing is allocated per message.
 *
 * Application module: `app(ix, options)`; options in options.ts, the report in result.ts.
 */
import type { Connection, Ix } from '../../libix/index.ts';
import { ClientPool } from '../generator/pool.ts';
import { Measurement } from './measurement.ts';
import { type EchoOptions, echoOptions } from './options.ts';

/** Bytes of constant messages: more gives no better check, and leaves the cache. */
const POOL_BYTES = 65_536;
const POOL_MESSAGES_MIN = 16;

export default function app(ix: Ix, options: Record<string, string>): void {
  new EchoClient(ix, echoOptions(options)).open();
}

class EchoClient {
  readonly #view: DataView;
  readonly #size: number;
  readonly #depth: number;
  readonly #mask: number;
  readonly #base: number;
  readonly #pool: ClientPool;
  readonly #measurement: Measurement;
  /**
   * Per connection: message of the pool that is awaited next, and bytes of it that have arrived.
   */
  readonly #awaited: Int32Array;
  readonly #position: Int32Array;
  /** Per connection: which of its slots is awaited next. */
  readonly #turn: Int32Array;
  /** Per connection: messages that could not be sent yet. */
  readonly #owed: Int32Array;
  readonly #options: EchoOptions;
  #isStarted = false;

  constructor(ix: Ix, options: EchoOptions) {
    const { size, depth, connections } = options;
    this.#options = options;
    this.#view = ix.view;
    this.#size = size;
    this.#depth = depth;
    let messages = POOL_MESSAGES_MIN;
    while (messages < depth || messages * size * 2 <= POOL_BYTES) messages *= 2;
    this.#mask = messages - 1;
    // The first `depth` messages stand again behind the last one: any `depth` in a row are
    // contiguous.
    this.#base = ix.alloc((messages + depth) * size, 64);
    fillPool(ix.view, this.#base, messages, depth, size);
    this.#measurement = new Measurement(ix, options);
    this.#awaited = new Int32Array(connections);
    this.#position = new Int32Array(connections);
    this.#turn = new Int32Array(connections);
    this.#owed = new Int32Array(connections);
    this.#pool = new ClientPool(
      ix,
      options,
      {
        received: (c, offset, length) => this.#received(c, offset, length),
        drained: (c) => this.#drained(c),
      },
      () => this.#start(),
    );
  }

  open(): void {
    this.#pool.open(() => this.#isStarted);
  }

  #start(): void {
    this.#isStarted = true;
    for (const c of this.#pool.connections) {
      const k = c.state as number;
      this.#awaited[k] = (k * 37) & this.#mask;
      for (let i = 0; i < this.#depth; i++) this.#measurement.sent(k * this.#depth + i);
      this.#send(c, k, this.#awaited[k]!, this.#depth);
    }
    this.#measurement.begin((result) => this.#pool.finish({ ...result, size: this.#options.size }));
  }

  #received(c: Connection, offset: number, length: number): number {
    if (this.#pool.hasEnded) return length;
    const k = c.state as number;
    const size = this.#size;
    let message = this.#awaited[k]!;
    let position = this.#position[k]!;
    let left = length;
    let answered = 0;
    while (left > 0) {
      const room = size - position;
      const part = Math.min(left, room);
      if (!this.#matches(offset, this.#base + message * size + position, part)) {
        this.#pool.fail(`connection ${k}: the answer is not what was sent`);
        return length;
      }
      offset += part;
      left -= part;
      position += part;
      if (position < size) break;
      position = 0;
      message = (message + 1) & this.#mask;
      const turn = this.#turn[k]!;
      this.#measurement.turn(k * this.#depth + turn);
      this.#turn[k] = turn + 1 === this.#depth ? 0 : turn + 1;
      answered++;
      if (answered > this.#depth) {
        this.#pool.fail(`connection ${k}: more answers than messages`);
        return length;
      }
    }
    this.#awaited[k] = message;
    this.#position[k] = position;
    // Before these answers the messages [awaited, awaited + depth) were on the way; the next ones
    // follow them.
    if (answered > 0) {
      this.#send(c, k, (message - answered + this.#depth) & this.#mask, answered);
    }
    return length;
  }

  /** First and last word of a piece, or its few bytes. */
  #matches(offset: number, expected: number, length: number): boolean {
    const view = this.#view;
    if (length >= 4) {
      const last = length - 4;
      return (
        view.getInt32(offset, true) === view.getInt32(expected, true) &&
        view.getInt32(offset + last, true) === view.getInt32(expected + last, true)
      );
    }
    for (let i = 0; i < length; i++) {
      if (view.getUint8(offset + i) !== view.getUint8(expected + i)) return false;
    }
    return true;
  }

  /** Sends `count` messages that begin with `message` of the pool, behind those that are owed. */
  #send(c: Connection, k: number, message: number, count: number): void {
    const owed = this.#owed[k]!;
    const first = (message - owed) & this.#mask;
    const bytes = (owed + count) * this.#size;
    const sent = c.send(this.#base + first * this.#size, bytes);
    this.#owed[k] = sent ? 0 : owed + count;
  }

  #drained(c: Connection): void {
    const k = c.state as number;
    const owed = this.#owed[k]!;
    if (owed === 0 || this.#pool.hasEnded) return;
    this.#send(c, k, (this.#awaited[k]! + this.#depth) & this.#mask, 0);
  }
}

/** Pseudo-random bytes (xorshift32), so that the answer to another message does not match. */
function fillPool(
  view: DataView,
  base: number,
  messages: number,
  repeated: number,
  size: number,
): void {
  let x = 0x9e3779b9 | 0;
  const bytes = messages * size;
  for (let i = 0; i < bytes; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    view.setUint8(base + i, x & 0xff);
  }
  for (let i = 0; i < repeated * size; i++) {
    view.setUint8(base + bytes + i, view.getUint8(base + i));
  }
}

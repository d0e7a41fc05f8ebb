/**
 * Echo client with many open connections, few of them busy at a time: the paper's Fig. 4.
 *
 * - Opens `connections`, keeps `window` messages in flight, and gives each next one to the
 *   connection whose turn it is, so that every connection is used as often as every other, and all
 *   state is cold when it is touched.
 * - The run ends only when every connection has answered at least once (`answered`): open means
 *   alive.
 * - 16,000 local ports a server port: connection k uses server port `port` + floor(k / 16,000).
 *
 * Application module: the report is a `load` (src/load/result/result.ts) with `answered` and
 * `openSeconds`.
 */
import type { Connection, Handlers, Ix } from '../../src/libix/index.ts';
import { Measurement } from '../../src/load/closed/measurement.ts';
import { type EchoOptions, echoOptions } from '../../src/load/closed/options.ts';
import type { LoadResult } from '../../src/load/result/result.ts';

export const PORTS_PER_SERVER_PORT = 16_000;
const FIRST_PORT = 2000;
/** Handshakes in progress: below every peer's accept backlog. */
const OPENING_MAX = 256;
const START_DELAY_US = 50_000;
/** Longest time until all have answered, after the measurement. */
const SWEEP_US = 20_000_000;
const WORD = 4;
const NONE = -1;

export default function app(ix: Ix, options: Record<string, string>): void {
  const { window, ...echo } = options;
  new ManyClient(ix, echoOptions(echo), Number(window)).open();
}

class ManyClient {
  readonly #ix: Ix;
  readonly #options: EchoOptions;
  readonly #window: number;
  readonly #base: number;
  readonly #measurement: Measurement;
  readonly #handlers: Handlers;
  readonly #connections: Connection[] = [];
  /**
   * Per connection: its slot of the window, or NONE; bytes of the answer; whether it ever answered.
   */
  readonly #slots: Int32Array;
  readonly #got: Int32Array;
  readonly #hasAnswered: Uint8Array;
  #answered = 0;
  #opened = 0;
  #next = 0;
  #startMs = 0;
  #openSeconds = 0;
  #result: LoadResult | undefined;
  #hasEnded = false;

  constructor(ix: Ix, options: EchoOptions, window: number) {
    const { connections, size } = options;
    this.#ix = ix;
    this.#options = options;
    this.#window = Math.min(window, connections);
    this.#base = ix.alloc(size, 64);
    for (let i = 0; i < size; i++) ix.u8[this.#base + i] = (i * 167 + 13) & 255;
    this.#measurement = new Measurement(ix, { ...options, connections: this.#window, depth: 1 });
    this.#slots = new Int32Array(connections).fill(NONE);
    this.#got = new Int32Array(connections);
    this.#hasAnswered = new Uint8Array(connections);
    this.#handlers = {
      opened: () => this.#onOpened(),
      received: (c, offset, length) => this.#received(c, offset, length),
      ended: (c) => this.#fail(`the server closed connection ${c.state}`),
      closed: (c, reason) => this.#fail(`connection ${c.state} ended, reason ${reason}`),
    };
  }

  open(): void {
    const { openMs, connections } = this.#options;
    this.#ix.timer(openMs * 1000, () => {
      if (this.#opened === connections) return;
      this.#fail(`${this.#opened} of ${connections} connections are open after ${openMs} ms`);
    });
    this.#ix.timer(START_DELAY_US, () => {
      this.#startMs = performance.now();
      this.#connect();
    });
  }

  #connect(): void {
    const { host, port } = this.#options;
    const k = this.#connections.length;
    const serverPort = port + Math.floor(k / PORTS_PER_SERVER_PORT);
    const localPort = FIRST_PORT + (k % PORTS_PER_SERVER_PORT);
    const c = this.#ix.connect(host, serverPort, this.#handlers, { localPort });
    c.state = k;
    this.#connections.push(c);
  }

  #onOpened(): void {
    this.#opened = (this.#opened + 1) | 0;
    if (this.#hasEnded) return;
    const { connections } = this.#options;
    // The first one alone: the others would wait for its ARP in a queue that is too short for all.
    const wanted = Math.min(connections, this.#opened + OPENING_MAX);
    while (this.#connections.length < wanted) this.#connect();
    if (this.#opened === connections) this.#start();
  }

  #start(): void {
    this.#openSeconds = (performance.now() - this.#startMs) / 1000;
    for (let slot = 0; slot < this.#window; slot++) {
      this.#measurement.sent(slot);
      this.#sendNext(slot);
    }
    this.#measurement.begin((result) => {
      this.#result = { ...result, connections: this.#options.connections };
      this.#ix.timer(SWEEP_US, () => {
        this.#fail(`${this.#answered} of ${this.#options.connections} connections answered`);
      });
      this.#finishWhenSwept();
    });
  }

  /** The connection whose turn it is and that is not busy. */
  #sendNext(slot: number): void {
    let k = this.#next;
    while (this.#slots[k] !== NONE) k = k + 1 === this.#slots.length ? 0 : k + 1;
    this.#next = k + 1 === this.#slots.length ? 0 : k + 1;
    this.#slots[k] = slot;
    this.#connections[k]!.send(this.#base, this.#options.size);
  }

  #received(c: Connection, offset: number, length: number): number {
    if (this.#hasEnded) return length;
    const k = c.state as number;
    const got = this.#got[k]!;
    const { size } = this.#options;
    const slot = this.#slots[k]!;
    const view = this.#ix.view;
    const isFirstWrong =
      length >= WORD && view.getInt32(offset, true) !== view.getInt32(this.#base + got, true);
    if (slot === NONE || got + length > size || isFirstWrong) {
      this.#fail('the answer is not what was sent');
      return length;
    }
    if (got + length < size) {
      this.#got[k] = got + length;
      return length;
    }
    this.#got[k] = 0;
    this.#slots[k] = NONE;
    if (this.#hasAnswered[k] === 0) {
      this.#hasAnswered[k] = 1;
      this.#answered = (this.#answered + 1) | 0;
      this.#finishWhenSwept();
    }
    this.#measurement.turn(slot);
    this.#sendNext(slot);
    return length;
  }

  #finishWhenSwept(): void {
    if (this.#result === undefined || this.#hasEnded) return;
    if (this.#answered < this.#options.connections) return;
    this.#hasEnded = true;
    const { size } = this.#options;
    const more = { answered: this.#answered, openSeconds: this.#openSeconds, size };
    this.#ix.report({ ...this.#result, ...more });
  }

  #fail(message: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#ix.report({ kind: 'load-failed', message });
  }
}

/**
 * Just enough of libix to run a load application without a network, under virtual time.
 *
 * - The server is a function on bytes: what a connection sends goes in, what comes out is delivered
 *   back in random pieces; what the application does not consume comes again, contiguous, as libix
 *   promises.
 * - A send is refused with probability `refuse`, but only while something of the connection is on
 *   the way, since `drained` follows then.
 */
import type { Connection, Handlers, Ix } from '../../src/libix/index.ts';
import { isLoadReport } from '../../src/load/result/result.ts';

const ARENA_BYTES = 32 * 2 ** 20;
const RECEIVE_BYTES = 2 ** 20;
const STEP_US = 100;

/** Takes what has arrived and returns the answer; keeps what is incomplete by itself. */
export type FakeServer = () => (bytes: Buffer) => Buffer;

export interface FakeOptions {
  random: () => number;
  server: FakeServer;
  refuse?: number;
  /** Longest piece that is delivered at once. */
  pieceBytes?: number;
}

interface FakeConnection {
  state: unknown;
  handlers: Handlers;
  answer: (bytes: Buffer) => Buffer;
  sent: Buffer[];
  /** Answered, not delivered yet; `held` was delivered and not consumed. */
  waiting: Buffer;
  held: Buffer;
  onTheWay: boolean;
  isClosed: boolean;
}

export class FakeIx {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly view: DataView;
  readonly reports: unknown[] = [];
  readonly connections: FakeConnection[] = [];
  refusals = 0;
  readonly #batchEnds: (() => void)[] = [];
  #nextFree = RECEIVE_BYTES;
  #us = 0x7fffff00; // passes 2^31 at once
  #timers: { dueUs: number; callback: () => void }[] = [];
  #elapsedUs = 0;
  readonly #options: FakeOptions;

  constructor(options: FakeOptions) {
    const buffer = new ArrayBuffer(ARENA_BYTES);
    this.#options = options;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.view = new DataView(buffer);
  }

  get ix(): Ix {
    return this as unknown as Ix;
  }

  alloc(bytes: number, alignment = 8): number {
    const offset = Math.ceil(this.#nextFree / alignment) * alignment;
    this.#nextFree = offset + bytes;
    if (this.#nextFree > ARENA_BYTES) throw new Error('fake arena full');
    return offset;
  }

  nowUs(): number {
    return this.#us | 0;
  }

  /** Virtual time since the start, milliseconds: a generator's clock. */
  readonly clockMs = (): number => this.#elapsedUs / 1000;

  onBatchEnd(callback: () => void): void {
    this.#batchEnds.push(callback);
  }

  keepTurning(): void {}

  /** Between two steps so much time passes, unless something is on the way. */
  rest(us: number): void {
    this.#restUs = us;
    this.rests.push(us);
  }
  #restUs = 0;
  readonly rests: number[] = [];
  steps = 0;

  timer(delayUs: number, callback: () => void): void {
    this.#timers.push({ dueUs: this.#elapsedUs + delayUs, callback });
  }

  report(value: unknown): void {
    this.reports.push(JSON.parse(JSON.stringify(value)));
  }

  connect(_address: string, _port: number, handlers: Handlers): Connection {
    const c: FakeConnection = {
      state: undefined,
      handlers,
      answer: this.#options.server(),
      sent: [],
      waiting: Buffer.alloc(0),
      held: Buffer.alloc(0),
      onTheWay: false,
      isClosed: false,
    };
    this.connections.push(c);
    const send = (offset: number, length: number): boolean => this.#send(c, offset, length);
    const close = () => (c.isClosed = true);
    const connection = Object.assign(c, { send, write: send, close, abort: close });
    this.timer(STEP_US, () => handlers.opened?.(connection as unknown as Connection));
    return connection as unknown as Connection;
  }

  #send(c: FakeConnection, offset: number, length: number): boolean {
    const isRefused = this.#options.random() / 2 ** 32 < (this.#options.refuse ?? 0);
    if (c.isClosed || (isRefused && c.onTheWay)) {
      this.refusals++;
      return false;
    }
    c.sent.push(Buffer.from(this.u8.subarray(offset, offset + length)));
    c.onTheWay = true;
    return true;
  }

  /** Runs until there is a report that ends a run, or `limitUs` of virtual time have passed. */
  run(limitUs = 60_000_000): void {
    while (!isLoadReport(this.reports.at(-1)) && this.#elapsedUs < limitUs) this.step();
  }

  step(): void {
    const isQuiet = this.connections.every(
      ({ sent, waiting }) => sent.length + waiting.length === 0,
    );
    const us = isQuiet ? Math.max(STEP_US, this.#restUs) : STEP_US;
    this.#restUs = 0;
    this.steps++;
    this.#elapsedUs += us;
    this.#us += us;
    const due = this.#timers.filter(({ dueUs }) => dueUs <= this.#elapsedUs);
    this.#timers = this.#timers.filter(({ dueUs }) => dueUs > this.#elapsedUs);
    for (const { callback } of due) callback();
    for (const c of this.connections) if (!c.isClosed) this.#serve(c);
    for (const callback of this.#batchEnds) callback();
  }

  #serve(c: FakeConnection): void {
    const requests = Buffer.concat(c.sent.splice(0));
    c.waiting = Buffer.concat([c.waiting, c.answer(requests)]);
    const { random, pieceBytes = 4096 } = this.#options;
    const connection = c as unknown as Connection;
    while (c.waiting.length > 0 && random() % 8 !== 0) {
      const length = Math.min(c.waiting.length, 1 + (random() % pieceBytes));
      const piece = Buffer.concat([c.held, c.waiting.subarray(0, length)]);
      c.waiting = c.waiting.subarray(length);
      const offset = random() % 4096; // any alignment
      this.u8.set(piece, offset);
      const consumed = c.handlers.received(connection, offset, piece.length);
      c.held = piece.subarray(consumed);
      this.u8.fill(0xdd, offset, offset + piece.length);
    }
    if (c.onTheWay && c.sent.length === 0) {
      c.onTheWay = false;
      c.handlers.drained?.(connection);
    }
  }
}

/**
 * NetPIPE's client on libix: one connection, messages of one size to and fro, for many sizes in
 * turn.
 *
 * - A message begins with its length. Every answer is checked: its length, its first and its last
 *   word.
 * - Some exchanges of the first size to get warm; then per size a few unmeasured, and `msPerSize`
 *   milliseconds of round trips, each timed by performance.now(); the report has the median of each
 *   size.
 *
 * Application module: the report is a `load` with `sizes`; the other end is bench/apps/netpipe.ts
 * or peers/netpipe.c.
 */
import type { Connection, Ix } from '../../src/libix/index.ts';
import { Histogram } from '../../src/load/result/histogram.ts';

const UNMEASURED = 20;
/** At the very first, so that no size pays for V8's compilers. */
const WARM_MS = 400;
const SAMPLES_MIN = 3;
const START_DELAY_US = 50_000;
const WORD = 4;

export interface NetpipeSize {
  size: number;
  rttNs: number;
  exchanges: number;
}

export default function app(ix: Ix, options: Record<string, string>): void {
  const sizes = options['sizes']!.split(' ').map(Number);
  new NetpipeClient(ix, sizes, Number(options['msPerSize'])).open(
    options['host']!,
    Number(options['port']),
  );
}

class NetpipeClient {
  readonly #ix: Ix;
  readonly #sizes: readonly number[];
  readonly #msPerSize: number;
  readonly #base: number;
  readonly #histogram = new Histogram(1);
  readonly #results: NetpipeSize[] = [];
  /** [sent, start of this size], milliseconds. */
  readonly #times = new Float64Array(2);
  #warmUntilMs = 0;
  #turn = 0;
  #size = 0;
  #got = 0;
  #exchanges = 0;
  #hasEnded = false;

  constructor(ix: Ix, sizes: readonly number[], msPerSize: number) {
    this.#ix = ix;
    this.#sizes = sizes;
    this.#msPerSize = msPerSize;
    this.#base = ix.alloc(Math.max(...sizes), 64);
  }

  open(host: string, port: number): void {
    const gone = () => this.#fail('the server closed the connection');
    this.#ix.timer(START_DELAY_US, () => {
      this.#ix.connect(host, port, {
        opened: (c) => this.#begin(c),
        received: (c, offset, length) => this.#received(c, offset, length),
        ended: gone,
        closed: gone,
      });
    });
  }

  #begin(c: Connection): void {
    if (this.#turn === 0) this.#warmUntilMs = performance.now() + WARM_MS;
    this.#size = this.#sizes[this.#turn]!;
    this.#exchanges = -UNMEASURED;
    this.#histogram.reset();
    this.#send(c, performance.now());
  }

  /** First and last word are the size: the answer must have them too. */
  #send(c: Connection, nowMs: number): void {
    this.#ix.view.setInt32(this.#base + this.#size - WORD, this.#size, true);
    this.#ix.view.setInt32(this.#base, this.#size, true);
    this.#times[0] = nowMs;
    if (!c.send(this.#base, this.#size)) this.#fail('a message could not be sent');
  }

  #received(c: Connection, offset: number, length: number): number {
    if (this.#hasEnded) return length;
    const view = this.#ix.view;
    if (this.#got === 0 && length < WORD) return 0;
    const after = this.#got + length;
    const isWhole = after === this.#size;
    const first = this.#got > 0 || view.getInt32(offset, true) === this.#size;
    const last =
      !isWhole || length < WORD || view.getInt32(offset + length - WORD, true) === this.#size;
    if (after > this.#size || !first || !last) {
      this.#fail('the answer is not what was sent');
      return length;
    }
    this.#got = isWhole ? 0 : after;
    if (isWhole) this.#whole(c);
    return length;
  }

  #whole(c: Connection): void {
    const nowMs = performance.now();
    if (nowMs < this.#warmUntilMs) return this.#send(c, nowMs);
    if (this.#exchanges === 0) this.#times[1] = this.#times[0]!;
    if (this.#exchanges >= 0) this.#histogram.record(((nowMs - this.#times[0]!) * 1e6) | 0);
    this.#exchanges = (this.#exchanges + 1) | 0;
    const isOver = this.#exchanges >= SAMPLES_MIN && nowMs - this.#times[1]! >= this.#msPerSize;
    if (!isOver) return this.#send(c, nowMs);
    this.#results.push({
      size: this.#size,
      rttNs: this.#histogram.percentile(50),
      exchanges: this.#exchanges,
    });
    this.#turn++;
    if (this.#turn < this.#sizes.length) this.#begin(c);
    else this.#finish(c);
  }

  #finish(c: Connection): void {
    this.#hasEnded = true;
    this.#ix.report({ kind: 'load', sizes: this.#results });
    c.close();
  }

  #fail(message: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#ix.report({ kind: 'load-failed', message: `netpipe, ${this.#size} bytes: ${message}` });
  }
}

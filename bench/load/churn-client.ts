/**
 * Echo client that keeps N connections and gives each of them up after `messages` messages: the
 * paper's Fig. 3b.
 *
 * - One message in flight per connection. After its last answer a connection is reset (RST, as the
 *   paper's clients do: no TIME-WAIT on either side) and another one opened in its place in the
 *   same batch.
 * - The first message of a connection is timed from the connect. Every answer is checked: length,
 *   first and last word.
 *
 * Application module: the report is a `load` (src/load/result/result.ts) with `opened`, the
 * connections of the measured time.
 */
import { DEAD } from '../../src/gate/abi.ts';
import type { Connection, Handlers, Ix } from '../../src/libix/index.ts';
import { Measurement } from '../../src/load/closed/measurement.ts';
import { type EchoOptions, echoOptions } from '../../src/load/closed/options.ts';

const START_DELAY_US = 50_000;
const WORD = 4;

export default function app(ix: Ix, options: Record<string, string>): void {
  const { messages, ...echo } = options;
  new ChurnClient(ix, echoOptions(echo), Number(messages)).open();
}

class ChurnClient {
  readonly #ix: Ix;
  readonly #options: EchoOptions;
  readonly #messages: number;
  readonly #base: number;
  readonly #measurement: Measurement;
  readonly #handlers: Handlers;
  /** Per place: messages answered on its connection, and bytes of the current answer. */
  readonly #answered: Int32Array;
  readonly #got: Int32Array;
  /** Connections opened, in the measured time. */
  #opened = 0;
  #isStarted = false;
  #hasEnded = false;

  constructor(ix: Ix, options: EchoOptions, messages: number) {
    const { connections, size } = options;
    this.#ix = ix;
    this.#options = options;
    this.#messages = messages;
    this.#base = ix.alloc(size, 64);
    for (let i = 0; i < size; i++) ix.u8[this.#base + i] = (i * 167 + 13) & 255;
    this.#measurement = new Measurement(ix, options);
    this.#answered = new Int32Array(connections);
    this.#got = new Int32Array(connections);
    this.#handlers = {
      pooled: true,
      opened: (c) => {
        if (!this.#isStarted) this.#start();
        c.send(this.#base, size);
      },
      received: (c, offset, length) => this.#received(c, offset, length),
      ended: () => this.#fail('the server closed a connection'),
      closed: (_c, reason) => {
        if (reason !== DEAD.aborted) this.#fail(`a connection ended, reason ${reason}`);
      },
    };
  }

  open(): void {
    this.#ix.timer(START_DELAY_US, () => this.#connect(0));
  }

  /** The first connection is there, and so is the server's MAC address. */
  #start(): void {
    this.#isStarted = true;
    for (let k = 1; k < this.#options.connections; k++) {
      this.#measurement.sent(k);
      this.#connect(k);
    }
    this.#measurement.begin((result) => {
      this.#hasEnded = true;
      this.#ix.report({ ...result, opened: this.#opened, size: this.#options.size });
    });
  }

  #connect(place: number): void {
    this.#answered[place] = this.#got[place] = 0;
    if (this.#measurement.isMeasuring) this.#opened = (this.#opened + 1) | 0;
    const { host, port } = this.#options;
    this.#ix.connect(host, port, this.#handlers).state = place;
  }

  #received(c: Connection, offset: number, length: number): number {
    if (this.#hasEnded) return length;
    const place = c.state as number;
    const { size } = this.#options;
    const got = this.#got[place]!;
    if (got + length > size || !this.#matches(offset, this.#base + got, length)) {
      this.#fail('the answer is not what was sent');
      return length;
    }
    if (got + length < size) {
      this.#got[place] = got + length;
      return length;
    }
    this.#got[place] = 0;
    this.#measurement.turn(place);
    this.#answered[place] = this.#answered[place]! + 1;
    if (this.#answered[place]! < this.#messages) c.send(this.#base, size);
    else {
      c.abort();
      this.#connect(place);
    }
    return length;
  }

  #matches(offset: number, expected: number, length: number): boolean {
    if (length < WORD) return true; // a piece too short to tell
    const view = this.#ix.view;
    const last = length - WORD;
    return (
      view.getInt32(offset, true) === view.getInt32(expected, true) &&
      view.getInt32(offset + last, true) === view.getInt32(expected + last, true)
    );
  }

  #fail(message: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#ix.report({ kind: 'load-failed', message });
  }
}

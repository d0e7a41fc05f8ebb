/**
 * The connections of a load client: opened a few at a time, reopened one by one, and the run's one
 * end.
 *
 * - Numbers the connections 0..N-1 (`c.state`); `onAllOpen` comes once, when all of them are open.
 * - `reopen` resets connection k (a FIN would leave 60 s of TIME-WAIT behind each) and opens it
 *   again; `onReopened` comes when it is open. What the old one still hears has state -1.
 * - Whatever goes wrong ends the run with one `load-failed` report; `finish` ends it with a result.
 *   Only the first of them counts; every connection is closed then.
 *
 * Used by generator.ts, echo-client.ts and kv-client.ts, at start-up and at the end, never per
 * message.
 */
import { DEAD } from '../../gate/abi.ts';
import type { Connection, Handlers } from '../../libix/index.ts';
import type { LoadHost } from '../exchange/exchange.ts';
import type { LoadResult } from '../result/result.ts';
import type { GeneratorOptions } from './options.ts';

/**
 * Frames flow a moment after an application starts (the control plane opens the way when all is
 * ready).
 */
const START_DELAY_US = 50_000;
/** Handshakes in progress at a time: below every peer's accept backlog. */
const OPENING_MAX = 128;

type PoolOptions = Pick<GeneratorOptions, 'host' | 'port' | 'connections' | 'openMs'>;

/** State of a connection that another one has taken the place of. */
const REPLACED = -1;

const REASONS = Object.entries(DEAD);

export class ClientPool {
  readonly connections: Connection[] = [];
  readonly #ix: Pick<LoadHost, 'timer' | 'connect' | 'report'>;
  readonly #options: PoolOptions;
  readonly #handlers: Handlers;
  readonly #onAllOpen: () => void;
  readonly #onReopened: (k: number) => void;
  #opened = 0;
  #reopened = 0;
  #hasEnded = false;

  /**
   * `received` and `drained` are the client's; everything else of a connection's life is handled
   * here.
   */
  constructor(
    ix: Pick<LoadHost, 'timer' | 'connect' | 'report'>,
    options: PoolOptions,
    handlers: Pick<Handlers, 'received' | 'drained'>,
    onAllOpen: () => void,
    onReopened: (k: number) => void = () => {},
  ) {
    this.#ix = ix;
    this.#options = options;
    this.#onAllOpen = onAllOpen;
    this.#onReopened = onReopened;
    this.#handlers = {
      ...handlers,
      pooled: true,
      opened: (c) => this.#onOpened(c.state as number),
      ended: (c) => {
        if (c.state !== REPLACED) this.fail(`the server closed connection ${c.state}`);
      },
      closed: (c, reason) => {
        const why = REASONS.find(([, code]) => code === reason)?.[0] ?? reason;
        if (c.state !== REPLACED) this.fail(`connection ${c.state} ended: ${why}`);
      },
    };
  }

  get reopenedCount(): number {
    return this.#reopened;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Opens them all. The run fails when `isReady` is not true `openMs` from now. */
  open(isReady: () => boolean): void {
    const { openMs, connections } = this.#options;
    this.#ix.timer(openMs * 1000, () => {
      if (isReady()) return;
      this.fail(
        `not ready after ${openMs} ms: ${this.#opened} of ${connections} connections are open`,
      );
    });
    this.#ix.timer(START_DELAY_US, () => {
      this.#connect();
    });
  }

  fail(message: string): void {
    if (this.#hasEnded) return;
    const { host, port } = this.#options;
    this.#end();
    this.#ix.report({ kind: 'load-failed', message: `${host}:${port}: ${message}` });
  }

  finish(result: LoadResult): void {
    if (this.#hasEnded) return;
    this.#end();
    this.#ix.report(result);
  }

  reopen(k: number): void {
    const old = this.connections[k]!;
    old.state = REPLACED;
    old.abort();
    const { host, port } = this.#options;
    const c = this.#ix.connect(host, port, this.#handlers);
    c.state = k;
    this.connections[k] = c;
  }

  #connect(): void {
    const c = this.#ix.connect(this.#options.host, this.#options.port, this.#handlers);
    c.state = this.connections.length;
    this.connections.push(c);
  }

  #onOpened(k: number): void {
    if (this.#hasEnded) return;
    const { connections } = this.#options;
    if (this.#opened === connections) {
      this.#reopened++;
      this.#onReopened(k);
      return;
    }
    this.#opened++;
    // The first one alone: the SYNs of the others would wait for its ARP in a queue too short for
    // all (and come again after a second).
    const wanted = Math.min(connections, this.#opened + OPENING_MAX);
    while (this.connections.length < wanted) this.#connect();
    if (this.#opened === connections) this.#onAllOpen();
  }

  #end(): void {
    this.#hasEnded = true;
    for (const c of this.connections) c.close();
  }
}

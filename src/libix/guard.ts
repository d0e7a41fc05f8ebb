/**
 * The border between libix and the application's code: handlers are called through here, and no exception passes.
 *
 * - An exception is reported once on standard error, with its stack; its connection is reset. libix goes on as if the
 *   handler had returned, so that nothing of its own is ever left half done.
 * - A fault that comes with every message must not drown the others: REPORTS_MAX a second, then how many were left out.
 * - One class for all handlers: libix's calls have one target each, which V8 inlines.
 *
 * Called by ix.ts, requests.ts and udp.ts; `GuardedHandlers` by session.ts.
 */
import { inspect } from 'node:util';
import type { Connection, Handlers } from './connection.ts';

const REPORTS_MAX = 10;
const SECOND_MS = 1000;

function describe(error: unknown): string {
  try {
    return inspect(error);
  } catch {
    return 'an exception that cannot be shown';
  }
}

/** Says on standard error what the application threw. */
export class Faults {
  #sinceMs = 0;
  #reports = 0;

  report(error: unknown): void {
    const now = performance.now();
    if (now - this.#sinceMs >= SECOND_MS) {
      const silent = this.#reports - REPORTS_MAX;
      if (silent > 0)
        process.stderr.write(`ix: application error: ${silent} more were not shown\n`);
      this.#sinceMs = now;
      this.#reports = 0;
    }
    this.#reports += 1;
    if (this.#reports > REPORTS_MAX) return;
    process.stderr.write(`ix: application error: ${describe(error)}\n`);
  }

  /** Calls what belongs to no connection. */
  guard<T>(callback: (value: T) => void, value: T): void {
    try {
      callback(value);
    } catch (error) {
      this.report(error);
    }
  }
}

/** An application's handlers as libix calls them. They are looked up at each call: it may change them. */
export class GuardedHandlers implements Handlers {
  readonly #own: Handlers;
  readonly #faults: Faults;

  constructor(own: Handlers, faults: Faults) {
    this.#own = own;
    this.#faults = faults;
  }

  opened(c: Connection): void {
    try {
      this.#own.opened?.(c);
    } catch (error) {
      this.#failed(c, error);
    }
  }

  received(c: Connection, offset: number, length: number): number {
    try {
      return this.#own.received(c, offset, length);
    } catch (error) {
      this.#failed(c, error);
      return length; // nobody will read it any more
    }
  }

  urgent(c: Connection, bytes: number): void {
    try {
      this.#own.urgent?.(c, bytes);
    } catch (error) {
      this.#failed(c, error);
    }
  }

  released(c: Connection, tag: number): void {
    try {
      this.#own.released?.(c, tag);
    } catch (error) {
      this.#failed(c, error);
    }
  }

  drained(c: Connection): void {
    try {
      this.#own.drained?.(c);
    } catch (error) {
      this.#failed(c, error);
    }
  }

  ended(c: Connection): void {
    try {
      if (this.#own.ended) this.#own.ended(c);
      else c.close();
    } catch (error) {
      this.#failed(c, error);
    }
  }

  closed(c: Connection, reason: number): void {
    try {
      this.#own.closed?.(c, reason);
    } catch (error) {
      this.#failed(c, error);
    }
  }

  #failed(c: Connection, error: unknown): void {
    this.#faults.report(error);
    c.abort();
  }
}

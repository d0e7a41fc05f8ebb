/**
 * The border between libix and the application's code: handlers are called through here, and no
 * exception passes.
 *
 * - An exception is reported once on standard error, with its stack; its connection is reset. libix
 *   goes on as if the handler had returned, so that nothing of its own is ever left half done.
 * - So does a result that cannot be: `received` returns how many bytes it consumed, and a Promise,
 *   a fraction or a number beyond what it was given would leave its connection standing still
 *   without a word.
 * - A fault that comes with every message must not drown the others: REPORTS_MAX a second, then how
 *   many were left out. One that peers can cause as often as they like is told once in QUIET_MS
 *   (`Seldom`).
 * - One class for all handlers: libix's calls have one target each, which V8 inlines.
 *
 * Called by ix.ts, inbox.ts, reports.ts, requests.ts and udp.ts; `GuardedHandlers` by session.ts.
 */
import { inspect } from 'node:util';
import type { Connection } from './connection.ts';
import type { Handlers } from './handlers.ts';

const REPORTS_MAX = 10;
const SECOND_MS = 1000;
const QUIET_MS = 10_000;
/** A result that is wrong is shown up to here. */
const SHOWN_MAX = 60;

export function describe(error: unknown): string {
  try {
    return inspect(error);
  } catch {
    return 'an exception that cannot be shown';
  }
}

/** Why `taken` cannot be the number of consumed bytes, and what to return instead. */
function misreturned(taken: unknown, length: number): string {
  const what = describe(taken).replace(/\s+/g, ' ').slice(0, SHOWN_MAX);
  const remedy =
    taken instanceof Promise
      ? 'it must not be async: return the count at once, and answer later with write or send'
      : 'return how many of them it has consumed';
  const said = `received was given ${length} bytes and returned ${what}`;
  return `${said}, so its connection was reset; ${remedy}`;
}

/** Says on standard error what the application threw, or did wrong. */
export class Faults {
  #sinceMs = 0;
  #reports = 0;

  report(error: unknown): void {
    if (this.#mayTell()) this.#write(describe(error));
  }

  /** One line that says what is wrong and what to do. */
  tell(line: string): void {
    if (this.#mayTell()) this.#write(line);
  }

  #mayTell(): boolean {
    const now = performance.now();
    if (now - this.#sinceMs >= SECOND_MS) {
      const silent = this.#reports - REPORTS_MAX;
      if (silent > 0) this.#write(`${silent} more were not shown`);
      this.#sinceMs = now;
      this.#reports = 0;
    }
    this.#reports += 1;
    return this.#reports <= REPORTS_MAX;
  }

  #write(text: string): void {
    process.stderr.write(`ix: application error: ${text}\n`);
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

/** One kind of fault, which is not told again for a while. */
export class Seldom {
  readonly #faults: Faults;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  tell(line: string): void {
    const now = performance.now();
    if (now - this.#toldMs < QUIET_MS) return;
    this.#toldMs = now;
    this.#faults.tell(line);
  }
}

/**
 * An application's handlers as libix calls them. They are looked up at each call: it may change
 * them.
 */
export class GuardedHandlers implements Handlers {
  readonly #own: Handlers;
  readonly #faults: Faults;

  constructor(own: Handlers, faults: Faults) {
    this.#own = own;
    this.#faults = faults;
  }

  get pooled(): boolean {
    return this.#own.pooled === true;
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
      const taken = this.#own.received(c, offset, length);
      // The first comparison also keeps those out that `|` throws at (a BigInt, a Symbol).
      if (typeof taken === 'number' && taken >= 0 && taken <= length && (taken | 0) === taken) {
        return taken;
      }
      this.#faults.tell(misreturned(taken, length));
      c.abort();
    } catch (error) {
      this.#failed(c, error);
    }
    return length; // nobody will read it any more
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

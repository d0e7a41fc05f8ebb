/**
 * The flows of a service that runs, read out of its dataplane's memory (memory.ts).
 *
 * - A row may change while it is read. It is taken when two readings, with the peer's address read
 *   between them, are the same; after TRIES it is taken as it was last, and said to be `changing`.
 * - Nothing that the dataplane has there is believed further than its size: the record says how
 *   many rows there are, at most ROWS_SHOWN are shown, and all that comes out is numbers.
 *
 * Called by cli/flows.ts. Read first: tcp/tcb.ts, net/v6/destinations.ts (tokens).
 */
import type { Tables } from '../../child/config.ts';
import { UserError } from '../../errors.ts';
import { ADDRESSES6_MAX } from '../../limits.ts';
import { isToken, ROW_WORDS as TOKEN_WORDS } from '../../net/v6/destinations.ts';
import { printable } from '../../printable.ts';
import { type FlowFacts, flowFacts, rowForm } from '../../tcp/flow-facts.ts';
import { ROW_BYTES, ROW_WORDS, STATE, TCB } from '../../tcp/tcb.ts';
import { formatIpv4 } from '../../wire/ipv4-text.ts';
import { formatIpv6 } from '../../wire/ipv6-text.ts';
import type { Instance } from './instances.ts';
import { DataplaneMemory } from './memory.ts';

export interface Flow extends FlowFacts {
  thread: number;
  local: string;
  remote: string;
  /** It was never the same twice. */
  changing?: true;
}

/** What this needs of DataplaneMemory. */
export interface Memory {
  read(thread: number, from: number, into: Int32Array): void;
}

/** Rows read at a time to find those that are in use. */
const CHUNK = 256;
const TRIES = 32;
export const ROWS_SHOWN = 1 << 20;

/** Throws UserError: not ours to read, gone, of another version. */
export function flowsOf(instance: Instance): Flow[] {
  const { app, address, tables } = instance;
  const name = `${printable(app)} at ${address}`;
  if (!tables) {
    throw new UserError('IX_NOTHING_RUNS', `${name} does not serve yet`, 'try again');
  }
  if (tables.form !== rowForm()) {
    const problem = `${name} was started by another version, whose flows cannot be read`;
    throw new UserError('IX_VERSION', problem, 'use its bin/ix, or start the service again');
  }
  const memory = new DataplaneMemory(instance);
  try {
    const found: Flow[] = [];
    for (const [thread, each] of tables.threads.entries()) {
      for (const flow of new Rows(memory, thread, each).all()) {
        if (found.length < ROWS_SHOWN) found.push(flow);
      }
    }
    return found;
  } finally {
    memory.close();
  }
}

/** CLOCK_MONOTONIC as the dataplane's clock has it. */
const nowMs = (): number => Number(BigInt.asIntN(32, process.hrtime.bigint() / 1_000_000n));

export class Rows {
  readonly #memory: Memory;
  readonly #thread: number;
  readonly #tables: Tables;

  constructor(memory: Memory, thread: number, tables: Tables) {
    this.#memory = memory;
    this.#thread = thread;
    this.#tables = tables;
  }

  *all(): Generator<Flow> {
    const { flows, flowCount } = this.#tables;
    for (let first = 0; first < flowCount; first += CHUNK) {
      const rows = new Int32Array(Math.min(CHUNK, flowCount - first) * ROW_WORDS);
      this.#read(flows + first * ROW_BYTES, rows);
      for (let i = 0; i * ROW_WORDS < rows.length; i++) {
        if (rows[i * ROW_WORDS + TCB.state] === STATE.closed) continue;
        const flow = this.#flow(first + i);
        if (flow) yield flow;
      }
    }
  }

  /** undefined: it has closed meanwhile. */
  #flow(index: number): Flow | undefined {
    let before = this.#row(index);
    for (let tries = 0; ; tries++) {
      const remote = this.#remote(before[TCB.remote]!);
      const after = this.#row(index);
      const isSame = after.every((word, i) => word === before[i]);
      before = after;
      if (!isSame && tries < TRIES) continue;
      if (after[TCB.state] === STATE.closed) return undefined;
      return {
        thread: this.#thread,
        local: this.#local(after[TCB.local]!),
        remote,
        ...flowFacts(after, after[ROW_WORDS]!, nowMs()),
        ...(!isSame && { changing: true as const }),
      };
    }
  }

  /** Its words, and behind them how often it was sent again. */
  #row(index: number): Int32Array {
    const { flows, retransmits } = this.#tables;
    const row = new Int32Array(ROW_WORDS + 1);
    this.#read(flows + index * ROW_BYTES, row.subarray(0, ROW_WORDS));
    this.#read(retransmits + index * 4, row.subarray(ROW_WORDS));
    return row;
  }

  #remote(word: number): string {
    if (!isToken(word)) return formatIpv4(word);
    const { destinations, destinationCount } = this.#tables;
    return this.#words(word <= destinationCount ? destinations + word * TOKEN_WORDS * 4 : -1);
  }

  #local(word: number): string {
    if (!isToken(word)) return formatIpv4(word);
    const { addresses } = this.#tables;
    return this.#words(word <= ADDRESSES6_MAX ? addresses + word * TOKEN_WORDS * 4 : -1);
  }

  /** '?': there can be none. */
  #words(at: number): string {
    if (at < 0) return '?';
    const words = new Int32Array(4);
    this.#read(at, words);
    return formatIpv6(words);
  }

  #read(at: number, into: Int32Array): void {
    this.#memory.read(this.#thread, at, into);
  }
}

/**
 * All flows: their rows, the handles by which applications name them, the lookup table, and the
 * lists that rows are in.
 *
 * - A handle is generation << 20 | flow; the generation moves when the flow's `dead` is emitted, so
 *   that whatever an application still says about it is BAD_HANDLE.
 * - Each list has a pair of links in the row and a bit that says whether the row is in: entering
 *   twice, and leaving what one is not in, do nothing.
 * - A row is given back only when it is closed and in no list; it is zeroed when it is taken.
 *
 * Made by tcp.ts; used by all of tcp/.
 */
import { FreeList } from '../arena/list.ts';
import { Table } from '../arena/table.ts';
import { FLOW_INDEX_BITS, GENERATION_MAX } from '../limits.ts';
import type { Environment } from '../net/both/environment.ts';
import { assert, VERIFY } from '../verify.ts';
import { FLAG, LIST, ROW_BYTES, ROW_WORDS, STATE, TCB } from './tcb.ts';

const INDEX_MASK = (1 << FLOW_INDEX_BITS) - 1;

/** A doubly linked list of rows; its links, and a bit for being in it, are fields of the row. */
export class RowList {
  head = 0;
  tail = 0;
  readonly #i32: Int32Array;
  readonly #next: number;
  readonly #prev: number;
  readonly #bit: number;

  constructor(i32: Int32Array, next: number, prev: number, bit: number) {
    this.#i32 = i32;
    this.#next = next;
    this.#prev = prev;
    this.#bit = bit;
  }

  next(row: number): number {
    return this.#i32[row + this.#next]!;
  }

  /** Appends a row unless it is in. */
  push(row: number): void {
    const i32 = this.#i32;
    const lists = i32[row + TCB.lists]!;
    if ((lists & this.#bit) !== 0) return;
    i32[row + TCB.lists] = lists | this.#bit;
    i32[row + this.#next] = 0;
    i32[row + this.#prev] = this.tail;
    if (this.tail === 0) this.head = row;
    else i32[this.tail + this.#next] = row;
    this.tail = row;
  }

  /** Takes a row out if it is in. */
  remove(row: number): void {
    const i32 = this.#i32;
    const lists = i32[row + TCB.lists]!;
    if ((lists & this.#bit) === 0) return;
    i32[row + TCB.lists] = lists & ~this.#bit;
    const next = i32[row + this.#next]!;
    const prev = i32[row + this.#prev]!;
    if (prev === 0) this.head = next;
    else i32[prev + this.#next] = next;
    if (next === 0) this.tail = prev;
    else i32[next + this.#prev] = prev;
  }
}

export class Flows {
  readonly count: number;
  readonly i32: Int32Array;
  /** Row of flow 0. */
  readonly base: number;
  /** (remote address, ports, local address) -> row. */
  readonly table: Table;
  /** How often segments of flow 0 were sent again; beside the rows, since it is rarely touched. */
  readonly retransmits: number;
  /** Flows with events to emit. */
  readonly ready: RowList;
  /** Flows with something to send. */
  readonly output: RowList;
  /** Flows whose `dead` was emitted in the last emit: their frames go in the next. */
  readonly dying: RowList;
  /** TIME-WAIT flows that nobody else knows of, oldest first: recycled when flows run out. */
  readonly timeWait: RowList;
  /** Flows that the application has closed and that are not through yet, oldest first. */
  readonly orphans: RowList;
  /** Flows in SYN-SENT. */
  readonly connecting: RowList;
  readonly #free: FreeList;

  constructor(env: Environment) {
    const { arena, limits, config } = env;
    this.count = limits.flows;
    this.i32 = arena.i32;
    this.base = arena.carve('flows', limits.flows * ROW_BYTES) >> 2;
    this.retransmits = arena.carve('retransmits', limits.flows * 4, 64) >> 2;
    this.table = new Table(arena, 'flow table', limits.flows, config.secret0, config.secret1);
    this.ready = new RowList(this.i32, TCB.readyNext, TCB.readyPrev, LIST.ready);
    this.output = new RowList(this.i32, TCB.outputNext, TCB.outputPrev, LIST.output);
    this.dying = new RowList(this.i32, TCB.listNext, TCB.listPrev, LIST.dying);
    this.timeWait = new RowList(this.i32, TCB.listNext, TCB.listPrev, LIST.timeWait);
    this.orphans = new RowList(this.i32, TCB.listNext, TCB.listPrev, LIST.orphan);
    this.connecting = new RowList(this.i32, TCB.listNext, TCB.listPrev, LIST.connecting);
    this.#free = new FreeList(arena, 'free flows', limits.flows);
    for (let flow = 0; flow < limits.flows; flow++) {
      this.i32[this.row(flow) + TCB.generation] = 1;
      this.i32[this.row(flow) + TCB.flow] = flow;
    }
  }

  row(flow: number): number {
    return this.base + Math.imul(flow, ROW_WORDS);
  }

  handle(row: number): number {
    const i32 = this.i32;
    return (i32[row + TCB.generation]! << FLOW_INDEX_BITS) | i32[row + TCB.flow]!;
  }

  /** The row of a live handle, or 0: stale, foreign, never given out. */
  resolve(handle: number): number {
    const flow = handle & INDEX_MASK;
    if (handle <= 0 || flow >= this.count) return 0;
    const row = this.row(flow);
    const i32 = this.i32;
    if (i32[row + TCB.generation] !== handle >> FLOW_INDEX_BITS) return 0;
    return (i32[row + TCB.flags]! & (FLAG.owned | FLAG.knocked)) !== 0 ? row : 0;
  }

  /** Rows that can be taken. */
  get free(): number {
    return this.#free.free;
  }

  /** A zeroed row, or 0 when none is free. */
  take(): number {
    const flow = this.#free.take();
    if (flow < 0) return 0;
    const row = this.row(flow);
    const i32 = this.i32;
    const generation = i32[row + TCB.generation]!;
    i32.fill(0, row, row + ROW_WORDS);
    i32[row + TCB.flow] = flow;
    i32[row + TCB.generation] = generation;
    i32[row + TCB.txHead] = i32[row + TCB.txTail] = i32[row + TCB.txNext] = -1;
    i32[row + TCB.listener] = -1;
    i32[this.retransmits + flow] = 0;
    return row;
  }

  /** A segment was sent again. */
  sentAgain(row: number): void {
    const cell = this.retransmits + this.i32[row + TCB.flow]!;
    this.i32[cell] = (this.i32[cell]! + 1) | 0;
  }

  /** Consumes a row that is in no list and in no table. */
  give(row: number): void {
    const i32 = this.i32;
    if (VERIFY) {
      assert(i32[row + TCB.state] === STATE.closed, 'tcp: gave a row that is not closed');
      assert(i32[row + TCB.lists] === 0, 'tcp: gave a row that is in a list');
      assert(i32[row + TCB.rxFrames] === 0, 'tcp: gave a row that holds frames');
      assert(i32[row + TCB.txSpans] === 0, 'tcp: gave a row that holds spans');
      assert(i32[row + TCB.runs] === 0, 'tcp: gave a row that has data in flight');
    }
    i32[row + TCB.flags] = 0;
    this.newGeneration(row);
    this.#free.give(i32[row + TCB.flow]!);
  }

  /** From now on every handle to this row is stale. */
  newGeneration(row: number): void {
    const i32 = this.i32;
    const generation = i32[row + TCB.generation]!;
    i32[row + TCB.generation] = generation >= GENERATION_MAX ? 1 : generation + 1;
  }
}

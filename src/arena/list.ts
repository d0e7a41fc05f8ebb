/**
 * Pools and lists of small indexes, kept in the arena; every operation is O(1).
 *
 * - `FreeList` holds the free ones of `count` indexes: last given, first taken (the warmest).
 *   `take` answers -1 when none is left. Memory is touched only as indexes come back.
 * - `IndexList` is doubly linked lists over nodes 0..nodes-1; a node is in one list at most, so it
 *   is taken out without knowing which.
 * - Under VERIFY what is given, inserted or removed twice is caught.
 *
 * Used by everything that owns control blocks, spans, sockets, values or queues.
 */
import { assert, VERIFY } from '../verify.ts';
import type { Arena } from './arena.ts';

export class FreeList {
  readonly count: number;
  readonly #i32: Int32Array;
  /** Word index of the stack of free indexes. */
  readonly #stack: number;
  /** Indexes on the stack, and the first of those that were never taken. */
  #returned = 0;
  #fresh = 0;
  /** VERIFY only: 1 while an index is free. */
  readonly #isFree: Uint8Array;

  /** All of 0..count-1 are free; 0 is taken first. */
  constructor(arena: Arena, name: string, count: number) {
    this.count = count;
    this.#i32 = arena.i32;
    this.#stack = arena.carve(name, count * 4, 64) >> 2;
    this.#isFree = new Uint8Array(VERIFY ? count : 0).fill(1);
  }

  get free(): number {
    return (this.#returned + this.count - this.#fresh) | 0;
  }

  /** An index that is now the caller's, or -1. */
  take(): number {
    let index = this.#fresh;
    if (this.#returned > 0) {
      this.#returned = (this.#returned - 1) | 0;
      index = this.#i32[this.#stack + this.#returned]!;
    } else if (index === this.count) return -1;
    else this.#fresh = (index + 1) | 0;
    if (VERIFY) {
      assert(this.#isFree[index] === 1, 'free list: took an index that was not free');
      this.#isFree[index] = 0;
    }
    return index;
  }

  /** Consumes an index. */
  give(index: number): void {
    if (VERIFY) {
      assert(index >= 0 && index < this.count, 'free list: gave an index out of range');
      assert(this.#isFree[index] === 0, 'free list: gave an index twice');
      this.#isFree[index] = 1;
    }
    this.#i32[this.#stack + this.#returned] = index;
    this.#returned = (this.#returned + 1) | 0;
  }

  /** True when every index is back. */
  allHome(): boolean {
    return this.#returned === this.#fresh;
  }
}

/** A node that is in no list points here. */
const NOWHERE = -1;

export class IndexList {
  readonly nodes: number;
  readonly lists: number;
  readonly #i32: Int32Array;
  /** Word index of (next, prev) of node 0. The lists' own heads follow as further nodes. */
  readonly #links: number;

  constructor(arena: Arena, name: string, nodes: number, lists = 1) {
    this.nodes = nodes;
    this.lists = lists;
    this.#i32 = arena.i32;
    this.#links = arena.carve(name, (nodes + lists) * 8, 64) >> 2;
    this.#i32.fill(NOWHERE, this.#links, this.#links + nodes * 2);
    for (let head = nodes; head < nodes + lists; head++) {
      this.#i32[this.#links + head * 2] = head;
      this.#i32[this.#links + head * 2 + 1] = head;
    }
  }

  isEmpty(list = 0): boolean {
    return this.#i32[this.#links + (this.nodes + list) * 2]! >= this.nodes;
  }

  /** Whether `node` is in any list. */
  isLinked(node: number): boolean {
    return this.#i32[this.#links + node * 2]! !== NOWHERE;
  }

  /** First node of a list, or -1. */
  first(list = 0): number {
    const node = this.#i32[this.#links + (this.nodes + list) * 2]!;
    return node < this.nodes ? node : -1;
  }

  /** Last node of a list, or -1. */
  last(list = 0): number {
    const node = this.#i32[this.#links + (this.nodes + list) * 2 + 1]!;
    return node < this.nodes ? node : -1;
  }

  /** The node after `node`, or -1. Read it before `node` is removed. */
  next(node: number): number {
    const after = this.#i32[this.#links + node * 2]!;
    return after < this.nodes ? after : -1;
  }

  /** Appends a node that is in no list. */
  push(node: number, list = 0): void {
    const head = this.nodes + list;
    this.#insert(node, this.#i32[this.#links + head * 2 + 1]!, head, list);
  }

  /** Prepends a node that is in no list. */
  unshift(node: number, list = 0): void {
    const head = this.nodes + list;
    this.#insert(node, head, this.#i32[this.#links + head * 2]!, list);
  }

  /** Takes a node out of the list it is in. */
  remove(node: number): void {
    const i32 = this.#i32;
    const at = this.#links + node * 2;
    const next = i32[at]!;
    const prev = i32[at + 1]!;
    if (VERIFY) {
      assert(node >= 0 && node < this.nodes, 'list: removed a node out of range');
      assert(next !== NOWHERE, 'list: removed a node that is in no list');
    }
    i32[this.#links + prev * 2] = next;
    i32[this.#links + next * 2 + 1] = prev;
    i32[at] = NOWHERE;
  }

  /** Takes the first node out of a list: the node, or -1. */
  shift(list = 0): number {
    const node = this.first(list);
    if (node >= 0) this.remove(node);
    return node;
  }

  #insert(node: number, prev: number, next: number, list: number): void {
    const i32 = this.#i32;
    const at = this.#links + node * 2;
    if (VERIFY) {
      assert(list >= 0 && list < this.lists, 'list: no such list');
      assert(node >= 0 && node < this.nodes, 'list: inserted a node out of range');
      assert(i32[at] === NOWHERE, 'list: inserted a node twice');
    }
    i32[at] = next;
    i32[at + 1] = prev;
    i32[this.#links + prev * 2] = node;
    i32[this.#links + next * 2 + 1] = node;
  }
}

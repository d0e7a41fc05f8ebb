/**
 * Virtual time: what happens when, in microseconds from the start of a run.
 *
 * - A binary heap; things of the same time happen in the order they were scheduled, so a run is
 *   repeatable.
 * - Time only moves when something is taken: an idle hour costs as much as an idle microsecond.
 */
export type Action = () => void;

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly action: Action;
}

const isEarlier = (a: Entry, b: Entry): boolean =>
  a.at < b.at || (a.at === b.at && a.order < b.order);

export class Schedule {
  /** Microseconds; an integer. */
  now = 0;
  readonly #heap: Entry[] = [];
  #order = 0;

  get count(): number {
    return this.#heap.length;
  }

  /** Time of the next action; Infinity when there is none. */
  get next(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  at(time: number, action: Action): void {
    const entry = { at: Math.max(this.now, Math.ceil(time)), order: this.#order++, action };
    const heap = this.#heap;
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isEarlier(entry, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  after(delay: number, action: Action): void {
    this.at(this.now + delay, action);
  }

  /** Takes the next action; the caller has moved `now` to its time. */
  take(): Action {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    const count = heap.length;
    if (count === 0) return first.action;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= count) break;
      if (child + 1 < count && isEarlier(heap[child + 1]!, heap[child]!)) child++;
      if (!isEarlier(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first.action;
  }
}

/**
 * Which sequence numbers have arrived: all below `next`, and islands beyond it.
 *
 * - Numbers are relative to the initial sequence number, so plain integers; intervals are [start,
 *   end).
 */
export class Intervals {
  next = 0;
  /** Starts and ends of the islands, ascending, never touching. */
  readonly #edges: number[] = [];

  add(start: number, end: number): void {
    if (end <= this.next) return;
    if (start <= this.next && this.#edges.length === 0) {
      this.next = end;
      return;
    }
    this.#insert(start, end);
    const edges = this.#edges;
    while (edges.length > 0 && edges[0]! <= this.next) {
      this.next = Math.max(this.next, edges[1]!);
      edges.splice(0, 2);
    }
  }

  #insert(start: number, end: number): void {
    const edges = this.#edges;
    let i = edges.length;
    while (i > 0 && edges[i - 2]! > end) i -= 2;
    let first = i;
    while (first > 0 && edges[first - 1]! >= start) {
      first -= 2;
      start = Math.min(start, edges[first]!);
      end = Math.max(end, edges[first + 1]!);
    }
    edges.splice(first, i - first, start, end);
  }

  /** Whether any of [start, end) has arrived. */
  overlaps(start: number, end: number): boolean {
    if (start < this.next) return true;
    const edges = this.#edges;
    for (let i = 0; i < edges.length; i += 2) {
      if (edges[i]! < end && start < edges[i + 1]!) return true;
    }
    return false;
  }

  /** Whether all of [start, end) has arrived. */
  has(start: number, end: number): boolean {
    if (end <= this.next) return true;
    const edges = this.#edges;
    for (let i = 0; i < edges.length; i += 2) {
      if (edges[i]! <= start && end <= edges[i + 1]!) return true;
    }
    return false;
  }
}

/**
 * What an application was handed of received bytes and has not given back: a queue of stretches,
 * since bytes are given back in the order they came, in pieces of any size.
 */
export class HeldSpans {
  #spans: number[] = [];

  push(offset: number, length: number): void {
    this.#spans.push(offset, length);
  }

  /** Takes `bytes` from the front; `visit` sees each piece: offset, length. */
  take(bytes: number, visit: (offset: number, length: number) => void): void {
    const spans = this.#spans;
    let i = 0;
    while (bytes > 0) {
      const part = Math.min(bytes, spans[i + 1]!);
      visit(spans[i]!, part);
      bytes -= part;
      if (part === spans[i + 1]) i += 2;
      else {
        spans[i] = spans[i]! + part;
        spans[i + 1] = spans[i + 1]! - part;
      }
    }
    if (i > 0) this.#spans = spans.slice(i);
  }
}

/**
 * Holds the event loop while a handle is in use that the program has not told to let go (`unref`),
 * as libuv's own handles do: a program ends when nothing holds it any more.
 *
 * Made by network.ts.
 */
const FOR_EVER_MS = 2 ** 30;

export class Keeper {
  readonly #timer = setInterval(() => {}, FOR_EVER_MS).unref();
  #held = 0;

  hold(): void {
    this.#held += 1;
    if (this.#held === 1) this.#timer.ref();
  }

  release(): void {
    this.#held -= 1;
    if (this.#held === 0) this.#timer.unref();
  }
}

/**
 * Calls back when handles have closed: in the event loop's closing phase, as libuv does, which is
 * behind every immediate that was asked for meanwhile.
 *
 * - The phase is only reached by closing something of the kernel's: a TCP handle without a socket,
 *   one for all that close in the same turn.
 * - That is asked for by an immediate: a turn of ours may be one itself, and then the next closing
 *   phase comes before the next immediates.
 *
 * Made by network.ts; a handle of its asks for it.
 */
import { node } from './internals.ts';
import { calledBack } from './ticks.ts';

export class Closing {
  #waiting: (() => void)[] = [];

  later(callback: () => void): void {
    this.#waiting.push(callback);
    if (this.#waiting.length > 1) return;
    setImmediate(() => {
      new node.TCP(SOCKET).close(() => {
        for (const each of this.#waiting.splice(0)) calledBack(each);
      });
    });
  }
}

/** TCPConstants.SOCKET. */
const SOCKET = 0;

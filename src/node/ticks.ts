/**
 * What Node does behind every callback from C++: ticks and promises run, and what throws goes to
 * 'uncaughtException' or ends the program.
 *
 * - libix calls back many times in one turn, all of it within one callback of Node's event loop. So
 *   each of them that called the program's code is ended here, as if it had come from the event
 *   loop: what an event's handler has put off is done before the next event, and what it writes
 *   goes out with this turn.
 * - Nothing is swallowed: `fatal` is Node's own way (napi_fatal_exception), with listeners, exit
 *   code and words as everywhere.
 *
 * Called by flows.ts and loopback.ts.
 */
import { sys } from '../native/sys.ts';
import { node } from './internals.ts';

export const fatal = (error: unknown): void => void sys.fatal(error);

/** One callback as from C++. Not for each message: it takes a closure. */
export function calledBack(call: () => void): void {
  try {
    call();
  } catch (error) {
    fatal(error);
  }
  tick();
}

export function tick(): void {
  for (;;) {
    try {
      return node.tick();
    } catch (error) {
      fatal(error);
    }
  }
}

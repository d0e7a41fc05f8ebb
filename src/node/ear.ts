/**
 * One listener of libix's, and those of the program's servers that hear by it: libix knows an
 * address and a port once, a program may listen there several times (`reusePort`, or one server
 * for each IP version).
 *
 * - The first to join opens it, the last to leave closes it; its backlog is the first one's.
 * - A connection goes to one of those who hear its IP version, each in turn.
 *
 * Called by flows.ts.
 */
import { MAPPED_V4 } from '../gate/abi.ts';
import type { Knock, Listener } from '../libix/index.ts';
import type { BindWish, Family, Knocked, Listening } from './conduit.ts';
import { calledBack } from './ticks.ts';

interface Member {
  readonly at: BindWish;
  readonly knocked: Knocked;
}

export class Ear {
  #members: readonly Member[] = [];
  #listener: Listener | undefined;
  #isUp = false;
  #turn = 0;
  readonly #close: () => void;

  /** `close` is called when the last has left. */
  constructor(close: () => void) {
    this.#close = close;
  }

  /** What it hears by, once there is somebody to hear. */
  set listener(listener: Listener) {
    this.#listener = listener;
  }

  join(at: BindWish, knocked: Knocked): Listening {
    const member = { at, knocked };
    this.#members = [...this.#members, member];
    return { isUp: this.#isUp, close: () => this.#leave(member) };
  }

  #leave(member: Member): void {
    if (!this.#members.includes(member)) return;
    this.#members = this.#members.filter((each) => each !== member);
    if (this.#members.length > 0) return;
    this.#listener?.close();
    this.#close();
  }

  /** libix has answered: 0, or -errno. */
  answered(status: number): void {
    this.#isUp = status === 0;
    for (const { knocked } of this.#members) calledBack(() => knocked.listening(status));
  }

  /** Whether anybody hears it: for libix, before it is accepted. */
  hears({ local }: Knock): boolean {
    const family = local[2] === MAPPED_V4 ? 4 : 6;
    return this.#members.some(({ at }) => isHeard(at, family));
  }

  /** Whose a connection is that came to `localAddress`. */
  whose(localAddress: string): Knocked | undefined {
    const family = localAddress.includes(':') ? 6 : 4;
    const members = this.#members.filter(({ at }) => isHeard(at, family));
    this.#turn = (this.#turn + 1) | 0;
    return members.at(this.#turn % members.length)?.knocked;
  }
}

const isHeard = ({ family, isOnly6 }: BindWish, of: Family): boolean =>
  family === of || (family === 6 && !isOnly6);

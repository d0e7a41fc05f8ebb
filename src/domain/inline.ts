/**
 * Domain inline: the application is loaded into the elastic thread. Trusted code, or code under
 * test.
 */
import { Ix, type IxHooks } from '../libix/ix.ts';
import { connectionsOf } from '../limits.ts';
import type { Domain, Side, SideParts } from './domain.ts';

class InlineDomain implements Domain {
  readonly isApart = false;
  readonly patienceUs = 0;
  readonly #ix: Ix;

  constructor(ix: Ix) {
    this.#ix = ix;
  }

  enter(): boolean {
    this.#ix.dispatch();
    return true;
  }

  goOn(): boolean {
    return true;
  }

  isBack(): boolean {
    return true;
  }
}

export interface InlineSide extends Side {
  readonly ix: Ix;
}

/** The application's side for `openThread`: an `Ix` that the elastic thread calls directly. */
export function openInlineSide(
  parts: SideParts,
  thread: number,
  hooks: Pick<IxHooks, 'report' | 'stop'>,
  pid?: number,
): InlineSide {
  const wake = (): void => {
    parts.askTurn();
    parts.wake();
  };
  const { arena, layout, limits } = parts;
  const flows = connectionsOf(limits);
  const ix = new Ix({ arena, layout, flows, thread, pid, hooks: { ...hooks, wake } });
  return { ix, domain: new InlineDomain(ix) };
}

/**
 * Domain inline: the application is loaded into the elastic thread, and its turn is a call.
 *
 * - So it is back whenever `enter` returns, and nothing stands between: an application that loops
 *   stops the stack, one that exits ends the dataplane. For trusted code, and for tests.
 */
import { Ix, type IxHooks, type IxParts } from '../libix/ix.ts';
import { connectionsOf } from '../limits.ts';
import type { Domain, Side, SideParts } from './domain.ts';

/** Always back when it has been entered; `application` is libix, or what stands in its place. */
export class InlineDomain implements Domain {
  readonly isApart = false;
  readonly patienceUs = 0;
  readonly #application: Pick<Ix, 'dispatch'>;

  constructor(application: Pick<Ix, 'dispatch'>) {
    this.#application = application;
  }

  enter(): boolean {
    this.#application.dispatch();
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
  given: Pick<IxParts, 'pid' | 'sizes'> = {},
): InlineSide {
  const wake = (): void => {
    parts.askTurn();
    parts.wake();
  };
  const { arena, layout, limits } = parts;
  const flows = connectionsOf(limits);
  const yields = (on: boolean): void => parts.yields?.(on);
  const ix = new Ix({ ...given, arena, layout, flows, thread, hooks: { ...hooks, wake, yields } });
  return { ix, domain: new InlineDomain(ix), restUs: () => ix.restUs };
}

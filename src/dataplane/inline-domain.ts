/**
 * Domain inline: the application is loaded into the elastic thread. Trusted code, or code under test.
 */
import type { Ix } from '../libix/ix.ts';
import type { Domain } from './elastic-thread.ts';

export class InlineDomain implements Domain {
  readonly #ix: Ix;

  constructor(ix: Ix) {
    this.#ix = ix;
  }

  enter(): boolean {
    this.#ix.dispatch();
    return true;
  }

  isBack(): boolean {
    return true;
  }
}

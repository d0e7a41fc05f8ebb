/**
 * Steps that take back what was done, run in reverse: once each, and every one of them even if one
 * fails.
 *
 * Called wherever the control plane makes things that a process does not lose by ending.
 */
export class Undo {
  readonly #steps: (() => void)[] = [];

  push(step: () => void): void {
    this.#steps.push(step);
  }

  run(): void {
    const step = this.#steps.pop();
    if (!step) return;
    try {
      step();
    } finally {
      this.run(); // a step that fails must not keep the others
    }
  }
}

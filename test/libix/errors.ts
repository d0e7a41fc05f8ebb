/** What libix says on standard error. */
import type { TestContext } from 'node:test';

/** From here to the end of the test. */
export function listenToErrors(t: TestContext): string[] {
  const said: string[] = [];
  t.mock.method(process.stderr, 'write', (text: string) => said.push(text) > 0);
  return said;
}

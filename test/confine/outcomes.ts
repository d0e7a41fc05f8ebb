/**
 * A reporter of node:test that says what became of each test, one line of JSON each: for mutate.ts,
 * which asks of one test whether it failed, and by itself.
 */
import type { TestEvent } from 'node:test/reporters';

export interface Outcome {
  readonly name: string;
  readonly passed: boolean;
  /** Its own code failed, not what was made ready for it. */
  readonly byItself: boolean;
  /** It was begun: what was made ready for it did not fail before. */
  readonly wasRun: boolean;
  /** The first line of the error; '' if there is none. */
  readonly why: string;
}

function outcomeOf({ type, data }: TestEvent): Outcome | undefined {
  if (type !== 'test:pass' && type !== 'test:fail') return undefined;
  const { name, details, skip } = data;
  if (details.type === 'suite' && type === 'test:pass') return undefined;
  const error = type === 'test:fail' ? (data.details.error as Error) : undefined;
  const { failureType = '' } = (error ?? {}) as { failureType?: string };
  const cause = (error?.cause ?? error) as Error | undefined;
  const why = String(cause?.message ?? cause ?? '').split('\n');
  return {
    name,
    passed: type === 'test:pass' && (skip === undefined || skip === false),
    byItself: failureType === 'testCodeFailure',
    wasRun: failureType !== 'hookFailed' && failureType !== 'cancelledByParent',
    why: why
      .filter((line) => line.trim() !== '')
      .slice(0, 6)
      .join(' '),
  };
}

export default async function* outcomes(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    const outcome = outcomeOf(event);
    if (outcome) yield `${JSON.stringify(outcome)}\n`;
  }
}

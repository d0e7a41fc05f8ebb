/**
 * A generator on ordinary sockets (kernel/main.ts), in a process that ends with this one: it makes
 * nothing that would have to be taken away.
 *
 * Called by point.ts.
 */
import { fileURLToPath } from 'node:url';
import { Inherited, startChild } from '../../control/children/child.ts';
import { UserError } from '../../errors.ts';
import type { LoadReport } from '../result/result.ts';
import type { Generating } from './point.ts';

const MAIN = fileURLToPath(new URL('../kernel/main.ts', import.meta.url));

export function runOnKernel(
  settings: Record<string, string>,
  memoryBytes: number,
  cpu: number | undefined,
  hear: (value: unknown) => void,
  reported: PromiseWithResolvers<LoadReport>,
): Generating {
  const config = { settings, memoryBytes, ...(cpu === undefined ? {} : { cpu }) };
  const child = startChild(MAIN, new Inherited(), config, hear);
  void child.ended.then((how) =>
    reported.reject(new UserError('IX_LOAD', `the generator ended: ${how}`, '')),
  );
  return { report: reported.promise, stop: child.stop };
}

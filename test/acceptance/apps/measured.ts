/**
 * Another application, measured from inside: what its isolate allocates on the JavaScript heap per
 * message.
 *
 *     ix run measured.ts module=/path/of/app.ts messages=1000000 bytes=64 ...
 *
 * - A message is `bytes` received bytes. After every `messages` of them (a window) it reports
 *   `{ kind: 'allocation', messages, bytes }`, the bytes allocated; the report's own cost is in the
 *   next window.
 * - Domain inline: the isolate is the elastic thread's, stack and libix included. Domain process:
 *   the application's.
 */
import { pathToFileURL } from 'node:url';
import { getHeapStatistics } from 'node:v8';
import type { Application, Handlers, Ix } from '../../../src/libix/index.ts';

const allocatedBytes = (): number => getHeapStatistics().total_allocated_bytes;

function counted(ix: Ix, handlers: Handlers, messages: number, size: number): Handlers {
  let left = (messages * size) | 0;
  /** In an array: a number that grows beyond 31 bits would allocate when it is stored. */
  const atStart = Float64Array.of(allocatedBytes());
  const window = (): void => {
    left = (messages * size) | 0;
    const now = allocatedBytes();
    ix.report({ kind: 'allocation', messages, bytes: now - atStart[0]! });
    atStart[0] = now;
  };
  return {
    ...handlers,
    received(c, offset, length) {
      const consumed = handlers.received(c, offset, length);
      left = (left - consumed) | 0;
      if (left <= 0) window();
      return consumed;
    },
  };
}

const measured: Application = async (ix, options) => {
  const { module, messages, bytes, ...rest } = options;
  const { default: application } = await import(pathToFileURL(module!).href);
  const listen = ix.listen.bind(ix);
  ix.listen = (port, handlers, how) =>
    listen(port, counted(ix, handlers, Number(messages), Number(bytes)), how);
  await application(ix, rest);
};

export default measured;

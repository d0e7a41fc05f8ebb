/**
 * On each elastic thread: `calls` connections to port `port` of either of `hosts`, a greeting on
 * each, and a report when all are answered or have ended without; and a listener that answers with
 * the thread's number.
 */
import type { Application } from '../../../src/libix/index.ts';

/** Not before the control plane has said that it is ready: what it prints comes in that order. */
const START_US = 1_000_000;

const callers: Application = (ix, options) => {
  const hosts = `${options['hosts']}`.split(',');
  const [port, calls] = [Number(options['port']), Number(options['calls'])];
  const block = ix.alloc(16);
  const length = Buffer.from(`thread ${ix.thread}\n`).copy(ix.u8, block);
  let answered = 0;
  let ended = 0;
  const all = hosts.length * calls;
  const call = (host: string): void => {
    ix.connect(host, port, {
      opened: (c) => {
        c.write(block, length);
      },
      received: (c, _offset, bytes) => {
        if (bytes < length) return 0;
        answered += 1;
        c.close();
        return bytes;
      },
      closed: () => {
        ended += 1;
        if (ended === all) ix.report({ thread: ix.thread, answered });
      },
    });
  };
  ix.timer(START_US, () => {
    for (const host of hosts) for (let i = 0; i < calls; i++) call(host);
  });
  ix.listen(7, {
    received: (c, _offset, bytes) => (c.write(block, length) ? bytes : 0),
  });
};

export default callers;

/**
 * Echoes, and reports how each connection ends and after how many ms of silence. Of the peer's
 * silence: `userTimeout=MS` is how long to bear it, `keepalive=IDLE,INTERVAL,COUNT` how to ask.
 */
import { DEAD } from '../../../src/gate/abi.ts';
import type { Application } from '../../../src/libix/index.ts';

const REASONS = Object.keys(DEAD);

const patient: Application = (ix, options) => {
  const [idle, interval, count] = (options['keepalive'] ?? '').split(',').map(Number);
  let heardAt = 0;
  ix.listen(7, {
    opened(c) {
      heardAt = performance.now();
      if (options['userTimeout'] !== undefined) c.userTimeout(Number(options['userTimeout']));
      if (count !== undefined) c.keepalive(idle!, interval, count);
    },
    received(c, offset, length) {
      heardAt = performance.now();
      return c.write(offset, length) ? length : 0;
    },
    closed: (_c, reason) => {
      ix.report({ reason: REASONS[reason], silentMs: Math.round(performance.now() - heardAt) });
    },
  });
};
export default patient;

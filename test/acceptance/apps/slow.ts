/**
 * Echoes, but thinks about every message for `ms` milliseconds first, holding its core all the
 * time.
 */
import type { Application } from '../../../src/libix/index.ts';

const slow: Application = (ix, options) => {
  const ms = Number(options['ms']);
  ix.listen(7, {
    received(c, offset, length) {
      const end = performance.now() + ms;
      while (performance.now() < end);
      return c.write(offset, length) ? length : 0;
    },
  });
};

export default slow;

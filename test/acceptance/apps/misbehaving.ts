/**
 * Echoes lines, and misbehaves when it is told to: `hang` never returns, `exit` ends the process,
 * `throw` from outside a handler, `fault` from inside, also when its connection closes, `crash`
 * writes to memory that is mapped read-only, `open` connects to itself as often as it can.
 */
import type { Application } from '../../../src/libix/index.ts';

const MISDEEDS = {
  hang: () => {
    for (;;);
  },
  exit: () => process.exit(7),
  fault: () => {
    throw new Error('in a handler');
  },
  throw: () => {
    setImmediate(() => {
      throw new Error('not my day');
    });
  },
};

const misbehaving: Application = (ix) => {
  ix.listen(7, {
    closed(c) {
      if (c.state === 'fault') throw new Error('at its end');
    },
    received(c, offset, length) {
      const line = Buffer.from(ix.u8.subarray(offset, offset + length))
        .toString('latin1')
        .trim();
      const misdeed = MISDEEDS[line as keyof typeof MISDEEDS];
      c.state = line;
      if (misdeed) misdeed();
      else if (line === 'crash') ix.u8[offset] = 1;
      else if (line === 'open') {
        for (let i = 0; i < 100; i++) ix.connect('10.77.0.1', 9, { received: () => 0 });
      }
      return c.write(offset, length) ? length : 0;
    },
  });
};

export default misbehaving;

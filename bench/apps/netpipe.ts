/**
 * NetPIPE's server as an application: a message begins with its length, and is answered with one of
 * the same length when all of it is here. The kernel's counterpart is peers/netpipe.c.
 *
 * - The message is gathered in memory of the connection's own, and sent from there. The next one,
 *   which overwrites it, comes when the client has all of the answer.
 */
import type { Application, Connection } from '../../src/libix/index.ts';

export const NETPIPE_PORT = 7;
const SIZE_MAX_BYTES = 4 * 2 ** 20;
/** Clients at a time: one that measures, and one that looks whether we are there. */
const CLIENTS = 4;

interface Gathered {
  buffer: number;
  got: number;
  expected: number;
}

const netpipe: Application = (ix) => {
  const copy = ix.kernels.copy;
  const free: Gathered[] = Array.from({ length: CLIENTS }, () => {
    return { buffer: ix.alloc(SIZE_MAX_BYTES, 64), got: 0, expected: 0 };
  });
  ix.listen(NETPIPE_PORT, {
    opened(c) {
      c.state = free.pop();
      if (c.state === undefined) c.abort();
    },
    received(c: Connection, offset: number, length: number): number {
      const g = c.state as Gathered;
      if (g.got === 0) {
        if (length < 4) return 0;
        g.expected = ix.view.getInt32(offset, true);
      }
      if (g.expected < 4 || g.got + length > g.expected || g.expected > SIZE_MAX_BYTES) {
        c.abort();
        return length;
      }
      copy(g.buffer + g.got, offset, length);
      g.got = (g.got + length) | 0;
      if (g.got === g.expected) {
        g.got = 0;
        c.send(g.buffer, g.expected);
      }
      return length;
    },
    closed(c) {
      if (c.state !== undefined) free.push(c.state as Gathered);
    },
  });
};

export default netpipe;

/**
 * echo: sends back what it receives (RFC 862). The smallest useful application; `options.port`
 * defaults to 7.
 *
 * Back-pressure needs no line: a peer that does not read makes its connection not `writable`, libix
 * then hands over no more of its bytes, and the peer's window closes.
 */
import type { Application, Handlers } from '../libix/index.ts';

const echo: Application = (ix, options) => {
  const handlers: Handlers = {
    pooled: true,
    received(c, offset, length) {
      return c.write(offset, length) ? length : 0;
    },
  };
  ix.listen(Number(options['port'] ?? 7), handlers);
};

export default echo;

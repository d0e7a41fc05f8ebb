/**
 * Answers with the number of the elastic thread that serves the connection, or has got the
 * datagram; ends the service when it is told `stop`.
 */
import type { Application } from '../../../src/libix/index.ts';

const S = 's'.charCodeAt(0);
const PORT = 7;

const which: Application = (ix) => {
  const block = ix.alloc(16);
  const length = Buffer.from(`thread ${ix.thread}\n`).copy(ix.u8, block);
  ix.listen(PORT, {
    received(c, offset, bytes) {
      if (ix.u8[offset] === S) ix.stop(0);
      return c.write(block, length) ? bytes : 0;
    },
  });
  ix.udp(PORT, {
    received(socket, _offset, _bytes, address, port) {
      socket.send(block, length, address, port);
    },
  });
};

export default which;

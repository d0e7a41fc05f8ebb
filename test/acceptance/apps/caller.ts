/** Speaks first: a connection and a datagram to `host`:`port`; reports what came of each. */
import { CODE, DEAD } from '../../../src/gate/abi.ts';
import type { Application } from '../../../src/libix/index.ts';

const START_US = 1_000_000;

const nameOf = (names: Record<string, number>, value: number): string =>
  Object.entries(names).find(([, each]) => each === value)?.[0] ?? `${value}`;

const caller: Application = (ix, options) => {
  const { host = '', port } = options;
  const hello = ix.text('hello');
  const socket = ix.udp(4001, {
    received: () => {},
    sent: (_socket, _bytes, code) => ix.report({ udp: nameOf(CODE, code) }),
  });
  const words = host.split('.').map(Number);
  const address = words.reduce((all, byte) => (all << 8) | byte, 0);
  // Not before the control plane has said that it is ready: what it prints comes in that order.
  ix.timer(START_US, () => {
    socket.send(hello.offset, hello.length, address, Number(port));
    ix.connect(host, Number(port), {
      opened: (c) => {
        ix.report({ tcp: 'opened' });
        c.close();
      },
      received: (_c, _offset, length) => length,
      closed: (_c, reason) => ix.report({ tcp: nameOf(DEAD, reason) }),
    });
  });
};

export default caller;

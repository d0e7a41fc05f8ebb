/**
 * libix: what an application imports.
 *
 *     export default function echo(ix: Ix): void {
 *       ix.listen(7, {
 *         received(c, offset, length) {
 *           c.write(offset, length);
 *           return length;
 *         },
 *       });
 *     }
 *
 * UDP: a datagram is lent for the time of its handler; what is sent must not change until `sent`
 * (udp.ts).
 *
 *     const socket = ix.udp(7, {
 *       received(socket, offset, length, address, port) {
 *         ix.u8.copyWithin(answer, offset, offset + length); // `answer`: from ix.alloc
 *         socket.send(answer, length, address, port); // IPv6: socket.source for address
 *       },
 *     });
 *
 * A Connection is one life: whatever is done with it after `closed` does nothing, so an answer may
 * come late. Who promises never to do so says `pooled: true` in its handlers, and connections that
 * come and go allocate nothing (echo, kv).
 *
 * An exception of a handler is reported on standard error and resets its connection; everything
 * else goes on (guard.ts). What an application does asynchronously (timers, promises, files) runs
 * between batches; an exception there, or a rejection that nobody handles, ends it as it ends every
 * Node program.
 */
export { CODE, DEAD } from '../gate/abi.ts';
export type {
  ConnectOptions,
  Ix,
  Knock,
  Listener,
  ListenOptions,
  OwnAddress,
  Span,
  Timer,
} from './application.ts';
export { IxArgumentError } from './arguments.ts';
export { type Connection, HIGH_WATER_BYTES, LOW_WATER_BYTES } from './connection.ts';
export type { Handlers } from './handlers.ts';
export { RawGate } from './raw.ts';
export type { IxCallError } from './refusals.ts';
export type { UdpHandlers, UdpSocket } from './udp.ts';
export type { Wants } from './wants.ts';

import type { Ix } from './application.ts';

/** The default export of an application module; the same module runs in both protection domains. */
export type Application = (ix: Ix, options: Record<string, string>) => void | Promise<void>;

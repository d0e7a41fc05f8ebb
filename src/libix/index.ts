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
 */
export { CODE, DEAD } from '../abi.ts';
export { Connection, type Handlers, HIGH_WATER_BYTES } from './connection.ts';
export type { ConnectOptions, Ix, ListenOptions, Span } from './ix.ts';
export { RawGate } from './raw.ts';
export type { UdpHandlers, UdpSocket } from './udp.ts';

import type { Ix } from './ix.ts';

/** The default export of an application module; the same module runs in both protection domains. */
export type Application = (ix: Ix, options: Record<string, string>) => void | Promise<void>;

/**
 * Loopback by way of two stacks: what a program says to itself goes out at one end of the bed's
 * wire and comes in at the other, as frames, and both ends still call each other 127.0.0.1 or ::1.
 *
 * - In the product loopback stays in the thread (src/node/loopback.ts), and so would nearly all of
 *   Node's own tests. Here they try src/node/flows.ts, libix and TCP.
 *
 * Called by preload.ts.
 */
import type {
  Above,
  BindWish,
  Carrier,
  Conduit,
  Endpoint,
  Knocked,
  TextEncoding,
} from '../../../src/node/conduit.ts';
import { Flows } from '../../../src/node/flows.ts';
import { type Bed, SERVER, SERVER6 } from '../bed.ts';

const LOCAL = { 4: '127.0.0.1', 6: '::1' } as const;
const REMOTE = { 4: SERVER, 6: SERVER6 } as const;

const familyOf = (address: string): 4 | 6 => (/^(?:::ffff:)?[\d.]+$/.test(address) ? 4 : 6);
const renamed = (address: string): string => (address === '' ? '' : LOCAL[familyOf(address)]);

/** A conduit whose addresses are loopback's. */
class Renamed implements Conduit {
  readonly #inner: Conduit;

  constructor(inner: Conduit) {
    this.#inner = inner;
  }

  get above(): Above | undefined {
    return this.#inner.above;
  }

  set above(above: Above | undefined) {
    this.#inner.above = above;
  }

  get queuedBytes(): number {
    return this.#inner.queuedBytes;
  }

  get localAddress(): string {
    return renamed(this.#inner.localAddress);
  }

  get localPort(): number {
    return this.#inner.localPort;
  }

  get remoteAddress(): string {
    return renamed(this.#inner.remoteAddress);
  }

  get remotePort(): number {
    return this.#inner.remotePort;
  }

  write(bytes: Uint8Array, from: number): number {
    return this.#inner.write(bytes, from);
  }

  writeText(text: string, encoding: TextEncoding): number {
    return this.#inner.writeText(text, encoding);
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  end(): void {
    this.#inner.end();
  }

  close(): void {
    this.#inner.close();
  }

  abort(): void {
    this.#inner.abort();
  }

  keepalive(idleMs: number, intervalMs?: number, count?: number): void {
    this.#inner.keepalive(idleMs, intervalMs, count);
  }

  mark(codePoint: number): void {
    this.#inner.mark(codePoint);
  }
}

const isLoopback = (address: string): boolean => address === renamed(address);

export class Through implements Carrier {
  readonly #server: Flows;
  readonly #client: Flows;

  constructor(bed: Bed) {
    this.#server = new Flows(bed.server.ix);
    this.#client = new Flows(bed.client.ix);
  }

  listen(at: BindWish, backlog: number, knocked: Knocked) {
    const address = isLoopback(at.address) ? REMOTE[at.family] : at.address;
    return this.#server.listen({ ...at, address }, backlog, {
      accepted: (conduit) => knocked.accepted(new Renamed(conduit)),
      listening: (status) => knocked.listening(status),
    });
  }

  connect(to: Endpoint, localPort: number, above: Above): Conduit | number {
    const family = familyOf(to.address);
    const there = { ...to, family, address: REMOTE[family] };
    const conduit = this.#client.connect(there, localPort, above);
    return typeof conduit === 'number' ? conduit : new Renamed(conduit);
  }
}

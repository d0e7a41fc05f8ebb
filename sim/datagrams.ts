/**
 * UDP between raw hosts: numbered datagrams in one direction, each of which may be lost or doubled
 * by the network only.
 *
 * - A datagram says which it is and how long: what arrives was sent, whole, unchanged, from where
 *   it says.
 * - Longer ones than a frame leave in fragments and arrive reassembled; if longer than a receive
 *   frame, cut and marked so.
 *
 * Called by raw-application.ts. Read first: src/net/udp.ts.
 */
import { EVENT, WORD } from '../src/gate/abi.ts';
import type { Udp } from '../src/net/udp.ts';
import { addressOf } from './address.ts';
import type { Host } from './host.ts';
import type { DatagramPlan } from './plan.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

const HEADER_BYTES = 8;

/** One plan, shared by its two ends. */
export class Datagrams {
  readonly plan: DatagramPlan;
  /** Bytes of each that was sent. */
  readonly sent: number[] = [];
  readonly arrived: number[] = [];

  constructor(plan: DatagramPlan) {
    this.plan = plan;
  }

  /** Bytes of datagram number `n`, a function of n. */
  bytesOf(n: number): number {
    const spread = Math.max(this.plan.bytesMax - HEADER_BYTES, 1);
    return HEADER_BYTES + ((Math.imul(n + 1, 0x9e3779b1) >>> 8) % spread);
  }
}

/** The sockets of one host. */
export class DatagramEnds {
  readonly #host: Host;
  readonly #world: World;
  readonly #udp: Udp;
  readonly #sockets = new Map<number, Datagrams>();
  /** Where datagrams are built: they are copied at once. */
  readonly #memory: number;

  constructor(host: Host, world: World, memory: number) {
    this.#host = host;
    this.#world = world;
    this.#udp = host.stack.udp;
    this.#memory = memory;
  }

  bind(d: Datagrams): number {
    const handle = this.#udp.bind(0, d.plan.port, 1);
    if (handle <= 0) throw new Violation(`host ${this.#host.index + 1}: udp_bind ${handle}`);
    this.#sockets.set(handle, d);
    return handle;
  }

  /** The next datagram of a plan; false: there is none. */
  send(d: Datagrams, handle: number): boolean {
    const { plan } = d;
    const n = d.sent.length;
    if (n >= plan.count) return false;
    const bytes = d.bytesOf(n);
    const { view, u8 } = this.#host.env.arena;
    view.setInt32(this.#memory, n);
    view.setInt32(this.#memory + 4, bytes);
    const body = bytes - HEADER_BYTES;
    u8.copyWithin(
      this.#memory + HEADER_BYTES,
      this.#host.pattern + n,
      this.#host.pattern + n + body,
    );
    this.#udp.send(handle, this.#memory, bytes, addressOf(plan.to), plan.port);
    u8.fill(0xdd, this.#memory, this.#memory + bytes); // it was copied
    d.sent.push(bytes);
    return true;
  }

  /** An event; false: not one of UDP's. */
  event(i32: Int32Array, w: number): boolean {
    const kind = i32[w]!;
    if (kind !== EVENT.udp_recv && kind !== EVENT.udp_sent) return false;
    const handle = i32[w + WORD.handle]!;
    const d = this.#sockets.get(handle);
    if (!d) throw new Violation(`host ${this.#host.index + 1}: a datagram for nobody`);
    if (kind === EVENT.udp_recv) this.#received(d, handle, i32, w);
    return true;
  }

  #received(d: Datagrams, handle: number, i32: Int32Array, w: number): void {
    const offset = i32[w + WORD.a]!;
    const length = i32[w + WORD.b]!;
    const { view, u8 } = this.#host.env.arena;
    const n = view.getInt32(offset);
    const bytes = view.getInt32(offset + 4);
    const isCut = i32[w + 10] !== 0;
    const name = `host ${this.#host.index + 1}: datagram ${n} on port ${d.plan.port}`;
    if (d.sent[n] === undefined) throw new Violation(`${name} was never sent`);
    if (i32[w + 8] !== addressOf(d.plan.from)) throw new Violation(`${name} is from somebody else`);
    if (bytes !== d.sent[n] || (isCut ? length >= bytes : length !== bytes)) {
      throw new Violation(`${name} has ${length} bytes of ${d.sent[n]}`);
    }
    for (let i = HEADER_BYTES; i < length; i++) {
      if (u8[offset + i] !== u8[this.#host.pattern + n + i - HEADER_BYTES]) {
        throw new Violation(`${name} is wrong at byte ${i}`);
      }
    }
    d.arrived.push(n);
    if (this.#udp.recvDone(handle, offset) !== 0) throw new Violation(`${name}: not taken back`);
    this.#world.datagrams++;
  }
}

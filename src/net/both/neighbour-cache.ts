/**
 * Neighbours on the link: which MAC address stands behind an address, and whether it still hears
 * us. The one machine of RFC 4861 7.3.2, for ARP and for neighbour discovery.
 *
 * - INCOMPLETE (asked, a few frames held) -> REACHABLE (it heard us a short while ago) -> STALE ->
 *   on its next use DELAY (the peer may ask or answer by itself) -> PROBE (asked by unicast) ->
 *   gone. Only INCOMPLETE makes a frame wait. Without a delay STALE leads to PROBE at once.
 * - Every state has an end: three questions, or a time, whoever is on the link. So what nobody
 *   confirms or uses goes by itself, and whoever makes an entry has no need to take it away.
 * - Nobody is believed unasked for more than STALE, but for one who speaks to us: proof is a
 *   message that answers ours or is meant for us, and which messages are, the protocol knows.
 * - A failure is told once, while the index still means the neighbour; its held frames go then.
 * - `transmit` consumes its frame, always.
 *
 * How one asks, how long an answer holds and what a message proves, is the protocol's
 * (`NeighbourProtocol`), which is called for a question, never for a frame.
 *
 * Called by net/v4/arp.ts and net/v6/ndp.ts, for frames by ipv4.ts and ipv6.ts. Read first: RFC
 * 4861 7.2 and 7.3; RFC 1122 2.3.2.
 */
import type { Clock } from '../../arena/clock.ts';
import type { Counters } from '../../counters.ts';
import type { Nic } from '../../nic/nic.ts';
import { assert, VERIFY } from '../../verify.ts';
import { ETH_DESTINATION, setMac } from '../../wire/ethernet.ts';
import type { Environment } from './environment.ts';
import * as row from './neighbours.ts';

/** A question a second and three of them: RFC 4861 10; RFC 1122 2.3.2.1 says the first of ARP. */
export const RETRANSMIT_MS = 1000;
const QUESTIONS_MAX = 3;
/** Whom nobody uses for so long is forgotten: coming back costs a question. */
const STALE_MS = 300_000;

/** What sets ARP and neighbour discovery apart. */
export interface NeighbourProtocol extends row.NeighbourKind {
  /** Counts those who would have been learnt, had there been room. */
  readonly tableFull: number;
  readonly reachableMs: number;
  /** How long a neighbour in use may take to confirm itself; 0: it is asked at once. */
  readonly delayMs: number;
  /** Asks whoever has an address. */
  ask(address: number): void;
  /** Asks who had it last time whether he still has. */
  probe(address: number, high: number, low: number): void;
  /** Nobody answered three times; `hasAnswered`: but somebody had before. */
  failed(neighbour: number, address: number, hasAnswered: boolean): void;
}

export class NeighbourCache {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #nic: Nic;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #protocol: NeighbourProtocol;
  readonly #table: row.Neighbours;
  #reachableMs: number;
  #retransmitMs = RETRANSMIT_MS;

  constructor(env: Environment, protocol: NeighbourProtocol) {
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#nic = env.nic;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#protocol = protocol;
    this.#table = new row.Neighbours(env, protocol);
    this.#reachableMs = protocol.reachableMs;
  }

  /** Entries in use. */
  get count(): number {
    return this.#table.used;
  }

  /** Whether `neighbour` is now the entry of `address`. Any int32 may be asked about. */
  isFor(neighbour: number, address: number): boolean {
    return this.#table.isFor(neighbour, address);
  }

  /** Index of an on-link address's entry, which is made and asked for when it is new. */
  neighbourFor(address: number): number {
    const found = this.#table.find(address);
    if (found >= 0) return found;
    if (this.#table.isFull) this.#table.replace();
    const neighbour = this.#table.make(address);
    this.#ask(this.#table.at(neighbour));
    return neighbour;
  }

  /** Consumes a frame of `length` bytes whose destination MAC is still missing. */
  transmit(neighbour: number, frame: number, length: number): void {
    const i32 = this.#i32;
    const entry = this.#table.at(neighbour);
    const state = i32[entry + row.STATE]!;
    this.#table.use(entry);
    if (state !== row.REACHABLE) {
      if (VERIFY) assert(state !== row.FREE, 'neighbours: transmit to a free entry');
      if (state === row.INCOMPLETE) {
        this.#table.hold(entry, frame, length);
        return;
      }
      if (state === row.STALE) this.#inUse(entry);
    }
    const high = i32[entry + row.MAC_HIGH]!;
    setMac(this.#view, frame + ETH_DESTINATION, high, i32[entry + row.MAC_LOW]!);
    this.#nic.transmit(frame, length);
  }

  /**
   * Advice from above: what is sent there does not seem to arrive. Its next use leads to a probe,
   * unless it was confirmed a moment ago: one a second at most (RFC 1122 2.3.2.1 (4)).
   */
  doubt(neighbour: number): void {
    const i32 = this.#i32;
    const entry = this.#table.at(neighbour);
    if (i32[entry + row.STATE] !== row.REACHABLE) return;
    const left = (i32[entry + row.DEADLINE]! - this.#clock.ms) | 0;
    if (left <= this.#reachableMs - this.#retransmitMs) this.#become(entry, row.STALE);
  }

  /**
   * Somebody who speaks to us is at a MAC address: worth an entry, as long as nobody has to go for
   * it. `isConfirmed`: and he hears us.
   */
  heard(address: number, high: number, low: number, isConfirmed: boolean): void {
    let neighbour = this.#table.find(address);
    if (neighbour < 0) {
      if (this.#table.isFull) {
        this.#counters.bump(this.#protocol.tableFull);
        return;
      }
      neighbour = this.#table.make(address);
    }
    this.#learn(neighbour, high, low, isConfirmed, true);
  }

  /**
   * Somebody whom we know is said to be at a MAC address; `mayChange`: also if he was at another.
   */
  told(address: number, high: number, low: number, isConfirmed: boolean, mayChange: boolean): void {
    const neighbour = this.#table.find(address);
    if (neighbour >= 0) this.#learn(neighbour, high, low, isConfirmed, mayChange);
  }

  /** Somebody hears us, and is where he was (RFC 4861 7.2.5, 7.3.1). */
  confirmed(address: number): void {
    const entry = this.entryOf(address);
    if (entry === 0) return;
    this.#resolve(entry, this.highOf(entry), this.lowOf(entry), row.REACHABLE);
  }

  /** Of an address whose MAC address is known, for `highOf` and `lowOf`; 0: it is not. */
  entryOf(address: number): number {
    const neighbour = this.#table.find(address);
    if (neighbour < 0) return 0;
    const entry = this.#table.at(neighbour);
    return this.#i32[entry + row.STATE] === row.INCOMPLETE ? 0 : entry;
  }

  highOf(entry: number): number {
    return this.#i32[entry + row.MAC_HIGH]!;
  }

  lowOf(entry: number): number {
    return this.#i32[entry + row.MAC_LOW]!;
  }

  /** For what comes from now on; 0: as before. */
  setTimes(reachableMs: number, retransmitMs: number): void {
    if (reachableMs > 0) this.#reachableMs = reachableMs;
    if (retransmitMs > 0) this.#retransmitMs = retransmitMs;
  }

  /** An entry's timer: when its time is up it takes its next step. */
  expire(neighbour: number): void {
    const entry = this.#table.at(neighbour);
    if (!this.#table.isDue(entry)) return;
    const i32 = this.#i32;
    const state = i32[entry + row.STATE]!;
    if (state === row.REACHABLE) this.#become(entry, row.STALE);
    else if (state === row.DELAY) this.#probe(entry);
    else if (state === row.STALE) this.#table.remove(neighbour);
    else if (i32[entry + row.TRIES]! < QUESTIONS_MAX) this.#ask(entry);
    else {
      this.#protocol.failed(neighbour, i32[entry + row.ADDRESS]!, state === row.PROBE);
      this.#table.remove(neighbour);
    }
  }

  /** Frees held frames and forgets everybody. */
  close(): void {
    this.#table.clear();
  }

  /** A stale neighbour is used. */
  #inUse(entry: number): void {
    const { delayMs } = this.#protocol;
    if (delayMs === 0) {
      this.#probe(entry);
      return;
    }
    this.#i32[entry + row.STATE] = row.DELAY;
    this.#table.due(entry, delayMs);
  }

  #probe(entry: number): void {
    this.#i32[entry + row.STATE] = row.PROBE;
    this.#i32[entry + row.TRIES] = 0;
    this.#ask(entry);
  }

  /** One question: to who answered last time, if somebody has. */
  #ask(entry: number): void {
    const i32 = this.#i32;
    const address = i32[entry + row.ADDRESS]!;
    i32[entry + row.TRIES] = i32[entry + row.TRIES]! + 1;
    this.#table.due(entry, this.#retransmitMs);
    if (i32[entry + row.STATE] !== row.PROBE) this.#protocol.ask(address);
    else this.#protocol.probe(address, this.highOf(entry), this.lowOf(entry));
  }

  /** RFC 4861 7.2.5, of which RFC 826's merge is the case that may always change. */
  #learn(
    neighbour: number,
    high: number,
    low: number,
    isConfirmed: boolean,
    mayChange: boolean,
  ): void {
    const i32 = this.#i32;
    const entry = this.#table.at(neighbour);
    const isFirst = i32[entry + row.STATE] === row.INCOMPLETE;
    const isSame = i32[entry + row.MAC_HIGH] === high && i32[entry + row.MAC_LOW] === low;
    if (!isFirst && !isSame && !mayChange) {
      if (i32[entry + row.STATE] === row.REACHABLE) this.#become(entry, row.STALE);
      return;
    }
    if (!isFirst && isSame && !isConfirmed) return; // nothing new, and no proof that it hears us
    this.#resolve(entry, high, low, isConfirmed ? row.REACHABLE : row.STALE);
    const table = this.#table;
    for (let held = table.takeHeld(entry); held !== 0; held = table.takeHeld(entry)) {
      this.transmit(neighbour, held, i32[entry + row.HELD_BYTES]!);
    }
  }

  #resolve(entry: number, high: number, low: number, state: number): void {
    this.#table.resolve(entry, high, low);
    this.#become(entry, state);
  }

  #become(entry: number, state: number): void {
    this.#i32[entry + row.STATE] = state;
    this.#table.due(entry, state === row.REACHABLE ? this.#reachableMs : STALE_MS);
  }
}

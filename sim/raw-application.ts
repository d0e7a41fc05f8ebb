/**
 * The endpoints of a host that uses the ABI bare: events from the array, calls straight to TCP.
 *
 * - Bytes that were handed over are compared twice: at `recv`, and again before `recv_done`, since
 *   they must stay.
 * - It asks for too much now and then, and must be refused.
 */
import { CODE, DEAD, EVENT, WORD } from '../src/gate/abi.ts';
import { GATE_COUNT, GATE_HEADER_BYTES } from '../src/gate/arrays.ts';
import { DESCRIPTOR_WORDS } from '../src/limits.ts';
import type { Tcp } from '../src/tcp/tcp.ts';
import { address6Of, addressOf, hostOf } from './address.ts';
import { DatagramEnds, type Datagrams } from './datagrams.ts';
import type { Endpoint } from './endpoint.ts';
import { HeldSpans } from './held-spans.ts';
import { mayHaveGhosts } from './home.ts';
import type { Application, Host } from './host.ts';
import type { Random } from './random.ts';
import { giveBack, place } from './ring.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** When the stack takes nothing and owes no `sent`: ask again after this. */
const RETRY_US = 1000;
/**
 * Flows above this number are repetitions; their four-tuple may still be in TIME-WAIT: tried again
 * after this.
 */
const REPEATED = 1000;
const IN_USE_US = 7_000_000;

interface RawEnd {
  readonly e: Endpoint;
  handle: number;
  /** Handed over and not yet given back. */
  readonly spans: HeldSpans;
}

export class RawApplication implements Application {
  readonly #host: Host;
  readonly #world: World;
  readonly #tcp: Tcp;
  readonly #random: Random;
  readonly #ends: RawEnd[] = [];
  readonly #byHandle = new Map<number, RawEnd>();
  /** Had an event in this batch: they act when all events of it are read. */
  readonly #touched = new Set<RawEnd>();
  #datagrams: DatagramEnds | undefined;
  /** Refused: they may still have an event. */
  readonly #ghosts = new Set<number>();
  /** To be done in the next turn. */
  #due: (() => void)[] = [];

  constructor(host: Host, world: World, random: Random) {
    this.#host = host;
    this.#world = world;
    this.#tcp = host.stack.tcp;
    this.#random = random;
  }

  /** In a turn at or after `time`. */
  #at(time: number, action: () => void): void {
    this.#world.schedule.at(time, () => {
      if (!this.#host.isAlive) return;
      this.#due.push(action);
      this.#host.askTurn();
    });
  }

  listen(port: number, backlog: number): void {
    this.#at(0, () => {
      const handle = this.#tcp.listen(port, 0, port, backlog, 0);
      if (handle <= 0) throw new Violation(`host ${this.#host.index + 1}: listen ${handle}`);
    });
  }

  /** One end of a stream of datagrams. */
  addDatagrams(d: Datagrams, isSender: boolean): void {
    this.#datagrams ??= new DatagramEnds(this.#host, this.#world, this.#host.alloc(8192));
    const ends = this.#datagrams;
    this.#at(0, () => {
      const handle = ends.bind(d);
      const send = (): void => {
        if (!ends.send(d, handle)) return;
        this.#at(this.#world.schedule.now + d.plan.gapUs, send);
      };
      if (isSender) this.#at(d.plan.atUs, send);
    });
  }

  add(e: Endpoint): void {
    const end = { e, handle: 0, spans: new HeldSpans() };
    this.#ends.push(end);
    if (e.side === 0 || e.flow.isSimultaneous) this.#at(e.flow.startUs, () => this.#connect(end));
  }

  /** A host's address as the stack has it. */
  #peer(remote: number): number {
    if (!this.#host.plan.isIpv6) return addressOf(remote);
    const [w0, w1, w2, w3] = address6Of(remote) as [number, number, number, number];
    return this.#host.stack.ip.peerOf(w0, w1, w2, w3);
  }

  #connect(end: RawEnd): void {
    const { flow } = end.e;
    const { remote, from, to } = end.e.route;
    const cookie = this.#ends.indexOf(end) + 1;
    const handle = this.#tcp.connect(cookie, this.#peer(remote), (from << 16) | to);
    this.#world.progress(end.e);
    if (handle === CODE.IN_USE && flow.id > REPEATED) {
      end.e.mayWriteAt = this.#world.schedule.now + IN_USE_US; // TIME-WAIT
      return this.#at(end.e.mayWriteAt, () => this.#connect(end));
    }
    if (handle <= 0) {
      end.e.check(handle === CODE.NO_FLOW, `connect was answered ${handle}`);
      this.#world.died(end.e, DEAD.refused);
      return;
    }
    end.handle = handle;
    this.#byHandle.set(handle, end);
    if (end.e.plan.userTimeoutMs > 0) this.#tcp.userTimeout(handle, end.e.plan.userTimeoutMs);
    if (end.e.plan.sendsEarly) this.#write(end);
  }

  enter(): void {
    const due = this.#due;
    this.#due = [];
    const { i32 } = this.#host.env.arena;
    const count = i32[this.#host.events + GATE_COUNT]!;
    const first = this.#host.events + GATE_HEADER_BYTES / 4;
    const touched = this.#touched;
    for (let i = 0; i < count; i++) this.#event(i32, first + i * DESCRIPTOR_WORDS);
    for (const end of touched) this.#pump(end);
    touched.clear();
    for (const action of due) action();
  }

  #event(i32: Int32Array, w: number): void {
    const kind = i32[w]!;
    const handle = i32[w + WORD.handle]!;
    if (this.#datagrams?.event(i32, w)) return;
    if (kind === EVENT.knock) return this.#knock(handle, i32[w + WORD.d]!, i32[w + WORD.e]!);
    if (this.#ghosts.has(handle)) return;
    const end = this.#byHandle.get(handle);
    if (!end)
      throw new Violation(`host ${this.#host.index + 1}: event ${kind} of an unknown handle`);
    const { e } = end;
    e.check(!e.isDead, `event ${kind} after dead`);
    this.#world.progress(e);
    switch (kind) {
      case EVENT.connected:
        e.check(!e.isOpen, 'connected twice');
        this.#opened(end);
        break;
      case EVENT.recv:
        this.#received(end, i32[w + WORD.a]!, i32[w + WORD.b]!);
        if (i32[w + WORD.c] !== 0) this.#sent(e, i32[w + WORD.c]!);
        break;
      case EVENT.recv_end:
        e.check(!e.hasEnded, 'recv_end twice');
        e.check(e.peer.isClosing || e.peer.isShut, 'recv_end, but the peer has not closed');
        e.check(e.received === e.peer.accepted, 'recv_end before the last byte');
        e.hasEnded = true;
        break;
      case EVENT.sent:
        this.#sent(e, i32[w + WORD.a]!);
        break;
      case EVENT.dead:
        return this.#dead(end, i32[w + WORD.a]!);
      default:
        e.fail(`unknown event ${kind}`);
    }
    this.#touched.add(end);
  }

  #knock(handle: number, address: number, ports: number): void {
    const client = hostOf(address);
    const e = this.#world.serverOf(this.#host.index, client, ports & 0xffff);
    const end = this.#ends.find((candidate) => candidate.e === e);
    if (!e || !end) throw new Violation(`host ${this.#host.index + 1}: a knock by nobody`);
    if (end.handle !== 0 && mayHaveGhosts(this.#host)) {
      this.#ghosts.add(handle);
      this.#tcp.reject(handle);
      return;
    }
    e.check(end.handle === 0, 'knocks again: a connection made of old segments');
    this.#world.progress(e);
    end.handle = handle;
    this.#byHandle.set(handle, end);
    if (e.flow.rejects) {
      e.check(this.#tcp.reject(handle) === CODE.OK, 'reject was refused');
      e.isAborted = true;
      return;
    }
    const accept = (): void => {
      if (e.isDead) return;
      const code = this.#tcp.accept(handle, this.#ends.indexOf(end) + 1);
      e.check(code === CODE.OK, `accept was answered ${code}`);
      this.#opened(end);
      this.#pump(end);
    };
    if (e.flow.acceptUs === 0) accept();
    else this.#at(this.#world.schedule.now + e.flow.acceptUs, accept);
  }

  #opened(end: RawEnd): void {
    const { e } = end;
    e.isOpen = true;
    this.#world.progress(e);
    if (e.plan.keepaliveMs > 0) this.#tcp.keepalive(end.handle, e.plan.keepaliveMs);
  }

  #received(end: RawEnd, offset: number, length: number): void {
    const { e } = end;
    e.check(length > 0, 'recv of nothing');
    e.check(!e.hasEnded, 'recv after recv_end');
    e.check(!e.isClosing || e.isAborted, 'recv after close');
    e.verify(this.#world.pattern, offset, length, e.received);
    end.spans.push(offset, length);
    e.received += length;
  }

  #sent(e: Endpoint, bytes: number): void {
    e.check(
      bytes > 0 && e.acked + bytes <= e.accepted,
      `sent ${bytes}, but only ${e.accepted - e.acked} are out`,
    );
    giveBack(e, e.acked, bytes);
    e.acked += bytes;
  }

  #dead(end: RawEnd, reason: number): void {
    const { e } = end;
    this.#world.died(e, reason);
    this.#verifyHeld(end, e.received - e.consumed);
    giveBack(e, e.acked, e.accepted - e.acked);
    this.#byHandle.delete(end.handle);
    const stale = this.#tcp.send(end.handle, this.#host.pattern, 1);
    e.check(stale === CODE.BAD_HANDLE, `a dead handle was answered ${stale}`);
  }

  #pump(end: RawEnd): void {
    const { e } = end;
    if (e.isDead || !e.isOpen) return;
    this.#read(end);
    this.#write(end);
    this.#end(end);
  }

  #later(end: RawEnd, time: number): void {
    this.#at(time, () => this.#pump(end));
  }

  #read(end: RawEnd): void {
    const { e } = end;
    const now = this.#world.schedule.now;
    if (now < e.mayReadAt || e.isClosing) return;
    const bytes = e.readable(now);
    if (e.mayReadAt > now && Number.isFinite(e.mayReadAt)) this.#later(end, e.mayReadAt);
    if (bytes > 0) this.#consume(end, bytes);
  }

  #consume(end: RawEnd, bytes: number): void {
    const { e } = end;
    const refused = this.#tcp.recvDone(end.handle, e.received - e.consumed + 1);
    e.check(refused === CODE.BAD_COUNT, `too large a recv_done was answered ${refused}`);
    this.#verifyHeld(end, bytes);
    const code = this.#tcp.recvDone(end.handle, bytes);
    e.check(code === CODE.OK, `recv_done was answered ${code}`);
    e.consumed += bytes;
    this.#world.progress(e);
  }

  /** The oldest `bytes` that are held are still what they were. */
  #verifyHeld({ e, spans }: RawEnd, bytes: number): void {
    let position = e.consumed;
    spans.take(bytes, (offset, length) => {
      e.verify(this.#world.pattern, offset, length, position);
      position += length;
    });
  }

  #write(end: RawEnd): void {
    const { e } = end;
    const { plan } = e;
    if (e.isClosing || e.isShut) return;
    const now = this.#world.schedule.now;
    while (e.accepted < e.allowed) {
      if (now < e.mayWriteAt) return;
      const want = Math.min(e.allowed - e.accepted, this.#random.between(1, plan.chunk));
      const { offset, length } = place(this.#world.pattern, e, want);
      if (length === 0) return; // the ring is full: `sent` will come
      const taken = this.#tcp.send(end.handle, offset, length);
      if (taken < 0) {
        e.check(taken === CODE.BAD_STATE, `send was answered ${taken}`);
        return; // the protocol is over, `dead` is on its way
      }
      e.accepted += taken;
      if (taken > 0) this.#world.progress(e);
      if (taken < length) {
        if (e.accepted === e.acked) this.#later(end, now + RETRY_US);
        return;
      }
      if (plan.gapUs > 0) {
        e.mayWriteAt = now + plan.gapUs;
        if (e.accepted < plan.total) this.#later(end, e.mayWriteAt);
      }
    }
  }

  #end(end: RawEnd): void {
    const { e } = end;
    if (e.wantsAbort) {
      e.isAborted = e.isClosing = true;
      e.check(this.#tcp.abort(end.handle) === CODE.OK, 'abort was refused');
      return;
    }
    if (e.plan.shutsDown && !e.isShut && !e.isClosing && e.accepted === e.plan.total) {
      if (this.#tcp.shutdown(end.handle) === CODE.OK) e.isShut = true;
    }
    if (!e.wantsClose) return;
    const now = this.#world.schedule.now;
    if (e.mayCloseAt < 0) {
      e.mayCloseAt = now + e.plan.closeGapUs;
      if (e.plan.closeGapUs > 0) this.#later(end, e.mayCloseAt);
    }
    if (now < e.mayCloseAt) return;
    e.isClosing = true;
    const code = this.#tcp.close(end.handle);
    e.check(code === CODE.OK, `close was answered ${code}`);
    this.#world.progress(e);
  }

  giveUp(e: Endpoint): void {
    const end = this.#ends.find((candidate) => candidate.e === e)!;
    this.#at(this.#world.schedule.now, () => {
      if (e.isDead || end.handle === 0) return;
      e.isAborted = e.isClosing = true;
      this.#tcp.abort(end.handle);
    });
  }
}

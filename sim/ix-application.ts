/**
 * The endpoints of a host whose application uses libix: the same plans, through handlers.
 *
 * - Half of what is sent is copied (`write`), half is not (`send`, with a tag that must be released
 *   exactly once).
 * - Where both ends stream they read while they cannot write: their streams do not depend on each
 *   other.
 * - A reader that leaves bytes unconsumed must be offered them again, with more behind them.
 */
import type { Connection } from '../src/libix/connection.ts';
import type { Handlers } from '../src/libix/handlers.ts';
import type { Ix } from '../src/libix/ix.ts';
import { address6Of, addressOf, hostOf } from './address.ts';
import { patternIndex } from './content.ts';
import type { Endpoint } from './endpoint.ts';
import { mayHaveGhosts } from './home.ts';
import type { Application, Host } from './host.ts';
import type { Random } from './random.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** libix gathers so much of a message: a reader must not wait for more. */
const GATHERED_MAX = 8192;

/** Of a connection that is refused. */
const GHOST: Handlers = { received: (_c, _offset, length) => length };

interface IxEnd {
  readonly e: Endpoint;
  connection: Connection | null;
  /** Tags of sends that were not released yet. */
  readonly tags: Set<number>;
  nextTag: number;
}

export class IxApplication implements Application {
  readonly #host: Host;
  readonly #ix: Ix;
  readonly #world: World;
  readonly #random: Random;
  readonly #ends = new Map<Endpoint, IxEnd>();
  readonly #handlers: Handlers;

  constructor(host: Host, world: World, random: Random) {
    this.#host = host;
    this.#ix = host.ix!;
    this.#world = world;
    this.#random = random;
    this.#handlers = {
      opened: (c) => this.#guard(() => this.#opened(c)),
      received: (c, offset, length) =>
        this.#guard(() => this.#received(this.#of(c), offset, length)) ?? 0,
      released: (c, tag) => this.#guard(() => this.#released(this.#of(c), tag)),
      drained: (c) => this.#guard(() => this.#pump(this.#of(c))),
      ended: (c) => this.#guard(() => this.#ended(this.#of(c))),
      closed: (c, reason) => this.#guard(() => this.#closed(this.#of(c), reason)),
    };
  }

  /** libix catches what handlers throw: a violation must end the run all the same. */
  #guard<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.#world.failure ??= error;
      return undefined;
    }
  }

  enter(): void {}

  listen(port: number, backlog: number): void {
    this.#ix.listen(port, this.#handlers, { backlog });
  }

  add(e: Endpoint): void {
    const end = { e, connection: null, tags: new Set<number>(), nextTag: 1 };
    this.#ends.set(e, end);
    if (e.side === 1) return;
    const wait = e.flow.startUs - this.#world.schedule.now;
    this.#ix.timer(wait, () => this.#guard(() => this.#connect(end)));
  }

  #connect(end: IxEnd): void {
    const { e } = end;
    const { flow } = e;
    const c = this.#ix.connect(
      this.#host.plan.isIpv6 ? address6Of(flow.server) : addressOf(flow.server),
      flow.serverPort,
      this.#handlers,
      {
        localPort: flow.clientPort,
      },
    );
    c.state = end;
    end.connection = c;
    this.#world.progress(e);
    if (e.plan.sendsEarly) this.#write(end);
  }

  #of(c: Connection): IxEnd {
    if (!c.state)
      throw new Violation(`host ${this.#host.index + 1}: an event of an unknown connection`);
    const end = c.state as IxEnd;
    end.e.check(!end.e.isDead, 'a handler was called after closed');
    return end;
  }

  #opened(c: Connection): void {
    let end = c.state as IxEnd | undefined;
    if (!end) {
      const e = this.#world.serverOf(this.#host.index, hostOf(c.remoteWord(3)), c.remotePort);
      end = e && this.#ends.get(e);
      if (!end) throw new Violation(`host ${this.#host.index + 1}: a knock by nobody`);
      if (end.connection && mayHaveGhosts(this.#host)) {
        c.handlers = GHOST;
        c.abort();
        return;
      }
      end.e.check(!end.connection, 'knocks again: a connection made of old segments');
      c.state = end;
      end.connection = c;
    }
    end.e.check(!end.e.isOpen, 'opened twice');
    const { flow, side } = end.e;
    const ports = [c.localPort, c.remotePort];
    if (side === 0) ports.reverse();
    end.e.check(
      `${ports}` === `${[flow.serverPort, flow.clientPort]}`,
      'opened between other ports',
    );
    end.e.check(c.localAddress !== '' && c.localAddress !== c.remoteAddress, 'opened at nobody');
    end.e.isOpen = true;
    c.readsWhileBlocked = end.e.plan.total > 0 && end.e.peer.plan.total > 0;
    this.#world.progress(end.e);
    this.#pump(end);
  }

  #received(end: IxEnd, offset: number, length: number): number {
    const { e } = end;
    const { plan } = e;
    e.check(!e.isClosing, 'received after close');
    e.check(!e.hasEnded, 'received after ended');
    e.verify(this.#world.pattern, offset, length, e.consumed);
    e.check(e.consumed + length > e.received || length > 0, 'received nothing');
    e.received = Math.max(e.received, e.consumed + length);
    this.#world.progress(e);
    let bytes = length;
    if (plan.pauseAt >= 0 && !e.hasPaused && e.received >= plan.pauseAt) {
      e.hasPaused = true;
      bytes = Math.max(0, Math.min(length, plan.pauseAt - e.consumed));
      this.#pause(end, plan.pauseUs);
    } else if (plan.readChunk > 0) {
      bytes = Math.min(length, plan.readChunk);
      this.#pause(end, plan.readGapUs);
    } else if (
      length < GATHERED_MAX &&
      e.received < e.peer.plan.total &&
      this.#random.chance(0.2)
    ) {
      bytes = this.#random.below(length + 1); // the rest of a message is still to come
    }
    e.consumed += bytes;
    this.#pump(end);
    return bytes;
  }

  #pause(end: IxEnd, us: number): void {
    const c = end.connection!;
    c.pause();
    end.e.mayReadAt = this.#world.schedule.now + us;
    if (!Number.isFinite(us)) return;
    this.#ix.timer(us, () =>
      this.#guard(() => {
        if (!end.e.isDead) c.resume();
      }),
    );
  }

  #released(end: IxEnd, tag: number): void {
    end.e.check(end.tags.delete(tag), `tag ${tag} was released, but it is not out`);
    this.#world.progress(end.e);
    this.#pump(end);
  }

  #ended(end: IxEnd): void {
    const { e } = end;
    e.check(!e.hasEnded, 'ended twice');
    e.check(e.peer.isClosing || e.peer.isShut, 'ended, but the peer has not closed');
    e.hasEnded = true;
    e.check(e.received === e.peer.accepted, 'ended before the last byte');
    e.check(e.consumed === e.received, 'ended before all of it was consumed');
    this.#world.progress(e);
    this.#pump(end);
  }

  #closed(end: IxEnd, reason: number): void {
    this.#world.died(end.e, reason);
    end.e.check(end.tags.size === 0, 'closed before every tag was released');
  }

  #pump(end: IxEnd): void {
    const { e } = end;
    if (e.isDead || !e.isOpen) return;
    this.#write(end);
    e.acked = e.accepted - end.connection!.queuedBytes;
    if (e.plan.shutsDown && !e.isShut && !e.isClosing && e.accepted === e.plan.total) {
      e.isShut = true;
      end.connection!.end();
    }
    if (!e.wantsClose) return;
    if (e.plan.closeGapUs > 0 && e.mayCloseAt < 0) {
      e.mayCloseAt = this.#world.schedule.now + e.plan.closeGapUs;
      this.#ix.timer(e.plan.closeGapUs, () => this.#guard(() => this.#pump(end)));
    }
    if (this.#world.schedule.now < e.mayCloseAt) return;
    e.isClosing = true;
    this.#world.progress(e);
    end.connection!.close();
  }

  #write(end: IxEnd): void {
    const { e } = end;
    const { plan } = e;
    const c = end.connection!;
    const now = this.#world.schedule.now;
    while (e.accepted < e.allowed && !e.isClosing && !e.isShut && c.writable) {
      if (now < e.mayWriteAt) return;
      const want = Math.min(e.allowed - e.accepted, this.#random.between(1, plan.chunk), 60_000);
      const offset = this.#host.pattern + patternIndex(e.key, e.accepted);
      const isCopied = this.#random.chance(0.5);
      const length = isCopied ? Math.min(want, 4000) : want;
      const tag = end.nextTag;
      const done = isCopied ? c.write(offset, length) : c.send(offset, length, tag);
      if (!done) return; // libix calls again when it has something to go on with
      if (!isCopied) {
        end.tags.add(tag);
        end.nextTag++;
      }
      e.accepted += length;
      if (plan.gapUs > 0) {
        e.mayWriteAt = now + plan.gapUs;
        this.#ix.timer(plan.gapUs, () => this.#guard(() => this.#pump(end)));
      }
    }
  }

  giveUp(e: Endpoint): void {
    const end = this.#ends.get(e)!;
    if (e.isDead || !end.connection) return;
    e.isAborted = e.isClosing = true;
    end.connection.abort();
  }
}

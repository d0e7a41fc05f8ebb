/**
 * A driver around a driver, on an interface shared with the kernel: what is for all is heard, too.
 *
 * - The driver inside has what is ours alone. What the XDP program leaves to the kernel and the
 *   stack needs as well (a neighbour that has moved, a broadcast, what routers say to all nodes)
 *   comes by a packet socket that copies it (nic/privileged/packet-socket.ts).
 * - A read is a system call, so a busy thread looks once a millisecond; a sleeping one is woken by
 *   the descriptor. That batch has room for it, however much has come for the driver inside: a
 *   flood must not keep us from what others say.
 * - Every thread has a socket of its own and hears everything: nothing of it is told to siblings.
 *
 * Called by dataplane/nics.ts. Read first: packet(7).
 */
import type { Arena } from '../../arena/arena.ts';
import type { Clock } from '../../arena/clock.ts';
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { FrameFile } from '../frame-file.ts';
import type { Nic } from '../nic.ts';
import { AroundNic } from './around.ts';

/** One of so many places of a batch is kept for what is overheard. */
const SHARE = 4;

const C_OVERHEARD = COUNTER.rxOverheard;

export interface OverheardParts {
  readonly arena: Arena;
  readonly frames: Frames;
  readonly clock: Clock;
  readonly counters: Counters;
}

export class Overheard extends AroundNic {
  readonly #socket: FrameFile;
  readonly #clock: Clock;
  readonly #counters: Counters;
  #lookedMs: number;

  /** `fd` is ours from here on. */
  constructor(inner: Nic, fd: number, { arena, frames, clock, counters }: OverheardParts) {
    super(inner, inner.name, [...inner.fds, fd]);
    this.#socket = new FrameFile(arena, frames, counters, {
      ...{ fd, name: `${inner.name} overheard`, mac: inner.mac, mtu: inner.mtu, entries: 1 },
    });
    this.#clock = clock;
    this.#counters = counters;
    this.#lookedMs = (clock.ms - 1) | 0;
  }

  override receive(max: number): number {
    if (this.#lookedMs === this.#clock.ms) return this.inner.receive(max);
    this.#lookedMs = this.#clock.ms;
    const count = this.inner.receive((max - Math.ceil(max / SHARE)) | 0);
    const socket = this.#socket;
    const more = socket.receive((max - count) | 0);
    for (let i = 0; i < more; i++) {
      this.rxOffsets[count + i] = socket.rxOffsets[i]!;
      this.rxLengths[count + i] = socket.rxLengths[i]!;
    }
    this.#counters.add(C_OVERHEARD, more);
    return (count + more) | 0;
  }

  override reclaim(): void {
    this.inner.reclaim();
    this.#socket.reclaim();
  }

  override receiveLent(): number {
    return this.inner.receiveLent() + this.#socket.receiveLent();
  }

  override close(): void {
    this.#socket.close();
    this.inner.close();
  }
}

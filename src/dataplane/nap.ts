/**
 * A short sleep inside a slice of the runner: one ppoll(2), without the event loop's way in and
 * out, and ended to the microsecond.
 *
 * - Ends with a frame, with the doorbell, when the time is over, or when Node's event loop has
 *   something to do: its own descriptor (uv_backend_fd) is waited for like the others. What became
 *   the loop's business since it was last around is not in there yet, so the runner goes around it
 *   every millisecond if it naps; timers of the loop count milliseconds and may be that late.
 * - The time is shortened by how late naps have ended lately, so that what is due at their end is
 *   in time; the rest is spent awake.
 * - The kernel must not round the end up (PR_SET_TIMERSLACK: 50 us): schedule.ts.
 *
 * Called by runner.ts. Read first: man 2 ppoll; libuv, uv_backend_fd.
 */
import type { Arena } from '../arena/arena.ts';
import { POLLIN, sys } from '../native/sys.ts';

/** What a nap ended by, more than one at once. */
export const BY_NIC = 1;
export const BY_BELL = 2;
export const BY_LOOP = 4;

/** A nap that ended later than this was ended by others, who had the core. */
const LATE_MAX_US = 60;
/** Each nap is an eighth of what is known. */
const LATE_SHIFT = 3;

export class Nap {
  readonly #i32: Int32Array;
  /** struct pollfd: [descriptor, events | revents << 16]. */
  readonly #offset: number;
  readonly #count: number;
  readonly #nicCount: number;
  readonly #hasBell: boolean;
  /** In eighths of a microsecond. */
  #late8 = 0;

  constructor(arena: Arena, nicFds: readonly number[], bellFd: number | undefined) {
    const fds = [...nicFds, ...(bellFd === undefined ? [] : [bellFd]), sys.loopFd()];
    this.#i32 = arena.i32;
    this.#count = fds.length;
    this.#nicCount = nicFds.length;
    this.#hasBell = bellFd !== undefined;
    this.#offset = arena.carve('nap', fds.length * 8, 8);
    fds.forEach((fd, i) => {
      this.#i32[(this.#offset >> 2) + 2 * i] = fd;
    });
  }

  /** How much earlier than `us` a nap has to end to be in time. */
  get lateUs(): number {
    return this.#late8 >> LATE_SHIFT;
  }

  /** Sleeps at most `us`; what it ended by, 0: its time is over, or a signal came. */
  take(us: number): number {
    const i32 = this.#i32;
    const first = (this.#offset >> 2) + 1;
    for (let i = 0; i < this.#count; i++) i32[first + 2 * i] = POLLIN;
    if (sys.wait(this.#offset, this.#count, us) <= 0) return 0;
    let by = 0;
    for (let i = 0; i < this.#count; i++) {
      if (i32[first + 2 * i]! >>> 16 === 0) continue;
      by |= i < this.#nicCount ? BY_NIC : this.#hasBell && i === this.#nicCount ? BY_BELL : BY_LOOP;
    }
    return by;
  }

  /** A nap of `us` whose time was over has taken `tookUs`. */
  ended(us: number, tookUs: number): void {
    const late = Math.min(LATE_MAX_US, tookUs - us) | 0;
    if (late >= 0) this.#late8 = (this.#late8 + late - this.lateUs) | 0;
  }
}

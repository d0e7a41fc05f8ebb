/**
 * A link that is down or gone, as its driver sees it: every call is refused at once, so asking in
 * each iteration would be a full core of system calls that nobody hears.
 *
 * - `heard` is given the kernel's answer to a kick; true: it is the link's fault, not the frames'.
 * - From then on `mayTry` is true once every wait, which doubles from WAIT_MIN_MS to WAIT_MAX_MS of
 *   the stack's clock, so the thread may sleep meanwhile. The first call that is not refused for
 *   the link's sake ends it.
 * - Nothing here wakes a thread: frames that come do, timers of the stack, and the control plane
 *   when it sees the link up.
 *
 * Used by afxdp.ts and frame-file.ts. Read first: net/xdp/xsk.c xsk_check_common.
 */
import type { Clock } from '../arena/clock.ts';

const EIO = 5;
const ENXIO = 6;
const ENODEV = 19;
const EBADFD = 77;
const ENETDOWN = 100;

/** A kick in each iteration is a core; one in 256 ms is nothing, and the end is noticed as soon. */
const WAIT_MIN_MS = 1;
const WAIT_MAX_MS = 256;

/**
 * Whether a result says that the interface is down (ENETDOWN; EIO for a tap), or no longer there
 * (ENXIO: the socket was unbound; ENODEV; EBADFD: the tap's device was removed).
 */
export const isLinkError = (result: number): boolean =>
  result === -ENETDOWN ||
  result === -ENXIO ||
  result === -ENODEV ||
  result === -EIO ||
  result === -EBADFD;

/** Whether the device behind a descriptor was removed: nothing will ever come of it again. */
export const isGoneError = (result: number): boolean => result === -EBADFD || result === -ENODEV;

export class LinkBackoff {
  /** The last answer was about the link. */
  isDown = false;
  readonly #clock: Clock | undefined;
  #waitMs = WAIT_MIN_MS;
  #tryAtMs = 0;

  /** Without a clock every call may be tried: for programs that have no stack. */
  constructor(clock: Clock | undefined) {
    this.#clock = clock;
  }

  mayTry(): boolean {
    const clock = this.#clock;
    return !this.isDown || clock === undefined || ((clock.ms - this.#tryAtMs) | 0) >= 0;
  }

  heard(result: number): boolean {
    if (!isLinkError(result)) {
      this.isDown = false;
      return false;
    }
    this.#waitMs = this.isDown ? Math.min(this.#waitMs << 1, WAIT_MAX_MS) : WAIT_MIN_MS;
    this.isDown = true;
    if (this.#clock !== undefined) this.#tryAtMs = (this.#clock.ms + this.#waitMs) | 0;
    return true;
  }
}

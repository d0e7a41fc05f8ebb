/**
 * An eventfd that wakes a thread: nobody waits in writing or reading it, and no program that is
 * started inherits it by chance.
 *
 * Called by cable.ts and around/handover.ts. Read first: man 2 eventfd.
 */
import { SYS, sys } from '../native/sys.ts';
import { granted } from './errors.ts';

const EFD_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;

/** The descriptor is the caller's; `what` it is for stands in the error. */
export const makeEventfd = (what: string): number =>
  granted(sys.syscall(SYS.eventfd2, 0, EFD_CLOEXEC_NONBLOCK), what);

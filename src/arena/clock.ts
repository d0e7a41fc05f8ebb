/**
 * The time of a batch: read once, by whoever runs the thread, and the same for all that it does.
 *
 * Set by the elastic thread from the kernel's monotonic clock, by the simulator from virtual time.
 */

/** Time of this batch, both modulo 2^32 as int32: compare with `(a - b) | 0`. */
export class Clock {
  us = 0;
  ms = 0;
}

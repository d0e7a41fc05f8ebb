/**
 * The time of a batch. It is read once, so everything that one batch does happens at one time, and
 * the stack needs no clock of its own.
 *
 * Set by the elastic thread from the kernel's monotonic clock, by the simulator from virtual time.
 */

/** Time of this batch, both modulo 2^32 as int32: compare with `(a - b) | 0`. */
export class Clock {
  us = 0;
  ms = 0;
}

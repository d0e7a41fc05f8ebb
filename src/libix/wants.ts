/**
 * What an application of ours says of itself to who starts it, before any of its code is loaded.
 *
 * - It stands in a file of its own beside the module, which has constants and nothing else. So the
 *   control plane, with all its privileges, reads what an application wants without loading it.
 * - What its user says on the command line comes first, always.
 * - Nobody reads a declaration of a module that is not ours: that is code of strangers. Such a
 *   module has what stands here as absent.
 *
 * Collected by src/apps/built-in.ts, read by src/control/wish/plan.ts.
 */

/** Application memory for `-m M`: `perMiB` times M and `fixedMiB`. libix's buffers come on top. */
export interface MemoryWant {
  readonly perMiB: number;
  readonly fixedMiB: number;
}

export interface Wants {
  /** Whom it may speak to first (`--connect`); absent: anybody. */
  readonly connect?: 'none';
  /** Seconds of silence until a peer is asked whether it is there (`--keepalive`); absent: 0. */
  readonly keepalive?: number;
  /** Absent: the memory itself, 1/32 of it to find things in it, and 16 MiB (MEMORY). */
  readonly memory?: MemoryWant;
  /** Why it must have all connections in one thread; absent: it need not (`--threads`). */
  readonly oneThread?: string;
  /** The settings (`name=value`) that it takes; absent: whatever it is given. */
  readonly settings?: readonly string[];
  /** Commands to try against it, in order of interest; ADDRESS and PORT stand for what they are. */
  readonly tries?: readonly string[];
}

/** Of an application that says nothing of memory. */
export const MEMORY: MemoryWant = { perMiB: 33 / 32, fixedMiB: 16 };

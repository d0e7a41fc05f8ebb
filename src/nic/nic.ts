/**
 * What a driver is: AF_XDP, TAP, cable, the simulator's link, and the wrappers of nic/around.
 *
 * - `receive` takes up to `max` frames (never more than BATCH_MAX); they are then the caller's,
 *   named by `rxOffsets[i]` (arena offset of the Ethernet header) and `rxLengths[i]` (bytes, no
 *   FCS). What has no whole Ethernet header is `rxShort`, what fits no buffer `rxTooLong`.
 * - `transmit` consumes its frame, always: where there is no room it is freed and counted
 *   (`txFull`), as is one that no driver takes (`txBadLength`). It may come from either pool.
 * - Once a batch: `kick` publishes what was transmitted and rings the doorbell; `reclaim` returns
 *   completed frames to their pool and lends fresh receive frames to the NIC.
 * - Integers in, integers out; nothing is allocated per frame.
 *
 * Called by the elastic thread; `transmit` by net/both/neighbour-cache.ts, net/v4/arp.ts and
 * net/v6/link-messages.ts. Read first: Documentation/networking/af_xdp.rst; ixy's ixgbe.c.
 */
/** The way to the other threads of a dataplane. */
export interface SiblingThreads {
  /** Gives a thread a copy of the frame: as if it had received it. */
  handOn(thread: number, offset: number, length: number): void;
}

export interface Nic {
  /** For messages: 'af_xdp ix1 queue 0'. */
  readonly name: string;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Largest IP packet, bytes. */
  readonly mtu: number;
  /** What an idle thread polls for POLLIN; empty: the driver can only be polled. */
  readonly fds: readonly number[];
  /** Most frames of one iteration that pay here; absent: BATCH_MAX. */
  readonly batchMax?: number;
  /** AF_XDP: whether the NIC itself reads and writes our frames; and why not. */
  readonly copied?: { readonly zeroCopy: boolean; readonly why: string };
  /** Absent: there are no other threads. */
  readonly siblings?: SiblingThreads;
  readonly rxOffsets: Int32Array;
  readonly rxLengths: Int32Array;
  receive(max: number): number;
  transmit(offset: number, length: number): void;
  kick(): void;
  reclaim(): void;
  /** Receive frames that the driver holds now: the other side of `Frames.allHome`. */
  receiveLent(): number;
  /** Before `fds` are polled: false when work has come meanwhile. Absent: polling is enough. */
  prepareSleep?(): boolean;
  /** What is behind `fds` was removed: always ready, nothing to read. Absent: never. */
  isGone?(): boolean;
  /** The thread is awake again. */
  wake?(): void;
  /** Frames that the kernel dropped before the driver, each under one of the kernel's own names. */
  kernelDrops?(): Record<string, number>;
  /** Takes every frame back to its pool and releases what the driver holds of the kernel. */
  close(): void;
}

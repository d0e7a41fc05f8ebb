/**
 * What a driver is: AF_XDP, TAP, cable, the simulator's link, and the wrappers that impair, capture
 * and trace.
 *
 * - `receive` takes up to `max` frames (never more than BATCH_MAX); they are then the caller's,
 *   named by `rxOffsets[i]` (arena offset of the Ethernet header) and `rxLengths[i]` (bytes, no
 *   FCS).
 * - `transmit` consumes its frame, always: full means drop, free, count (`txFull`). The frame may
 *   come from either pool.
 * - `kick` publishes what was transmitted and rings the doorbell: once a batch.
 * - `reclaim` returns completed frames to their pool and lends fresh receive frames to the NIC:
 *   once a batch.
 * - Integers in, integers out; nothing is allocated per frame.
 * - `fds` are what an idle thread polls for POLLIN; empty for a driver that can only be polled.
 *
 * Called by the elastic thread and the stack. Read first: Documentation/networking/af_xdp.rst;
 * ixy's ixgbe.c.
 */
export interface Nic {
  /** For messages: 'af_xdp ix1 queue 0'. */
  readonly name: string;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Largest IP packet, bytes. */
  readonly mtu: number;
  readonly fds: readonly number[];
  /** Most frames of one iteration that pay here; absent: BATCH_MAX. */
  readonly batchMax?: number;
  /** AF_XDP: whether the NIC itself reads and writes our frames; and why not. */
  readonly copied?: { readonly zeroCopy: boolean; readonly why: string };
  readonly rxOffsets: Int32Array;
  readonly rxLengths: Int32Array;
  receive(max: number): number;
  transmit(offset: number, length: number): void;
  kick(): void;
  reclaim(): void;
  /**
   * Receive frames that the driver holds now (fill ring, receive ring): the other side of
   * `Frames.allHome`.
   */
  framesLent(): number;
  /**
   * The thread is about to poll `fds`: false when work has come meanwhile. Absent: polling them is
   * enough.
   */
  prepareSleep?(): boolean;
  /**
   * What is behind `fds` was removed: they are always ready, with nothing to read. Absent: never.
   */
  isGone?(): boolean;
  /** The thread is awake again. */
  wake?(): void;
  /**
   * Frames that the kernel has dropped before they reached the driver, by its own names, each under
   * one of them.
   */
  kernelDrops?(): Record<string, number>;
  /** Takes every frame back to its pool and releases what the driver holds of the kernel. */
  close(): void;
}

/**
 * What is known of network drivers' zero-copy, and what follows for a chunk of FRAME_BYTES: which
 * way of binding to ask for.
 *
 * - A chunk of 2048 bytes leaves 1,790 for the frame (the kernel keeps 256, TRANSMIT_HEADROOM is
 *   ours). A frame of MTU 1500 takes 1,522 at most, so it fits; but some NICs know their buffers'
 *   size in whole KiB only. They get 1,024, and a longer frame comes in two pieces that nothing
 *   marks as belonging together, or not at all.
 * - So zero-copy is asked for by itself only where it is known to take a whole frame. A driver that
 *   is not in the list is used in copy mode, which always does; who insists (`--xdp zerocopy`) gets
 *   what the driver does.
 * - Chunks of 4096 bytes would be right on those NICs, but the arena's frames are 2048 bytes for
 *   every link: a receive pool of 24,576 frames and its cache lines are measured with that.
 *
 * Called by the control plane (control/link/xdp.ts, control/link/xdp-features.ts). Read first: each
 * driver's *_xsk.c, and where it writes the size of its receive buffers (SRRCTL in igb, igc and
 * ixgbe; the queue context in i40e and ice).
 */
export type XdpMode = 'native' | 'generic';

/** auto: zero-copy where the kernel grants it; copy and zerocopy: that and nothing else. */
export const COPY_WISHES = ['auto', 'copy', 'zerocopy'] as const;
export type CopyWish = (typeof COPY_WISHES)[number];

/** It takes a whole frame of MTU 1500, or is refused. virtio_net was run, the others read. */
const WHOLE: readonly string[] = ['virtio_net', 'i40e', 'ice', 'mlx5_core'];
/** It does not, and says nothing. igb was run, the others read: they have its registers. */
const CUTS: readonly string[] = ['igb', 'igc', 'ixgbe'];

export interface Copying {
  readonly wish: CopyWish;
  /** Why zero-copy is not asked for; empty if it is. */
  readonly why: string;
}

const cutsWhy = (driver: string): string =>
  `zero-copy of ${driver} cuts frames above 1,024 bytes where chunks have 2,048`;

/** What to ask bind(2) for where nobody insists. '': the driver does not say its name. */
export function copyingFor(mode: XdpMode, driver: string): Copying {
  if (mode === 'generic') return { wish: 'copy', why: 'generic mode has no zero-copy' };
  if (WHOLE.includes(driver)) return { wish: 'auto', why: '' };
  if (driver === 'veth') return { wish: 'copy', why: 'veth has no zero-copy' };
  if (CUTS.includes(driver)) return { wish: 'copy', why: cutsWhy(driver) };
  const name = driver === '' ? 'a driver without a name' : driver;
  const what = `whether zero-copy of ${name} takes a whole frame is not known`;
  return { wish: 'copy', why: `${what}; to try: --xdp zerocopy` };
}

/** Why zero-copy cannot be had although it was insisted on; empty: the kernel is to say. */
export const zeroCopyRefusal = (driver: string): string =>
  CUTS.includes(driver) ? cutsWhy(driver) : '';

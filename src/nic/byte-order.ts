/**
 * Numbers of a frame, which are in network order, as a little-endian machine loads them: for what
 * is compared or added without being turned round first (BPF programs, the hash of flow groups).
 */

/** Of 16 bits. */
export const swap16 = (value: number): number => ((value & 0xff) << 8) | ((value >>> 8) & 0xff);

/** Of 32 bits. */
export const swap32 = (value: number): number =>
  ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);

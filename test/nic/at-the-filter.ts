/**
 * What tests before the filter share (wanted-frames, overheard): whose the frames are for, one
 * frame out of one end, and how many have come at another.
 */
import { bytes6, OURS6, OURS6_LINK } from '../net/packets6.ts';
import type { End } from './suite.ts';

export const OURS = 0x0a4d_0002;
export const BROADCAST = 0x0a4d_00ff;
export const ipv6 = [OURS6, OURS6_LINK].map((text) => Uint8Array.from(bytes6(text)));

/** How many frames an end has now. */
export function take({ nic, frames }: End): number {
  nic.reclaim();
  const count = nic.receive(64);
  for (let i = 0; i < count; i++) frames.free(nic.rxOffsets[i]!);
  return count;
}

export function sendRaw(end: End, frame: Uint8Array): void {
  const offset = end.frames.takeTransmit() + 2;
  end.arena.u8.set(frame, offset);
  end.nic.transmit(offset, frame.length);
  end.nic.kick();
}

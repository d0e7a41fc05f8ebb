/**
 * Writes TCP segments into a network arena, right in every checksum, for tests of the observer.
 */
import { addressOf } from '../../sim/address.ts';
import type { Arena } from '../../src/arena/arena.ts';
import { finish, pseudoHeaderSum, sumShort } from '../../src/wire/checksum.ts';

export interface SegmentFields {
  from: number;
  to: number;
  fromPort: number;
  toPort: number;
  seq: number;
  ack?: number;
  flags: number;
  window?: number;
  options?: number[];
  payload?: Uint8Array;
}

export function writeSegment(arena: Arena, at: number, fields: SegmentFields): number {
  const { view, u8 } = arena;
  const options = fields.options ?? [];
  const payload = fields.payload ?? new Uint8Array(0);
  const tcpBytes = 20 + options.length + payload.length;
  u8.fill(0, at, at + 54);
  view.setUint16(at + 12, 0x0800);
  const ip = at + 14;
  view.setUint16(ip, 0x4500);
  view.setUint16(ip + 2, 20 + tcpBytes);
  view.setUint16(ip + 6, 0x4000);
  view.setUint16(ip + 8, 0x4006);
  view.setInt32(ip + 12, addressOf(fields.from));
  view.setInt32(ip + 16, addressOf(fields.to));
  view.setUint16(ip + 10, finish(sumShort(view, ip, 20)), true);
  const tcp = ip + 20;
  view.setUint16(tcp, fields.fromPort);
  view.setUint16(tcp + 2, fields.toPort);
  view.setInt32(tcp + 4, fields.seq);
  view.setInt32(tcp + 8, fields.ack ?? 0);
  view.setUint8(tcp + 12, ((20 + options.length) / 4) << 4);
  view.setUint8(tcp + 13, fields.flags);
  view.setUint16(tcp + 14, fields.window ?? 1000);
  u8.set(options, tcp + 20);
  u8.set(payload, tcp + 20 + options.length);
  const seed = pseudoHeaderSum(addressOf(fields.from), addressOf(fields.to), 6, tcpBytes);
  view.setUint16(tcp + 16, ~arena.kernels.sum(tcp, tcpBytes, seed) & 0xffff, true);
  return 34 + tcpBytes;
}

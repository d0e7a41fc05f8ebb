/**
 * Packets for tests, built and read from plain bytes by code that shares nothing with src/wire.
 *
 * - Builders answer a fresh Uint8Array; every field that a test may want wrong can be given.
 * - Addresses are text ('10.77.0.1') or integers, MAC addresses text ('02:00:00:00:00:01').
 */
import { address } from './harness.ts';

export const HOST_MAC = '02:00:00:00:00:01';
export const OUR_MAC = '02:00:00:00:00:02';
export const EVERYBODY = 'ff:ff:ff:ff:ff:ff';
export const HOST = '10.77.0.1';
export const OURS = '10.77.0.2';

export const bytesOf = (mac: string): number[] => mac.split(':').map((part) => parseInt(part, 16));
const word = (value: number): number[] => [
  (value >>> 24) & 255,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
];
const half = (value: number): number[] => [(value >>> 8) & 255, value & 255];

/** RFC 1071, the slow and obvious way. */
export function checksum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

export interface EthernetFields {
  to?: string;
  from?: string;
  type?: number;
}

export function ethernet(payload: ArrayLike<number>, fields: EthernetFields = {}): Uint8Array {
  const { to = OUR_MAC, from = HOST_MAC, type = 0x0800 } = fields;
  return Uint8Array.from([...bytesOf(to), ...bytesOf(from), ...half(type), ...Array.from(payload)]);
}

export interface ArpFields {
  operation?: number;
  senderMac?: string;
  sender?: string;
  targetMac?: string;
  target?: string;
  hardware?: number;
  lengths?: number;
}

/** An ARP request from the host for our address, unless told otherwise. */
export function arp(fields: ArpFields = {}, frame: EthernetFields = {}): Uint8Array {
  const { operation = 1, senderMac = HOST_MAC, sender = HOST } = fields;
  const { targetMac = '00:00:00:00:00:00', target = OURS } = fields;
  return ethernet(
    [
      ...half(fields.hardware ?? 1),
      ...half(0x0800),
      ...half(fields.lengths ?? 0x0604),
      ...half(operation),
      ...bytesOf(senderMac),
      ...word(address(sender)),
      ...bytesOf(targetMac),
      ...word(address(target)),
    ],
    { type: 0x0806, to: EVERYBODY, ...frame },
  );
}

export interface Ipv4Fields {
  versionIhl?: number;
  tos?: number;
  total?: number;
  id?: number;
  /** Flags and offset as they stand: 0x4000 DF, 0x2000 MF, offset in units of 8. */
  fragment?: number;
  ttl?: number;
  protocol?: number;
  checksum?: number;
  source?: string;
  destination?: string;
  options?: number[];
}

export function ipv4(payload: ArrayLike<number>, fields: Ipv4Fields = {}): Uint8Array {
  const options = fields.options ?? [];
  const header = [
    fields.versionIhl ?? 0x45 + (options.length >> 2),
    fields.tos ?? 0,
    ...half(fields.total ?? 20 + options.length + payload.length),
    ...half(fields.id ?? 0),
    ...half(fields.fragment ?? 0),
    fields.ttl ?? 64,
    fields.protocol ?? 17,
    0,
    0,
    ...word(address(fields.source ?? HOST)),
    ...word(address(fields.destination ?? OURS)),
    ...options,
  ];
  const sum = half(fields.checksum ?? checksum(header));
  header[10] = sum[0]!;
  header[11] = sum[1]!;
  return Uint8Array.from([...header, ...Array.from(payload)]);
}

/** A whole frame with an IPv4 packet in it. */
export const ipFrame = (
  payload: ArrayLike<number>,
  fields: Ipv4Fields = {},
  frame: EthernetFields = {},
): Uint8Array => ethernet(ipv4(payload, fields), frame);

export function icmp(
  type: number,
  code: number,
  rest: number,
  data: ArrayLike<number>,
): Uint8Array {
  const bytes = Uint8Array.from([type, code, 0, 0, ...word(rest), ...Array.from(data)]);
  bytes.set(half(checksum(bytes)), 2);
  return bytes;
}

export interface UdpFields {
  sourcePort?: number;
  port?: number;
  length?: number;
  checksum?: number;
  source?: string;
  destination?: string;
}

export function udp(data: ArrayLike<number>, fields: UdpFields = {}): Uint8Array {
  const length = fields.length ?? 8 + data.length;
  const bytes = Uint8Array.from([
    ...half(fields.sourcePort ?? 4000),
    ...half(fields.port ?? 7),
    ...half(length),
    0,
    0,
    ...Array.from(data),
  ]);
  const pseudo = [
    ...word(address(fields.source ?? HOST)),
    ...word(address(fields.destination ?? OURS)),
    0,
    17,
    ...half(length),
  ];
  const sum = checksum([...pseudo, ...bytes]) || 0xffff;
  bytes.set(half(fields.checksum ?? sum), 6);
  return bytes;
}

/** An IPv4 datagram cut into frames whose IP packets are at most `mtu` long. */
export function fragments(payload: Uint8Array, fields: Ipv4Fields, mtu = 1500): Uint8Array[] {
  const room = (mtu - 20) & ~7;
  const frames: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += room) {
    const more = at + room < payload.length ? 0x2000 : 0;
    const piece = payload.subarray(at, at + room);
    frames.push(ipFrame(piece, { ...fields, fragment: more | (at >> 3) }));
  }
  return frames;
}

const text = (bytes: Uint8Array, separator: string, radix: number, width: number): string =>
  Array.from(bytes, (byte) => byte.toString(radix).padStart(width, '0')).join(separator);
export const macText = (bytes: Uint8Array): string => text(bytes, ':', 16, 2);
export const addressText = (bytes: Uint8Array): string => text(bytes, '.', 10, 1);

export interface Parsed {
  to: string;
  from: string;
  type: number;
  /** After the Ethernet header. */
  body: Uint8Array;
}

export function parseEthernet(frame: Uint8Array): Parsed {
  return {
    to: macText(frame.subarray(0, 6)),
    from: macText(frame.subarray(6, 12)),
    type: (frame[12]! << 8) | frame[13]!,
    body: frame.subarray(14),
  };
}

export function parseArp(frame: Uint8Array) {
  const { to, from, type, body } = parseEthernet(frame);
  return {
    to,
    from,
    type,
    fixed: Array.from(body.subarray(0, 6)),
    operation: (body[6]! << 8) | body[7]!,
    senderMac: macText(body.subarray(8, 14)),
    sender: addressText(body.subarray(14, 18)),
    targetMac: macText(body.subarray(18, 24)),
    target: addressText(body.subarray(24, 28)),
  };
}

export function parseIpv4(frame: Uint8Array) {
  const { to, from, type, body } = parseEthernet(frame);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const header = (body[0]! & 15) * 4;
  return {
    to,
    from,
    type,
    version: body[0]! >> 4,
    tos: body[1]!,
    total: view.getUint16(2),
    id: view.getUint16(4),
    fragment: view.getUint16(6),
    ttl: body[8]!,
    protocol: body[9]!,
    isSound: checksum(body.subarray(0, header)) === 0 && view.getUint16(2) === body.length,
    source: addressText(body.subarray(12, 16)),
    destination: addressText(body.subarray(16, 20)),
    header: body.subarray(0, header),
    payload: body.subarray(header),
  };
}

export function parseIcmp(frame: Uint8Array) {
  const ip = parseIpv4(frame);
  return { ...ip, ...readIcmp(ip.payload) };
}

export function readIcmp(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    icmpType: bytes[0]!,
    code: bytes[1]!,
    rest: view.getUint32(4),
    isIcmpSound: checksum(bytes) === 0,
    data: bytes.subarray(8),
  };
}

/**
 * What fragments (or one whole frame) carry, in order of their offsets; throws when they leave a
 * gap.
 */
export function reassemble(frames: Uint8Array[]): Uint8Array {
  const pieces = frames
    .map(parseIpv4)
    .sort((a, b) => (a.fragment & 0x1fff) - (b.fragment & 0x1fff));
  const bytes: number[] = [];
  pieces.forEach((piece, i) => {
    if ((piece.fragment & 0x1fff) * 8 !== bytes.length) throw new Error('a gap between fragments');
    if (((piece.fragment & 0x2000) !== 0) !== i < pieces.length - 1)
      throw new Error('wrong MF flag');
    if (piece.id !== pieces[0]!.id || !piece.isSound)
      throw new Error('a fragment that is not sound');
    bytes.push(...piece.payload);
  });
  return Uint8Array.from(bytes);
}

/** `length` bytes that differ from each other enough to notice a shift. */
export const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed) & 255);

/**
 * IPv6 packets for tests, from plain bytes, by code that shares nothing with src/wire.
 *
 * - As packets.ts, whose hosts these are: fd77::1 is the host (fe80::1 its link-local address),
 *   fd77::2 is ours.
 */
import type { Ipv6Config } from '../../src/net/both/environment.ts';
import type { EnvironmentChoices } from './harness.ts';
import { bytesOf, checksum, ethernet, HOST_MAC, OUR_MAC, parseEthernet } from './packets.ts';

export const HOST6 = 'fd77::1';
export const HOST6_LINK = 'fe80::1';
export const OURS6 = 'fd77::2';
export const OURS6_LINK = 'fe80::1234:5678:9abc:def0';
export const ALL_NODES = 'ff02::1';

const half = (value: number): number[] => [(value >>> 8) & 255, value & 255];
const word = (value: number): number[] => [...half(value >>> 16), ...half(value)];

/** 16 bytes of 'fd77::2'. */
export function bytes6(text: string): number[] {
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => parseInt(group, 16));
  const left = groups(head);
  const right = groups(tail ?? '');
  const zeros = Array<number>(8 - left.length - right.length).fill(0);
  return [...left, ...zeros, ...right].flatMap(half);
}

/** Four words, as the stack has them. */
export function words6(text: string): number[] {
  const view = new DataView(Uint8Array.from(bytes6(text)).buffer);
  return [0, 4, 8, 12].map((at) => view.getInt32(at));
}

/** All eight groups in full: enough to compare. */
export const text6 = (bytes: ArrayLike<number>): string =>
  Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16)).join(
    ':',
  );
export const full6 = (text: string): string => text6(bytes6(text));

export const solicited6 = (text: string): string => {
  const [high, middle, low] = bytes6(text).slice(13);
  const word = ((middle! << 8) | low!).toString(16);
  return `ff02::1:ff${high!.toString(16).padStart(2, '0')}:${word}`;
};

/** 33:33 and the last four bytes. */
export const groupMac = (text: string): string =>
  [
    '33',
    '33',
    ...bytes6(text)
      .slice(12)
      .map((byte) => byte.toString(16).padStart(2, '0')),
  ].join(':');

/** fd77::2/64 without duplicate address detection, unless told otherwise. */
export const ipv6Choices = (ipv6: Partial<Ipv6Config> = {}): EnvironmentChoices => ({
  config: {
    ipv6: {
      address: words6(OURS6),
      prefixLength: 64,
      gateway: [0, 0, 0, 0],
      linkLocal: words6(OURS6_LINK),
      detectsDuplicates: false,
      slaac: false,
      ...ipv6,
    },
  },
});

export interface Ipv6Fields {
  source?: string;
  destination?: string;
  next?: number;
  hopLimit?: number;
  version?: number;
  trafficClass?: number;
  length?: number;
}

export function ipv6(payload: ArrayLike<number>, fields: Ipv6Fields = {}): Uint8Array {
  const { source = HOST6, destination = OURS6, next = 17, hopLimit = 64 } = fields;
  const first = (((fields.version ?? 6) << 28) | ((fields.trafficClass ?? 0) << 20)) >>> 0;
  return Uint8Array.from([
    ...word(first),
    ...half(fields.length ?? payload.length),
    next,
    hopLimit,
    ...bytes6(source),
    ...bytes6(destination),
    ...Array.from(payload),
  ]);
}

/** A whole frame; to a group's MAC address when the destination is a group. */
export function ip6Frame(
  payload: ArrayLike<number>,
  fields: Ipv6Fields = {},
  to?: string,
): Uint8Array {
  const { destination = OURS6 } = fields;
  const mac = to ?? (destination.startsWith('ff') ? groupMac(destination) : OUR_MAC);
  return ethernet(ipv6(payload, fields), { type: 0x86dd, to: mac });
}

/** RFC 8200 8.1 over the packet's own addresses. */
export function checksum6(
  payload: ArrayLike<number>,
  next: number,
  source: string,
  destination: string,
): number {
  const pseudo = [
    ...bytes6(source),
    ...bytes6(destination),
    ...word(payload.length),
    0,
    0,
    0,
    next,
  ];
  return checksum([...pseudo, ...Array.from(payload)]);
}

export function icmp6(
  type: number,
  code: number,
  body: ArrayLike<number>,
  { source = HOST6, destination = OURS6 }: Ipv6Fields = {},
): Uint8Array {
  const bytes = Uint8Array.from([type, code, 0, 0, ...Array.from(body)]);
  bytes.set(half(checksum6(bytes, 58, source, destination)), 2);
  return bytes;
}

/** A frame with an ICMPv6 message; neighbour discovery has hop limit 255. */
export const icmp6Frame = (
  type: number,
  code: number,
  body: ArrayLike<number>,
  fields: Ipv6Fields = {},
): Uint8Array => {
  const hopLimit = type >= 133 && type <= 137 ? 255 : 64;
  return ip6Frame(icmp6(type, code, body, fields), { next: 58, hopLimit, ...fields });
};

export function udp6(
  data: ArrayLike<number>,
  port = 7,
  fields: Ipv6Fields = {},
  sum?: number,
): Uint8Array {
  const { source = HOST6, destination = OURS6 } = fields;
  const bytes = Uint8Array.from([
    ...half(4000),
    ...half(port),
    ...half(8 + data.length),
    0,
    0,
    ...Array.from(data),
  ]);
  bytes.set(half(sum ?? (checksum6(bytes, 17, source, destination) || 0xffff)), 6);
  return bytes;
}

/** An extension header of whole units: next header, length, content, PadN to the end. */
export function extension(next: number, content: number[]): number[] {
  const bytes = [next, 0, ...content];
  while (bytes.length % 8 !== 0) {
    const left = 8 - (bytes.length % 8);
    bytes.push(...(left === 1 ? [0] : [1, left - 2, ...Array<number>(left - 2).fill(0)]));
  }
  bytes[1] = bytes.length / 8 - 1;
  return bytes;
}

export const fragmentHeader = (
  next: number,
  offset: number,
  more: boolean,
  id: number,
): number[] => [next, 0, ...half(offset | (more ? 1 : 0)), ...word(id)];

/** A payload cut into frames whose packets are at most `mtu` long. */
export function fragments6(
  payload: Uint8Array,
  next: number,
  id: number,
  mtu = 1500,
  fields: Ipv6Fields = {},
): Uint8Array[] {
  const room = (mtu - 48) & ~7;
  const frames: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += room) {
    const piece = payload.subarray(at, at + room);
    const header = fragmentHeader(next, at, at + room < payload.length, id);
    frames.push(ip6Frame([...header, ...piece], { ...fields, next: 44 }));
  }
  return frames;
}

/** An option of neighbour discovery that carries a MAC address: 1 source, 2 target. */
export const macOption = (kind: number, mac = HOST_MAC): number[] => [kind, 1, ...bytesOf(mac)];

/** Neighbour solicitation from the host for our address, unless told otherwise. */
export function solicitation(
  target = OURS6,
  fields: Ipv6Fields = {},
  options = macOption(1),
): Uint8Array {
  const destination = fields.destination ?? solicited6(target);
  return icmp6Frame(135, 0, [0, 0, 0, 0, ...bytes6(target), ...options], {
    ...fields,
    destination,
  });
}

/** Advertisement of the host for itself; flags: 0x80 router, 0x40 solicited, 0x20 override. */
export function advertisement(
  target = HOST6,
  flags = 0x60,
  fields: Ipv6Fields = {},
  options = macOption(2),
): Uint8Array {
  return icmp6Frame(136, 0, [flags, 0, 0, 0, ...bytes6(target), ...options], {
    source: target,
    ...fields,
  });
}

export interface RouterFields {
  lifetime?: number;
  reachable?: number;
  retransmit?: number;
  options?: number[];
}

export function routerAdvertisement(fields: RouterFields = {}, ip: Ipv6Fields = {}): Uint8Array {
  const { lifetime = 1800, reachable = 0, retransmit = 0, options = macOption(1) } = fields;
  const body = [64, 0, ...half(lifetime), ...word(reachable), ...word(retransmit), ...options];
  return icmp6Frame(134, 0, body, { source: HOST6_LINK, destination: ALL_NODES, ...ip });
}

export const prefixOption = (
  prefix: string,
  flags = 0xc0,
  valid = 3600,
  preferred = 1800,
  bits = 64,
): number[] => [
  3,
  4,
  bits,
  flags,
  ...word(valid),
  ...word(preferred),
  0,
  0,
  0,
  0,
  ...bytes6(prefix),
];

export const mtuOption = (mtu: number): number[] => [5, 1, 0, 0, ...word(mtu)];

export function parseIpv6(frame: Uint8Array) {
  const { to, from, type, body } = parseEthernet(frame);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    to,
    from,
    type,
    version: body[0]! >> 4,
    trafficClass: (view.getUint16(0) >> 4) & 255,
    isWhole: view.getUint16(4) === body.length - 40,
    next: body[6]!,
    hopLimit: body[7]!,
    source: text6(body.subarray(8, 24)),
    destination: text6(body.subarray(24, 40)),
    payload: body.subarray(40),
  };
}

export function parseIcmp6(frame: Uint8Array) {
  const ip = parseIpv6(frame);
  // group membership has a router alert before its message
  const message = ip.next === 0 ? ip.payload.subarray(8) : ip.payload;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  return {
    ...ip,
    icmpType: message[0]!,
    code: message[1]!,
    rest: view.getUint32(4),
    isSound: checksum6(message, 58, ip.source, ip.destination) === 0,
    data: message.subarray(8),
  };
}

/** What fragments carry, in order; throws when they leave a gap or disagree. */
export function reassemble6(frames: Uint8Array[]): Uint8Array {
  const bytes: number[] = [];
  const ids = new Set<string>();
  frames.map(parseIpv6).forEach((ip, i) => {
    if (ip.next !== 44) throw new Error('not a fragment');
    const field = (ip.payload[2]! << 8) | ip.payload[3]!;
    if ((field & 0xfff8) !== bytes.length) throw new Error('a gap between fragments');
    if (((field & 1) !== 0) !== i < frames.length - 1) throw new Error('wrong M flag');
    ids.add(ip.payload.subarray(4, 8).join());
    bytes.push(...ip.payload.subarray(8));
  });
  if (ids.size !== 1) throw new Error('more than one ID');
  return Uint8Array.from(bytes);
}

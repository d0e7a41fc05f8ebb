/** Frames of flows, as a peer sends them to us, and the group that each flow should have. */
import { FLOW_KEY_WORDS, type FlowGroups } from '../../src/nic/flow-groups.ts';
import { randomFrom } from '../arena/property.ts';

export interface Flow {
  /** 4 or 16 bytes, both. */
  readonly remote: Uint8Array;
  readonly local: Uint8Array;
  readonly remotePort: number;
  readonly localPort: number;
}

export const TCP = 6;
export const UDP = 17;

const MACS = Buffer.from('02fffffffff102fffffffff2', 'hex');
const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 255);

export function keyFrom(seed: number): number[] {
  const next = randomFrom(seed);
  return Array.from({ length: FLOW_KEY_WORDS }, () => next() | 0);
}

export function flowFrom(next: () => number, addressBytes: 4 | 16): Flow {
  const address = (): Uint8Array => Uint8Array.from({ length: addressBytes }, () => next() & 255);
  const [remote, local] = [address(), address()];
  return { remote, local, remotePort: next() & 0xffff, localPort: next() & 0xffff };
}

/** An address as four words, IPv4 mapped. */
function words(address: Uint8Array, into: Int32Array, at: number): void {
  const whole = Buffer.alloc(16);
  if (address.length === 4) whole.fill(0xff, 10, 12);
  whole.set(address, 16 - address.length);
  for (let i = 0; i < 4; i++) into[at + i] = whole.readInt32BE(4 * i);
}

/** What `FlowGroups` says of it. */
export function groupOf(groups: FlowGroups, flow: Flow): number {
  words(flow.remote, groups.words, 0);
  words(flow.local, groups.words, 4);
  return groups.groupOf(groups.sumOf(flow.remotePort), flow.localPort);
}

export interface Shape {
  protocol?: number;
  /** IPv4: the field of fragments. */
  fragment?: number;
  /** IPv4: words of options. */
  options?: number;
  /** Payload after the ports. */
  payload?: Uint8Array;
  /** IPv6: this before the ports. */
  extension?: Uint8Array;
}

/** Checksums are left out. */
export function frameOf({ remote, local, remotePort, localPort }: Flow, shape: Shape = {}): Buffer {
  const { protocol = TCP, fragment = 0, options = 0, payload = Buffer.alloc(16) } = shape;
  const { extension = Buffer.alloc(0) } = shape;
  const rest = Buffer.concat([extension, u16(remotePort), u16(localPort), payload]);
  if (remote.length === 16) {
    const head = Buffer.concat([Buffer.of(0x60, 0, 0, 0), u16(rest.length)]);
    const both = [remote, local];
    return Buffer.concat([MACS, u16(0x86dd), head, Buffer.of(protocol, 64), ...both, rest]);
  }
  const length = 20 + 4 * options + rest.length;
  const start = Buffer.concat([Buffer.of(0x45 + options, 0), u16(length), u16(1), u16(fragment)]);
  const end = [Buffer.of(64, protocol, 0, 0), remote, local, Buffer.alloc(4 * options, 1)];
  return Buffer.concat([MACS, u16(0x0800), start, ...end, rest]);
}

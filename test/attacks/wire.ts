/**
 * A neighbour on the link of a service, beside the kernel: it hears what the service says to its
 * clients, and says again what they have said, in whatever form it likes.
 *
 * - A packet socket at the host's end. Nothing is read of what the host itself sends: whom the
 *   service acknowledges says where that one is.
 *
 * Used by peers.live.test.ts.
 */
import { readFileSync } from 'node:fs';
import { parseAddress } from '../../src/libix/address.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';
import { readInterface } from '../../src/nic/privileged/interface.ts';
import { Struct } from '../../src/nic/struct.ts';
import { ACK, PSH } from '../../src/wire/tcp.ts';

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const ETH_P_IP_SWAPPED = 0x0008;
const TCP = 6;
const MORE = 0x2000;
const FRAME_MAX = 2048;

/** Where a client of the service is: what it says next, and what it has heard. */
export interface Place {
  readonly port: number;
  readonly next: number;
  readonly heard: number;
}

const u16 = (n: number): Buffer => Buffer.of((n >> 8) & 255, n & 255);
const u32 = (n: number): Buffer => Buffer.concat([u16(n >>> 16), u16(n)]);

/** The Internet checksum. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The frame with a tag behind its addresses. */
export const tagged = (frame: Buffer, type: number, tci: number): Buffer =>
  Buffer.concat([frame.subarray(0, 12), u16(type), u16(tci), frame.subarray(12)]);

export class Wire {
  readonly #fd: number;
  readonly #service: number;
  readonly #servicePort: number;
  readonly #macs: Buffer;
  #id = 0;

  /** The kernel must have spoken to the service before. */
  constructor(service: string, servicePort: number) {
    const known = readFileSync('/proc/self/net/arp', 'latin1').split('\n');
    const line = known.find((each) => each.startsWith(`${service} `)) ?? '';
    const [, , , mac = '', , device = ''] = line.split(/ +/);
    const { index, mac: own } = readInterface(device);
    this.#service = parseAddress(service);
    this.#servicePort = servicePort;
    this.#macs = Buffer.concat([Buffer.from(mac.replaceAll(':', ''), 'hex'), own, u16(0x0800)]);
    this.#fd = must(sys.syscall(SYS.socket, AF_PACKET, SOCK_RAW_NONBLOCK, 0), 'packet socket');
    // sockaddr_ll
    const address = new Struct(20).u16(0, AF_PACKET).u16(2, ETH_P_IP_SWAPPED).u32(4, index);
    must(sys.syscall(SYS.bind, this.#fd, address.bytes, 20), 'binding the packet socket');
  }

  close(): void {
    sys.syscall(SYS.close, this.#fd);
  }

  say(frames: readonly Buffer[]): void {
    for (const frame of frames) must(sys.syscall(SYS.write, this.#fd, frame, frame.length), 'say');
  }

  /** Where each client is, by what the service has said since the last time; data only. */
  places(): Place[] {
    const places = new Map<number, Place>();
    const frame = Buffer.alloc(FRAME_MAX);
    for (;;) {
      const bytes = sys.syscall(SYS.read, this.#fd, frame, FRAME_MAX);
      if (bytes <= 0) return [...places.values()];
      const tcp = 14 + ((frame[14]! & 15) << 2);
      const data = 14 + frame.readUInt16BE(16) - tcp - ((frame[tcp + 12]! >> 4) << 2);
      const isOurs = frame[23] === TCP && frame.readUInt16BE(tcp) === this.#servicePort;
      if (!isOurs || data <= 0) continue;
      const port = frame.readUInt16BE(tcp + 2);
      const heard = (frame.readInt32BE(tcp + 4) + data) | 0;
      places.set(port, { port, next: frame.readInt32BE(tcp + 8), heard });
    }
  }

  /** What a client at `from` said last: a segment, without its IP header. */
  again({ port, next, heard }: Place, from: string, said: Buffer): Buffer {
    const flags = u16(0x5000 | ACK | PSH);
    const head = [u16(port), u16(this.#servicePort), u32(next - said.length), u32(heard), flags];
    const segment = Buffer.concat([...head, u16(500), u16(0), u16(0), said]);
    const ends = Buffer.concat([u32(parseAddress(from)), u32(this.#service)]);
    const pseudo = Buffer.concat([ends, u16(TCP), u16(segment.length)]);
    segment.writeUInt16BE(checksum(Buffer.concat([pseudo, segment])), 16);
    return segment;
  }

  /** One frame. */
  whole(from: string, payload: Buffer): Buffer {
    return this.#packet(from, this.#nextId(), 0, payload);
  }

  /** Fragments of one datagram, of these parts of its payload: [from, to), in bytes. */
  pieces(from: string, payload: Buffer, parts: readonly (readonly [number, number])[]): Buffer[] {
    const id = this.#nextId();
    return parts.map(([start, end]) => {
      const field = (end < payload.length ? MORE : 0) | (start >> 3);
      return this.#packet(from, id, field, payload.subarray(start, end));
    });
  }

  #nextId(): number {
    this.#id = (this.#id + 1) & 0xffff;
    return this.#id;
  }

  #packet(from: string, id: number, fragment: number, payload: Buffer): Buffer {
    const start = [Buffer.of(0x45, 0), u16(20 + payload.length), u16(id), u16(fragment)];
    const ends = [u32(parseAddress(from)), u32(this.#service)];
    const header = Buffer.concat([...start, Buffer.of(64, TCP, 0, 0), ...ends]);
    header.writeUInt16BE(checksum(header), 10);
    return Buffer.concat([this.#macs, header, payload]);
  }
}

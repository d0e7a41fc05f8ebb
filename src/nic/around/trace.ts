/**
 * A driver around a driver that says of every frame what it is, one line each, to a sink.
 *
 * - `<` came in, `>` goes out: `> 10.77.0.2.80 > 10.77.0.1.40000 [S.] seq 1 ack 2 win 65535 len 0`.
 * - Formats allocate: a tool for tests, the simulator and `--trace`, never for service.
 * - `describeFrame` works on any bytes, however short or broken.
 */
import type { Arena } from '../../arena/arena.ts';
import {
  ARP_BYTES,
  ARP_OPERATION,
  ARP_REQUEST,
  ARP_SENDER_IP,
  ARP_TARGET_IP,
} from '../../wire/arp.ts';
import {
  ETH_HEADER_BYTES,
  ETH_PAYLOAD,
  ETH_SOURCE,
  ETH_TYPE,
  ETH_TYPE_ARP,
  ETH_TYPE_IPV4,
  ETH_TYPE_IPV6,
} from '../../wire/ethernet.ts';
import { ICMP_CODE, ICMP_HEADER_BYTES, ICMP_TYPE } from '../../wire/icmp.ts';
import {
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER_BYTES,
  IP_LENGTH,
  IP_MORE_FRAGMENTS,
  IP_OFFSET_MASK,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_VERSION_IHL,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import {
  ACK,
  FIN,
  PSH,
  RST,
  SYN,
  TCP_ACK,
  TCP_DATA_OFFSET,
  TCP_DESTINATION_PORT,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_SEQUENCE,
  TCP_SOURCE_PORT,
  TCP_WINDOW,
  URG,
} from '../../wire/tcp.ts';
import type { Nic } from '../nic.ts';
import { AroundNic } from './around.ts';
import { describeIpv6, type View } from './trace-ipv6.ts';

/** tcpdump's letters. */
const FLAGS: readonly (readonly [number, string])[] = [
  [SYN, 'S'],
  [FIN, 'F'],
  [RST, 'R'],
  [PSH, 'P'],
  [URG, 'U'],
  [ACK, '.'],
];

const flagsText = (flags: number): string =>
  FLAGS.map(([bit, letter]) => (flags & bit ? letter : '')).join('') || 'none';

const addressText = (view: View, at: number): string =>
  [0, 1, 2, 3].map((i) => view.getUint8(at + i)).join('.');

const macText = (view: View, at: number): string =>
  [0, 1, 2, 3, 4, 5]
    .map((i) =>
      view
        .getUint8(at + i)
        .toString(16)
        .padStart(2, '0'),
    )
    .join(':');

function describeArp(view: View, arp: number, bytes: number): string {
  if (bytes < ARP_BYTES) return 'arp, short';
  const sender = addressText(view, arp + ARP_SENDER_IP);
  const target = addressText(view, arp + ARP_TARGET_IP);
  return view.getUint16(arp + ARP_OPERATION) === ARP_REQUEST
    ? `arp who-has ${target} tell ${sender}`
    : `arp ${sender} is-at ${macText(view, arp + ARP_BYTES - 20)} to ${target}`;
}

function describeTcp(view: View, tcp: number, bytes: number, from: string, to: string): string {
  if (bytes < TCP_HEADER_BYTES) return `${from} > ${to} tcp, short`;
  const header = (view.getUint8(tcp + TCP_DATA_OFFSET) >> 4) * 4;
  const flags = view.getUint8(tcp + TCP_FLAGS);
  const near = `${from}.${view.getUint16(tcp + TCP_SOURCE_PORT)}`;
  const far = `${to}.${view.getUint16(tcp + TCP_DESTINATION_PORT)}`;
  const numbers = `seq ${view.getUint32(tcp + TCP_SEQUENCE)} ack ${view.getUint32(tcp + TCP_ACK)}`;
  const sizes = `win ${view.getUint16(tcp + TCP_WINDOW)} len ${bytes - header}`;
  return `${near} > ${far} [${flagsText(flags)}] ${numbers} ${sizes}`;
}

function describeTransport(
  view: View,
  protocol: number,
  at: number,
  bytes: number,
  from: string,
  to: string,
): string | undefined {
  if (protocol === PROTOCOL_TCP) return describeTcp(view, at, bytes, from, to);
  if (protocol !== PROTOCOL_UDP || bytes < 8) return undefined;
  return `${from}.${view.getUint16(at)} > ${to}.${view.getUint16(at + 2)} udp len ${bytes - 8}`;
}

function describeIpv4(view: View, ip: number, bytes: number): string {
  if (bytes < IP_HEADER_BYTES) return 'ip, short';
  const header = (view.getUint8(ip + IP_VERSION_IHL) & 15) * 4;
  const total = view.getUint16(ip + IP_LENGTH);
  if (header < IP_HEADER_BYTES || total < header || total > bytes) return 'ip, bad length';
  const from = addressText(view, ip + IP_SOURCE);
  const to = addressText(view, ip + IP_DESTINATION);
  const protocol = view.getUint8(ip + IP_PROTOCOL);
  const fragment = view.getUint16(ip + IP_FRAGMENT);
  const payload = ip + header;
  const length = total - header;
  if (fragment & (IP_OFFSET_MASK | IP_MORE_FRAGMENTS)) {
    const more = fragment & IP_MORE_FRAGMENTS ? '+' : '';
    const at = `${(fragment & IP_OFFSET_MASK) * 8}${more}`;
    return `${from} > ${to} protocol ${protocol} fragment ${at} len ${length}`;
  }
  const transport = describeTransport(view, protocol, payload, length, from, to);
  if (transport !== undefined) return transport;
  if (protocol === PROTOCOL_ICMP && length >= ICMP_HEADER_BYTES) {
    const type = view.getUint8(payload + ICMP_TYPE);
    const code = view.getUint8(payload + ICMP_CODE);
    return `${from} > ${to} icmp type ${type} code ${code} len ${length}`;
  }
  return `${from} > ${to} protocol ${protocol} len ${length}`;
}

/** One frame in one line, tcpdump's way. */
export function describeFrame(view: View, offset: number, length: number): string {
  if (length < ETH_HEADER_BYTES) return `short frame len ${length}`;
  const type = view.getUint16(offset + ETH_TYPE);
  const payload = offset + ETH_PAYLOAD;
  const bytes = length - ETH_HEADER_BYTES;
  if (type === ETH_TYPE_IPV4) return describeIpv4(view, payload, bytes);
  if (type === ETH_TYPE_IPV6) {
    return describeIpv6(view, payload, bytes, (...what) => describeTransport(view, ...what));
  }
  if (type === ETH_TYPE_ARP) return describeArp(view, payload, bytes);
  const ends = `${macText(view, offset + ETH_SOURCE)} > ${macText(view, offset)}`;
  return `${ends} type 0x${type.toString(16).padStart(4, '0')} len ${bytes}`;
}

export class Trace extends AroundNic {
  readonly #view: View;
  readonly #sink: (line: string) => void;

  constructor(inner: Nic, arena: Arena, sink: (line: string) => void) {
    super(inner, `traced ${inner.name}`);
    this.#view = arena.view;
    this.#sink = sink;
  }

  override receive(max: number): number {
    const count = this.inner.receive(max);
    for (let i = 0; i < count; i++) {
      this.#sink(`< ${describeFrame(this.#view, this.rxOffsets[i]!, this.rxLengths[i]!)}`);
    }
    return count;
  }

  override transmit(offset: number, length: number): void {
    this.#sink(`> ${describeFrame(this.#view, offset, length)}`);
    this.inner.transmit(offset, length);
  }
}

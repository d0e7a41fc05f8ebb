/**
 * An IPv6 packet in words, for trace.ts: its extension headers by name, ICMPv6 by what it says.
 *
 * - `fd77::1 > fd77::2 icmp6 echo request len 64`, `fe80::1 > ff02::1 icmp6 router advertisement`.
 * - Works on any bytes, however short or broken; a chain of headers is followed for eight.
 */
import {
  ICMP6_CODE,
  ICMP6_HEADER_BYTES,
  ICMP6_TYPE,
  ND_OPTIONS,
  ND_TARGET,
} from '../../wire/icmpv6.ts';
import {
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_MORE,
  FRAGMENT_OFFSET,
  FRAGMENT_OFFSET_MASK,
  HEADER_DESTINATION,
  HEADER_FRAGMENT,
  HEADER_HOP_BY_HOP,
  HEADER_NONE,
  HEADER_ROUTING,
  IP6_DESTINATION,
  IP6_HEADER_BYTES,
  IP6_LENGTH,
  IP6_NEXT_HEADER,
  IP6_SOURCE,
  PROTOCOL_ICMP6,
} from '../../wire/ipv6.ts';
import { formatIpv6, wordsOfIpv6 } from '../../wire/ipv6-text.ts';

export type View = DataView<ArrayBufferLike>;
/** What trace.ts says of TCP and UDP; undefined: it does not know the protocol. */
type DescribeTransport = (
  protocol: number,
  at: number,
  bytes: number,
  from: string,
  to: string,
) => string | undefined;

const EXTENSIONS: Record<number, string> = {
  [HEADER_HOP_BY_HOP]: 'hop-by-hop',
  [HEADER_ROUTING]: 'routing',
  [HEADER_DESTINATION]: 'destination options',
};

const MESSAGES: Record<number, string> = {
  1: 'unreachable',
  2: 'too big',
  3: 'time exceeded',
  4: 'parameter problem',
  128: 'echo request',
  129: 'echo reply',
  130: 'listener query',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbour solicitation',
  136: 'neighbour advertisement',
  137: 'redirect',
  143: 'listener report',
};

/** As many as the stack takes (EXTENSION_HEADERS_MAX): it would drop a longer chain. */
const HEADERS_MAX = 8;

function describeIcmp6(view: View, icmp: number, bytes: number): string {
  if (bytes < ICMP6_HEADER_BYTES) return 'icmp6, short';
  const type = view.getUint8(icmp + ICMP6_TYPE);
  const code = view.getUint8(icmp + ICMP6_CODE);
  const name = MESSAGES[type] ?? `type ${type}`;
  const detail = code === 0 ? '' : ` code ${code}`;
  const hasTarget = type >= 135 && type <= 136 && bytes >= ND_OPTIONS;
  const target = hasTarget ? ` ${formatIpv6(wordsOfIpv6(view, icmp + ND_TARGET))}` : '';
  return `icmp6 ${name}${target}${detail} len ${bytes}`;
}

/** The packet at `ip`, of which `bytes` are there. */
export function describeIpv6(
  view: View,
  ip: number,
  bytes: number,
  describeTransport: DescribeTransport,
): string {
  if (bytes < IP6_HEADER_BYTES) return 'ip6, short';
  const total = IP6_HEADER_BYTES + view.getUint16(ip + IP6_LENGTH);
  if (total > bytes) return 'ip6, bad length';
  const from = formatIpv6(wordsOfIpv6(view, ip + IP6_SOURCE));
  const to = formatIpv6(wordsOfIpv6(view, ip + IP6_DESTINATION));
  const end = ip + total;
  let next = view.getUint8(ip + IP6_NEXT_HEADER);
  let at = ip + IP6_HEADER_BYTES;
  const passed: string[] = [];
  for (let count = 0; count < HEADERS_MAX && at + 8 <= end; count++) {
    const name = EXTENSIONS[next];
    if (name === undefined && next !== HEADER_FRAGMENT) break;
    if (name === undefined) {
      const field = view.getUint16(at + FRAGMENT_OFFSET);
      const more = (field & FRAGMENT_MORE) === 0 ? '' : '+';
      passed.push(`fragment ${field & FRAGMENT_OFFSET_MASK}${more}`);
    } else passed.push(name);
    const isRest =
      next === HEADER_FRAGMENT &&
      (view.getUint16(at + FRAGMENT_OFFSET) & FRAGMENT_OFFSET_MASK) !== 0;
    const length =
      next === HEADER_FRAGMENT ? FRAGMENT_HEADER_BYTES : (view.getUint8(at + 1) + 1) * 8;
    next = view.getUint8(at);
    at += length;
    if (isRest) return `${from} > ${to} ${passed.join(' ')} protocol ${next} len ${end - at}`;
  }
  const length = Math.max(0, end - at);
  const through = passed.length > 0 ? ` (${passed.join(', ')})` : '';
  if (next === PROTOCOL_ICMP6)
    return `${from} > ${to} ${describeIcmp6(view, at, length)}${through}`;
  if (next === HEADER_NONE) return `${from} > ${to} nothing${through}`;
  const transport = describeTransport(next, at, length, from, to);
  return `${transport ?? `${from} > ${to} protocol ${next} len ${length}`}${through}`;
}

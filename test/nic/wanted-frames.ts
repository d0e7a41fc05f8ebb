/**
 * Every frame that the stack uses if it gets it, and what looks like one: who must get it on an
 * interface that we share with the kernel.
 *
 * - 'ours': the XDP program takes it. 'both': the kernel gets it, and so do we. 'kernel': not for
 *   us.
 * - The same table says what the stack makes of each (wanted-frames.test.ts), so that the filter
 *   cannot be narrower than the stack, nor wider, without a test that says so.
 */
import * as v4 from '../net/packets.ts';
import * as v6 from '../net/packets6.ts';

export type Way = 'ours' | 'both' | 'kernel';
export interface Wanted {
  name: string;
  frame: Uint8Array;
  way: Way;
  isTagged: boolean;
}

const PEER_MAC = '02:00:00:00:00:01';
const OTHER = '10.77.0.9';
/** Behind a tag of 802.1ad, Linux sends no frame of a whole MTU. */
const ROOM = 1400;
const OTHER6 = 'fd77::9';

/** A frame with a tag: what stood at 12 moves on by four. */
export const tagged = (frame: Uint8Array, tci: number, type = 0x8100): Uint8Array =>
  Uint8Array.from([
    ...frame.subarray(0, 12),
    ...[type >> 8, type & 255, tci >> 8, tci & 255],
    ...frame.subarray(12),
  ]);

const echo4 = v4.icmp(8, 0, 0x1_0001, [1, 2, 3, 4]);
const datagram = v4.udp([1, 2, 3]);
const [head, tail] = v4.fragments(v4.udp(new Uint8Array(2000)), { protocol: 17 }, ROOM);
const quoted = [...v4.ipFrame(v4.udp([1]), { source: v4.OURS, destination: v4.HOST }).subarray(14)];
const from6 = { source: v6.OURS6, destination: v6.HOST6 };
const quoted6 = [...v6.ip6Frame(v6.udp6([1], 9, from6), { next: 17, ...from6 }).subarray(14)];
const [head6, tail6] = v6.fragments6(v6.udp6(new Uint8Array(2000)), 17, 1, ROOM);
const broadcast = { to: v4.EVERYBODY };
const toUs = (destination: string) => v4.udp([1], { destination });

// biome-ignore format: a table
const UNTAGGED: [name: string, way: Way, frame: Uint8Array][] = [
  ['ARP request for us, broadcast', 'ours', v4.arp()],
  ['ARP request for us, unicast', 'ours', v4.arp({}, { to: v4.OUR_MAC })],
  ['ARP reply to us', 'ours', v4.arp({ operation: 2 }, { to: v4.OUR_MAC })],
  ['ARP probe for our address', 'ours', v4.arp({ sender: '0.0.0.0' })],
  ['gratuitous ARP request', 'both', v4.arp({ target: v4.HOST })],
  ['gratuitous ARP reply', 'both', v4.arp({ operation: 2, target: v4.HOST })],
  ['ARP request for somebody else', 'both', v4.arp({ target: OTHER })],
  ['IPv4 echo request', 'ours', v4.ipFrame(echo4, { protocol: 1 })],
  ['UDP', 'ours', v4.ipFrame(datagram)],
  ['first fragment', 'ours', head!],
  ['fragment without ports', 'ours', tail!],
  ['ICMP error about our flow', 'ours', v4.ipFrame(v4.icmp(3, 3, 0, quoted), { protocol: 1 })],
  ['UDP to 255.255.255.255', 'both', v4.ipFrame(toUs('255.255.255.255'), { destination: '255.255.255.255' }, broadcast)],
  ['UDP to our network', 'both', v4.ipFrame(toUs('10.77.0.255'), { destination: '10.77.0.255' }, broadcast)],
  ['TCP to 255.255.255.255', 'kernel', v4.ipFrame([1, 2, 3], { protocol: 6, destination: '255.255.255.255' }, broadcast)],
  ['UDP to a group', 'kernel', v4.ipFrame(toUs('224.0.0.251'), { destination: '224.0.0.251' }, { to: '01:00:5e:00:00:fb' })],
  ['UDP to somebody else', 'kernel', v4.ipFrame(toUs(OTHER), { destination: OTHER })],
  ['IPv6 echo request', 'ours', v6.icmp6Frame(128, 0, [0, 1, 0, 2, 3, 4])],
  ['IPv6 echo request to our link-local address', 'ours', v6.icmp6Frame(128, 0, [0, 1, 0, 2], { destination: v6.OURS6_LINK, source: v6.HOST6_LINK })],
  ['solicitation to our group', 'ours', v6.solicitation()],
  ['solicitation, unicast', 'ours', v6.solicitation(v6.OURS6, { destination: v6.OURS6 })],
  ['solicitation of a duplicate check', 'ours', v6.solicitation(v6.OURS6, { source: '::' }, [])],
  ['solicited advertisement', 'ours', v6.advertisement(v6.HOST6)],
  ['unsolicited advertisement to all nodes', 'both', v6.advertisement(v6.HOST6, 0x20, { destination: v6.ALL_NODES })],
  ['advertisement of our own address to all nodes', 'both', v6.advertisement(v6.OURS6, 0x20, { destination: v6.ALL_NODES })],
  ['router advertisement to all nodes', 'both', v6.routerAdvertisement()],
  ['router advertisement, unicast', 'ours', v6.routerAdvertisement({}, { destination: v6.OURS6_LINK })],
  ['first fragment over IPv6', 'ours', head6!],
  ['fragment over IPv6 without ports', 'ours', tail6!],
  ['ICMPv6 error about our flow', 'ours', v6.icmp6Frame(1, 4, [0, 0, 0, 0, ...quoted6])],
  ['IPv6 to somebody else', 'kernel', v6.icmp6Frame(128, 0, [0, 1, 0, 2], { destination: OTHER6 })],
  ['IPv6 echo request to all nodes', 'kernel', v6.icmp6Frame(128, 0, [0, 1, 0, 2], { destination: v6.ALL_NODES })],
  ['solicitation to the group of somebody else', 'kernel', v6.solicitation(OTHER6)],
  ['another type', 'kernel', v4.ethernet(new Uint8Array(46), { type: 0x88b5, to: PEER_MAC })],
];

const withTag = (what: string, tci: number, type: number) =>
  UNTAGGED.filter(([, way]) => way !== 'kernel').map(([name, way, frame]): Wanted => {
    const isPriority = (tci & 0xfff) === 0;
    return {
      name: `${name}, ${what}`,
      frame: tagged(frame, tci, type),
      way: isPriority ? way : 'kernel',
      isTagged: true,
    };
  });

export const WANTED: readonly Wanted[] = [
  ...UNTAGGED.map(([name, way, frame]): Wanted => ({ name, way, frame, isTagged: false })),
  ...withTag('priority tag', 0, 0x8100),
  ...withTag('priority tag 7, 802.1ad', 0xe000, 0x88a8),
  ...withTag('VLAN 5', 5, 0x8100),
];

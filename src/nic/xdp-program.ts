/**
 * The XDP program: which frames of an interface are ours and which stay the kernel's.
 *
 * - Ours: IPv4 (fragments included) to one of our addresses; ARP that asks for or answers one of
 *   our addresses; IPv6 to one of our addresses or its solicited-node multicast address (RFC 4291
 *   2.7.1: NDP asks there), to a group that is named, or to an interface identifier of ours whatever
 *   its prefix (addresses made from advertised ones).
 * - Everything else, VLAN-tagged and truncated frames included, is XDP_PASS.
 * - Ours goes to the AF_XDP socket of the queue it came in on; with no socket there, to the kernel.
 * - `everything` takes all frames: for an interface that is ours alone.
 * - Addresses are immediates: a change of address is a new program.
 *
 * Called by attach.ts. Read first: Documentation/bpf/redirect.rst; bpf-helpers(7) bpf_redirect_map.
 */
import { ARP_BYTES, ARP_LENGTHS, ARP_LENGTHS_6_4, ARP_TARGET_IP } from '../wire/arp.ts';
import {
  ETH_HEADER_BYTES,
  ETH_PAYLOAD,
  ETH_TYPE,
  ETH_TYPE_ARP,
  ETH_TYPE_IPV4,
  ETH_TYPE_IPV6,
} from '../wire/ethernet.ts';
import { IP_DESTINATION, IP_HEADER_BYTES } from '../wire/ipv4.ts';
import { Assembler, register } from './bpf.ts';

const XDP_PASS = 2;
const BPF_REDIRECT_MAP = 51;

/** struct xdp_md */
const CTX_DATA = 0;
const CTX_DATA_END = 4;
const CTX_RX_QUEUE_INDEX = 16;

/** RFC 8200 section 3, from the start of the IPv6 header. */
const IPV6_DESTINATION = 24;
const IPV6_HEADER_BYTES = 40;

/** The program's registers. */
const CONTEXT = 6;
const DATA = 7;
const DATA_END = 8;
const SCRATCH = 9;

export interface OurAddresses {
  /** Big-endian integers. */
  ipv4: readonly number[];
  /** 16 bytes each. */
  ipv6?: readonly Uint8Array[];
  /** Groups, 16 bytes each: on a link of our own only, for the kernel hears no more of them. */
  groups?: readonly Uint8Array[];
  /** 8 bytes each: the second halves of addresses. */
  interfaceIds?: readonly Uint8Array[];
  /** Takes all frames. */
  everything?: boolean;
}

/** As a little-endian load of network-order bytes sees them. */
const swap16 = (value: number): number => ((value & 0xff) << 8) | (value >> 8);
const swap32 = (value: number): number =>
  ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);

/** ff02::1:ff00:0/104 and the last 24 bits of the address. */
export function solicitedNode(address: Uint8Array): Uint8Array {
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0);
  group.set(address.subarray(13, 16), 13);
  return group;
}

/** Frames shorter than `bytes` are not ours. */
const needs = (program: Assembler, bytes: number): Assembler =>
  program
    .alu('mov', SCRATCH, register(DATA))
    .alu('add', SCRATCH, bytes)
    .jumpIf('gt', SCRATCH, register(DATA_END), 'pass');

function matchIpv4(program: Assembler, field: number, addresses: readonly number[]): void {
  program.load(4, SCRATCH, DATA, field);
  for (const address of addresses) program.jumpIf32('eq', SCRATCH, swap32(address), 'ours');
  program.jump('pass');
}

/** `patterns`: the last bytes of destinations, 16 (all of them) or 8. */
function matchIpv6(program: Assembler, patterns: readonly Uint8Array[]): void {
  patterns.forEach((pattern, index) => {
    const { length } = pattern;
    const view = new DataView(pattern.buffer, pattern.byteOffset, length);
    const first = ETH_PAYLOAD + IPV6_DESTINATION + 16 - length;
    for (let word = 0; word < length; word += 4) {
      program.load(4, SCRATCH, DATA, first + word);
      program.jumpIf32('ne', SCRATCH, view.getInt32(word, true), `not ${index}`);
    }
    program.jump('ours').label(`not ${index}`);
  });
  program.jump('pass');
}

/** The program's code for these addresses and the map of sockets behind `xskMapFd`. */
export function assembleXdpProgram(ours: OurAddresses, xskMapFd: number): Uint8Array {
  const program = new Assembler().alu('mov', CONTEXT, register(1));
  const { groups = [], interfaceIds = [] } = ours;
  const addresses = (ours.ipv6 ?? []).flatMap((address) => [address, solicitedNode(address)]);
  const ipv6 = [...addresses, ...groups, ...interfaceIds];
  if (!ours.everything && ours.ipv4.length + ipv6.length === 0) {
    // The verifier refuses unreachable code.
    return program.alu('mov', 0, XDP_PASS).exit().assemble();
  }
  if (!ours.everything) {
    program.load(4, DATA, CONTEXT, CTX_DATA).load(4, DATA_END, CONTEXT, CTX_DATA_END);
    needs(program, ETH_HEADER_BYTES)
      .load(2, SCRATCH, DATA, ETH_TYPE)
      .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_IPV4), 'ipv4')
      .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_ARP), 'arp')
      .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_IPV6), 'ipv6')
      .label('pass')
      .alu('mov', 0, XDP_PASS)
      .exit();

    program.label('ipv4');
    matchIpv4(
      needs(program, ETH_PAYLOAD + IP_HEADER_BYTES),
      ETH_PAYLOAD + IP_DESTINATION,
      ours.ipv4,
    );

    needs(program.label('arp'), ETH_PAYLOAD + ARP_BYTES)
      .load(2, SCRATCH, DATA, ETH_PAYLOAD + ARP_LENGTHS)
      .jumpIf32('ne', SCRATCH, swap16(ARP_LENGTHS_6_4), 'pass');
    matchIpv4(program, ETH_PAYLOAD + ARP_TARGET_IP, ours.ipv4);

    program.label('ipv6');
    matchIpv6(needs(program, ETH_PAYLOAD + IPV6_HEADER_BYTES), ipv6);
  }
  return program
    .label('ours')
    .loadMap(1, xskMapFd)
    .load(4, 2, CONTEXT, CTX_RX_QUEUE_INDEX)
    .alu('mov', 3, XDP_PASS)
    .call(BPF_REDIRECT_MAP)
    .exit()
    .assemble();
}

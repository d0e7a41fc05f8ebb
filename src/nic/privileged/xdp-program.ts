/**
 * The XDP program: which frames of an interface are ours and which stay the kernel's.
 *
 * - Ours: IPv4 (fragments included) to one of our addresses; ARP that asks for or answers one of
 *   our addresses; IPv6 to one of our addresses or its solicited-node multicast address (RFC 4291
 *   2.7.1: NDP asks there). Behind a priority tag (VID 0), too.
 * - Everything else, frames of a VLAN and truncated ones included, is XDP_PASS. What is for
 *   everybody is among it, because XDP cannot copy: the kernel gets it, and hands us a copy of what
 *   we need (packet-socket.ts).
 * - Ours goes to the AF_XDP socket of the queue it came in on; with no socket there, to the kernel.
 * - `everything` takes all frames: for an interface that is ours alone.
 * - Addresses are immediates: a change of address is a new program.
 *
 * Called by attach.ts. Read first: Documentation/bpf/redirect.rst; bpf-helpers(7) bpf_redirect_map.
 */

import { ARP_BYTES, ARP_LENGTHS, ARP_LENGTHS_6_4, ARP_TARGET_IP } from '../../wire/arp.ts';
import {
  ETH_HEADER_BYTES,
  ETH_PAYLOAD,
  ETH_TAG,
  ETH_TAG_BYTES,
  ETH_TYPE,
  ETH_TYPE_ARP,
  ETH_TYPE_IPV4,
  ETH_TYPE_IPV6,
  ETH_TYPE_SERVICE_VLAN,
  ETH_TYPE_VLAN,
  ETH_VID,
} from '../../wire/ethernet.ts';
import { IP_DESTINATION, IP_HEADER_BYTES } from '../../wire/ipv4.ts';
import { swap16, swap32 } from '../byte-order.ts';
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
  /** Takes all frames: for a link of our own. */
  everything?: boolean;
}

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

function matchIpv6(program: Assembler, addresses: readonly Uint8Array[]): void {
  addresses.forEach((address, index) => {
    const view = new DataView(address.buffer, address.byteOffset, address.length);
    for (let word = 0; word < address.length; word += 4) {
      program.load(4, SCRATCH, DATA, ETH_PAYLOAD + IPV6_DESTINATION + word);
      program.jumpIf32('ne', SCRATCH, view.getInt32(word, true), `not ${index}`);
    }
    program.jump('ours').label(`not ${index}`);
  });
  program.jump('pass');
}

/** To the part for the type that stands at DATA's; falls through for any other. */
const byType = (program: Assembler): Assembler =>
  program
    .load(2, SCRATCH, DATA, ETH_TYPE)
    .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_IPV4), 'ipv4')
    .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_ARP), 'arp')
    .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_IPV6), 'ipv6');

/** The program's code for these addresses and the map of sockets behind `xskMapFd`. */
export function assembleXdpProgram(ours: OurAddresses, xskMapFd: number): Uint8Array {
  const program = new Assembler().alu('mov', CONTEXT, register(1));
  const ipv6 = (ours.ipv6 ?? []).flatMap((address) => [address, solicitedNode(address)]);
  if (!ours.everything && ours.ipv4.length + ipv6.length === 0) {
    // The verifier refuses unreachable code.
    return program.alu('mov', 0, XDP_PASS).exit().assemble();
  }
  if (!ours.everything) {
    program.load(4, DATA, CONTEXT, CTX_DATA).load(4, DATA_END, CONTEXT, CTX_DATA_END);
    byType(needs(program, ETH_HEADER_BYTES))
      .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_VLAN), 'tag')
      .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_SERVICE_VLAN), 'tag')
      .label('pass')
      .alu('mov', 0, XDP_PASS)
      .exit();

    needs(program.label('tag'), ETH_HEADER_BYTES + ETH_TAG_BYTES)
      .load(2, SCRATCH, DATA, ETH_TAG)
      .alu('and', SCRATCH, swap16(ETH_VID))
      .jumpIf32('ne', SCRATCH, 0, 'pass')
      .alu('add', DATA, ETH_TAG_BYTES);
    byType(program).jump('pass');

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

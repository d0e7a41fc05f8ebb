/**
 * The privileged half of overhearing (nic/around/overheard.ts): a packet socket that sees what the
 * XDP program leaves to the kernel, and a filter that lets through what the stack needs of it, too.
 *
 * - Of an interface shared with the kernel the XDP program takes only what is ours alone
 *   (xdp-program.ts). What is for everybody must reach both, and XDP cannot copy; the kernel can.
 * - Let through: every ARP packet (one that is not for us may still say that a neighbour has moved,
 *   RFC 826); UDP to a broadcast address; neighbour and router advertisements to all nodes (RFC
 *   4861 7.2.6, 6.2.4; RFC 4862 5.4.4).
 * - Frames of a VLAN (not priority tags, VID 0) and frames that this machine sends are not.
 * - The filter is locked: who is handed the descriptor cannot listen to more. Needs CAP_NET_RAW.
 *
 * Called by the control plane, once a thread. Read first: packet(7);
 * Documentation/networking/filter.rst; linux/filter.h.
 */
import { SYS, sys } from '../../native/sys.ts';
import { ARP_BYTES } from '../../wire/arp.ts';
import {
  ETH_PAYLOAD,
  ETH_TYPE,
  ETH_TYPE_ARP,
  ETH_TYPE_IPV4,
  ETH_TYPE_IPV6,
} from '../../wire/ethernet.ts';
import { ICMP6_NEIGHBOUR_ADVERTISEMENT, ICMP6_ROUTER_ADVERTISEMENT } from '../../wire/icmpv6.ts';
import { IP_DESTINATION, IP_PROTOCOL, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import {
  ALL_NODES,
  IP6_DESTINATION,
  IP6_HEADER_BYTES,
  IP6_NEXT_HEADER,
  PROTOCOL_ICMP6,
} from '../../wire/ipv6.ts';
import { granted } from '../errors.ts';
import { Struct } from '../struct.ts';

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SO_LOCK_FILTER = 44;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;

/** Classic BPF: BPF_LD | size | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, and the two ends. */
const LOAD = { 1: 0x30, 2: 0x28, 4: 0x20 } as const;
const AND = 0x54;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
/** Ancillary words: SKF_AD_OFF + SKF_AD_VLAN_TAG and SKF_AD_VLAN_TAG_PRESENT. */
const ANCILLARY = 0xffff_f000;
const VLAN_TAG = ANCILLARY + 44;
const VLAN_TAG_PRESENT = ANCILLARY + 48;
const VID = 0xfff;
const WHOLE = 0xffff;
const GROUP_0 = 0xff02_0000;

/** [code, jump if true, jump if false, k]; jumps are labels until they are resolved. */
type Instruction = [code: number, then: string, otherwise: string, k: number];

/** A classic BPF program of tests that lead on, or to 'take' or 'drop'. */
class Filter {
  readonly #code: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  label(name: string): this {
    this.#labels.set(name, this.#code.length);
    return this;
  }

  load(bytes: keyof typeof LOAD, at: number): this {
    this.#code.push([LOAD[bytes], '', '', at >>> 0]);
    return this;
  }

  and(mask: number): this {
    this.#code.push([AND, '', '', mask]);
    return this;
  }

  /** An empty label: the next instruction. */
  ifEqual(value: number, then: string, otherwise: string): this {
    this.#code.push([JUMP_IF_EQUAL, then, otherwise, value >>> 0]);
    return this;
  }

  end(name: string, bytes: number): this {
    this.label(name).#code.push([RETURN, '', '', bytes]);
    return this;
  }

  /** struct sock_filter each; jumps are forward, by instructions. */
  assemble(): { bytes: Uint8Array; count: number } {
    const out = new Struct(this.#code.length * 8);
    for (const [i, [code, then, otherwise, k]] of this.#code.entries()) {
      const to = (label: string): number => {
        const target = label === '' ? i + 1 : this.#labels.get(label);
        if (target === undefined || target <= i) throw new Error(`filter: no way to ${label}`);
        return target - i - 1;
      };
      const jumps = code === JUMP_IF_EQUAL ? to(then) | (to(otherwise) << 8) : 0;
      out.u16(i * 8, code).u16(i * 8 + 2, jumps);
      out.u32(i * 8 + 4, k);
    }
    return { bytes: out.bytes, count: this.#code.length };
  }
}

/**
 * `broadcast` is our network's, beside 255.255.255.255; with `hasIpv6` also what is for all nodes.
 */
export function overhearingFilter(
  broadcast: number,
  hasIpv6: boolean,
): { bytes: Uint8Array; count: number } {
  const filter = new Filter()
    .load(4, VLAN_TAG_PRESENT)
    .ifEqual(0, 'untagged', '')
    .load(4, VLAN_TAG)
    .and(VID)
    .ifEqual(0, 'untagged', 'drop')
    .label('untagged')
    .load(2, ETH_TYPE)
    .ifEqual(ETH_TYPE_ARP, 'arp', '')
    .ifEqual(ETH_TYPE_IPV4, 'ipv4', '')
    .ifEqual(ETH_TYPE_IPV6, hasIpv6 ? 'ipv6' : 'drop', 'drop')
    // A load beyond the end of a frame ends the program, and drops it.
    .label('arp')
    .load(1, ETH_PAYLOAD + ARP_BYTES - 1)
    .ifEqual(0, 'take', 'take')
    .label('ipv4')
    .load(4, ETH_PAYLOAD + IP_DESTINATION)
    .ifEqual(-1, 'udp', '')
    .ifEqual(broadcast, 'udp', 'drop')
    .label('udp')
    .load(1, ETH_PAYLOAD + IP_PROTOCOL)
    .ifEqual(PROTOCOL_UDP, 'take', 'drop');
  if (hasIpv6) {
    filter.label('ipv6');
    for (const [i, word] of [GROUP_0, 0, 0, ALL_NODES].entries()) {
      filter.load(4, ETH_PAYLOAD + IP6_DESTINATION + 4 * i).ifEqual(word, '', 'drop');
    }
    filter
      .load(1, ETH_PAYLOAD + IP6_NEXT_HEADER)
      .ifEqual(PROTOCOL_ICMP6, '', 'drop')
      .load(1, ETH_PAYLOAD + IP6_HEADER_BYTES)
      .ifEqual(ICMP6_ROUTER_ADVERTISEMENT, 'take', '')
      .ifEqual(ICMP6_NEIGHBOUR_ADVERTISEMENT, 'take', 'drop');
  }
  return filter.end('take', WHOLE).end('drop', 0).assemble();
}

/** The socket, non-blocking, one read a frame. The caller's to close. */
export function openOverhearing(ifindex: number, broadcast: number, hasIpv6: boolean): number {
  const what = `packet socket on interface ${ifindex}`;
  // Protocol 0 hears nothing yet: not before the filter is there.
  const fd = granted(sys.syscall(SYS.socket, AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, 0), what);
  const on = new Struct(4).u32(0, 1).bytes;
  const set = (level: number, option: number, value: Uint8Array): void => {
    granted(sys.syscall(SYS.setsockopt, fd, level, option, value, value.length), what);
  };
  try {
    set(SOL_PACKET, PACKET_IGNORE_OUTGOING, on);
    const { bytes, count } = overhearingFilter(broadcast, hasIpv6);
    set(SOL_SOCKET, SO_ATTACH_FILTER, new Struct(16).u16(0, count).pointer(8, bytes).bytes);
    set(SOL_SOCKET, SO_LOCK_FILTER, on);
    const address = new Struct(20)
      .u16(0, AF_PACKET)
      .u16(2, ETH_P_ALL << 8)
      .u32(4, ifindex);
    granted(sys.syscall(SYS.bind, fd, address.bytes, 20), what);
    return fd;
  } catch (error) {
    sys.syscall(SYS.close, fd);
    throw error;
  }
}

/**
 * rtnetlink, as much of it as links need: a veth pair, its addresses and routes, and what is there.
 *
 * - `Netlink` is one socket; it works on the network namespace that the calling thread was in when
 *   it was made.
 * - Every request waits for the kernel's answer; a refusal is a `NetlinkError` with the errno.
 * - Synchronous and allocating: set-up code.
 *
 * Called by network.ts, links.ts, watch.ts and cli/stat.ts; so a machine without iproute2 will do.
 * Read first: man 7 rtnetlink, man 7 netlink; linux/if_link.h, linux/veth.h for the attributes.
 */
import { must, SOCK_RAW_CLOEXEC, SYS, sys } from '../../native/sys.ts';
import { wordsOfIpv6 } from '../../wire/ipv6-text.ts';
import { Message, messagesIn, readAttributes, textOf } from './netlink-message.ts';

const AF_NETLINK = 16;
const AF_INET = 2;
const AF_INET6 = 10;
/** No duplicate address detection: usable at once. */
const IFA_F_NODAD = 2;

const EEXIST = 17;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;

const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE_NEW = 0x600; // CREATE | EXCL

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_PID = 19;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;

export const IFF_UP = 1;

export class NetlinkError extends Error {
  readonly code = 'IX_NETLINK';
  readonly errno: number;
  constructor(what: string, errno: number) {
    super(`${what}: refused by the kernel, errno ${errno}`);
    this.errno = errno;
  }
}

export interface Link {
  index: number;
  name: string;
  flags: number;
  mtu: number;
  /** Six bytes for Ethernet; empty for links without a hardware address. */
  mac: number[];
  /** 'veth', 'tun', ...; empty for hardware. */
  kind: string;
}

/** Big-endian integers as int32: one of IPv4, four of IPv6. */
export interface InterfaceAddress<T extends number | number[]> {
  index: number;
  address: T;
  prefixLength: number;
}

export interface VethEnd {
  name: string;
  /** Receive and transmit queues; 1 unless said. */
  queues?: number;
  /** As many as `queues` unless said. */
  transmitQueues?: number;
}

export class Netlink {
  readonly #fd: number;
  #sequence = 0;

  constructor() {
    this.#fd = must(sys.syscall(SYS.socket, AF_NETLINK, SOCK_RAW_CLOEXEC, 0), 'socket(AF_NETLINK)');
  }

  close(): void {
    sys.syscall(SYS.close, this.#fd);
  }

  links(): Link[] {
    const request = new Message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP).header(16);
    return this.#ask('list links', request, RTM_NEWLINK).map(linkOf);
  }

  link(name: string): Link | undefined {
    return this.links().find((link) => link.name === name);
  }

  addresses(): InterfaceAddress<number>[] {
    const request = new Message(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP).header(8, [AF_INET]);
    return this.#ask('list addresses', request, RTM_NEWADDR).map((body) => {
      const attributes = readAttributes(body, 8);
      const value = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
      return {
        index: body.getUint32(4, true),
        address: value ? value.getInt32(0) : 0,
        prefixLength: body.getUint8(1),
      };
    });
  }

  /** IPv6 addresses of this machine, four words each. */
  addresses6(): InterfaceAddress<number[]>[] {
    const request = new Message(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP).header(8, [AF_INET6]);
    return this.#ask('list addresses', request, RTM_NEWADDR).flatMap((body) => {
      const value = readAttributes(body, 8).get(IFA_ADDRESS);
      if (value?.byteLength !== 16) return [];
      const prefixLength = body.getUint8(1);
      return [{ index: body.getUint32(4, true), address: wordsOfIpv6(value, 0), prefixLength }];
    });
  }

  /** The same as `gatewayOf` for IPv6: four words. */
  gateway6Of(index: number): number[] {
    const request = new Message(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP).header(12, [AF_INET6]);
    for (const body of this.#ask('list routes', request, RTM_NEWROUTE)) {
      const attributes = readAttributes(body, 12);
      const gateway = attributes.get(RTA_GATEWAY);
      if (body.getUint8(1) !== 0 || gateway?.byteLength !== 16) continue;
      if (attributes.get(RTA_OIF)?.getUint32(0, true) === index) return wordsOfIpv6(gateway, 0);
    }
    return [0, 0, 0, 0];
  }

  /** Gateway of the default route through that link (main table), 0 when there is none. */
  gatewayOf(index: number): number {
    const request = new Message(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP).header(12, [AF_INET]);
    for (const body of this.#ask('list routes', request, RTM_NEWROUTE)) {
      const attributes = readAttributes(body, 12);
      const isDefault = body.getUint8(1) === 0;
      const gateway = attributes.get(RTA_GATEWAY);
      if (isDefault && gateway && attributes.get(RTA_OIF)?.getUint32(0, true) === index) {
        return gateway.getInt32(0);
      }
    }
    return 0;
  }

  /** Makes a pair of links, both down. EEXIST (17) when a name is taken. */
  addVeth(near: VethEnd, far: VethEnd): void {
    const request = new Message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE_NEW).header(
      16,
    );
    endAttributes(request, near);
    request.nested(IFLA_LINKINFO, () => {
      request.text(IFLA_INFO_KIND, 'veth');
      request.nested(IFLA_INFO_DATA, () =>
        request.nested(VETH_INFO_PEER, () => {
          request.header(16);
          endAttributes(request, far);
        }),
      );
    });
    this.#ask(`make veth pair ${near.name}, ${far.name}`, request);
  }

  setUp(index: number): void {
    const request = new Message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK).header(16, [], index);
    request.flags(IFF_UP, IFF_UP);
    this.#ask(`set link ${index} up`, request);
  }

  /** Moves a link into the network namespace of a process; it is down there, without addresses. */
  moveTo(index: number, pid: number): void {
    const request = new Message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK).header(16, [], index);
    request.word(IFLA_NET_NS_PID, pid);
    this.#ask(`move link ${index} to the namespace of process ${pid}`, request);
  }

  /** Removes a link; its veth peer goes with it. */
  deleteLink(index: number): void {
    const request = new Message(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK).header(16, [], index);
    this.#ask(`remove link ${index}`, request);
  }

  /** Either protocol's. */
  addAddress(index: number, address: number | readonly number[], prefixLength: number): void {
    const request = new Message(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE_NEW);
    const isIpv4 = typeof address === 'number';
    const first = isIpv4 ? [AF_INET, prefixLength] : [AF_INET6, prefixLength, IFA_F_NODAD];
    request.header(8, first, index);
    request.address(IFA_LOCAL, address).address(IFA_ADDRESS, address);
    this.#ask(`add an address to link ${index}`, request);
  }

  /** A route to one host, straight out of the link, with `source` as the sender. */
  addHostRoute<A extends number | readonly number[]>(
    index: number,
    destination: A,
    source: A,
  ): void {
    const request = new Message(RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE_NEW);
    const main = 254;
    const boot = 3;
    const scopeLink = 253;
    const unicast = 1;
    const isIpv4 = typeof destination === 'number';
    const [family, bits] = isIpv4 ? [AF_INET, 32] : [AF_INET6, 128];
    request.header(12, [family, bits, 0, 0, main, boot, isIpv4 ? scopeLink : 0, unicast]);
    request.address(RTA_DST, destination).address(RTA_PREFSRC, source).word(RTA_OIF, index);
    this.#ask(`add a host route to link ${index}`, request);
  }

  /** The default route, through `gateway`, which must be on the link already. */
  addDefaultRoute(index: number, gateway: number): void {
    const request = new Message(RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE_NEW);
    const main = 254;
    const boot = 3;
    const unicast = 1;
    request.header(12, [AF_INET, 0, 0, 0, main, boot, 0, unicast]);
    request.address(RTA_GATEWAY, gateway).word(RTA_OIF, index);
    this.#ask(`add the default route through link ${index}`, request);
  }

  /**
   * Sends a request and returns the bodies of the answers of type `want`, after the kernel's last
   * word on it.
   */
  #ask(what: string, request: Message, want = -1): DataView[] {
    const sequence = ++this.#sequence;
    const bytes = request.finish(sequence);
    const sent = sys.syscall(SYS.write, this.#fd, bytes, bytes.length);
    if (sent < 0) throw new NetlinkError(what, -sent);
    const found: DataView[] = [];
    for (;;) {
      // A buffer per read: the bodies are kept.
      const answer = new Uint8Array(32_768);
      const length = sys.syscall(SYS.read, this.#fd, answer, answer.length);
      if (length < 0) throw new NetlinkError(what, -length);
      for (const message of messagesIn(answer, length)) {
        if (message.sequence !== sequence) continue;
        if (message.type === NLMSG_DONE) return found;
        if (message.type === want) found.push(message.body);
        if (message.type !== NLMSG_ERROR) continue;
        const errno = -message.body.getInt32(0, true);
        if (errno !== 0) throw new NetlinkError(what, errno);
        return found;
      }
    }
  }
}

function endAttributes(request: Message, end: VethEnd): void {
  request.text(IFLA_IFNAME, end.name);
  const { queues = 1, transmitQueues = queues } = end;
  request.word(IFLA_NUM_TX_QUEUES, transmitQueues).word(IFLA_NUM_RX_QUEUES, queues);
}

/** What is there already is no reason to fail. */
export function unlessThere(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== EEXIST) throw error;
  }
}

function linkOf(body: DataView): Link {
  const attributes = readAttributes(body, 16);
  const mac = attributes.get(IFLA_ADDRESS);
  const info = attributes.get(IFLA_LINKINFO);
  const kind = info && readAttributes(info, 0).get(IFLA_INFO_KIND);
  return {
    index: body.getInt32(4, true),
    name: textOf(attributes.get(IFLA_IFNAME)),
    flags: body.getUint32(8, true),
    mtu: attributes.get(IFLA_MTU)?.getUint32(0, true) ?? 0,
    mac: mac ? [...new Uint8Array(mac.buffer, mac.byteOffset, mac.byteLength)] : [],
    kind: textOf(kind),
  };
}

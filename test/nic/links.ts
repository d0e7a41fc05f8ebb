/**
 * Links for live tests, in the namespace of the test's own process (test/control/namespace.ts).
 *
 * - A veth pair, both ends up and silent: the kernel sends nothing of its own on them.
 * - A packet socket as a driver: the kernel's view of an interface, what it sends and what XDP lets
 *   pass.
 */
import { writeFileSync } from 'node:fs';
import { Netlink } from '../../src/control/link/netlink.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';
import { FrameFile } from '../../src/nic/frame-file.ts';
import { readInterface, setOffloads } from '../../src/nic/privileged/interface.ts';
import { Struct } from '../../src/nic/struct.ts';
import { type End, RING } from './suite.ts';

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const ETH_P_ALL = 3;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;

const silence = (name: string): void => {
  writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1');
};

/**
 * Makes a veth pair with so many queues each way, and `more` to send by at the near end; the
 * returned function removes it.
 */
export function makeVeth(near: string, far: string, queues = 1, more = 0): () => void {
  const netlink = new Netlink();
  netlink.addVeth({ name: near, queues, transmitQueues: queues + more }, { name: far, queues });
  for (const name of [near, far]) {
    silence(name);
    setOffloads(name, false);
    netlink.setUp(netlink.link(name)!.index);
  }
  netlink.close();
  return () => removeLink(near);
}

export function removeLink(name: string): void {
  const netlink = new Netlink();
  const link = netlink.link(name);
  if (link) netlink.deleteLink(link.index);
  netlink.close();
}

/** Brings an interface up, with nothing of the kernel's own on it. */
export function bringUp(name: string): void {
  silence(name);
  const netlink = new Netlink();
  netlink.setUp(netlink.link(name)!.index);
  netlink.close();
}

/**
 * A driver on a packet socket: sends out of the interface, receives what came in and was passed to
 * the kernel.
 */
export function openPacketSocket(end: Omit<End, 'nic'>, ifname: string): FrameFile {
  const fd = must(sys.syscall(SYS.socket, AF_PACKET, SOCK_RAW_NONBLOCK, 0), 'packet socket');
  const on = new Struct(4).u32(0, 1).bytes;
  must(sys.syscall(SYS.setsockopt, fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, on, 4), 'incoming only');
  const { index, mac, mtu } = readInterface(ifname);
  const address = new Struct(20)
    .u16(0, AF_PACKET)
    .u16(2, ETH_P_ALL << 8)
    .u32(4, index);
  must(sys.syscall(SYS.bind, fd, address.bytes, 20), 'binding the packet socket');
  const name = `packet ${ifname}`;
  return new FrameFile(end.arena, end.frames, end.counters, { fd, name, mac, mtu, entries: RING });
}

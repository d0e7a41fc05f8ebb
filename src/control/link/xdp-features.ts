/**
 * What the drivers of this machine's interfaces have of XDP, for `ix doctor`: asked, not tried, so
 * nothing is disturbed.
 *
 * - Linux 6.3 and newer say it (generic netlink, family netdev); before, and of a driver that says
 *   nothing, it shows only when a service starts.
 * - What a driver has, a device may still refuse (virtio-net without ACCESS_PLATFORM): `serve` says
 *   what came of it.
 *
 * Read first: Documentation/netlink/specs/netdev.yaml.
 */
import { copyingFor } from '../../nic/drivers.ts';
import { readDriver, readQueues } from '../../nic/privileged/interface.ts';
import { IFF_UP, Netlink } from './netlink.ts';
import { askKernel, NETLINK_GENERIC, NLM_F_ACK, NLM_F_REQUEST } from './netlink-ask.ts';
import { Message, readAttributes } from './netlink-message.ts';

const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const NETDEV_CMD_DEV_GET = 1;
const NETDEV_A_DEV_IFINDEX = 1;
const NETDEV_A_DEV_XDP_FEATURES = 3;
/** struct genlmsghdr: command, version. */
const GENERIC_HEADER_BYTES = 4;
const [BASIC, REDIRECT, ZEROCOPY] = [1, 2, 8];

const ask = (type: number, command: number): Message =>
  new Message(type, NLM_F_REQUEST | NLM_F_ACK).header(GENERIC_HEADER_BYTES, [command, 1]);

function netdevFamily(): number | undefined {
  const request = ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY).text(CTRL_ATTR_FAMILY_NAME, 'netdev');
  const [body] = askKernel(NETLINK_GENERIC, request).bodies;
  const id = body && readAttributes(body, GENERIC_HEADER_BYTES).get(CTRL_ATTR_FAMILY_ID);
  return id?.getUint16(0, true);
}

function featuresOf(family: number | undefined, ifindex: number): number | undefined {
  if (family === undefined) return undefined;
  const request = ask(family, NETDEV_CMD_DEV_GET).word(NETDEV_A_DEV_IFINDEX, ifindex);
  const [body] = askKernel(NETLINK_GENERIC, request).bodies;
  const found = body && readAttributes(body, GENERIC_HEADER_BYTES).get(NETDEV_A_DEV_XDP_FEATURES);
  return found?.getUint32(0, true);
}

function inWords(driver: string, features: number | undefined): string {
  if (features === undefined) return 'this kernel does not say what it has of XDP';
  if ((features & BASIC) === 0 || (features & REDIRECT) === 0) {
    return 'generic XDP and copies: the driver has no native mode';
  }
  if ((features & ZEROCOPY) === 0) return 'native XDP and copies: the driver has no zero-copy';
  const { why } = copyingFor('native', driver);
  return why === '' ? 'native XDP and zero-copy' : `native XDP and copies: ${why}`;
}

export interface InterfaceXdp {
  name: string;
  /** 'virtio_net, 1 queue: native XDP and zero-copy' */
  found: string;
}

/** Of every interface that is up and could be given to `--nic`. */
export function interfaceXdp(): InterfaceXdp[] {
  const netlink = new Netlink();
  const links = netlink.links();
  netlink.close();
  const family = netdevFamily();
  const usable = links.filter(
    ({ name, mac, flags }) => mac.length === 6 && name !== 'lo' && (flags & IFF_UP) !== 0,
  );
  return usable.map(({ name, index }) => {
    const driver = readDriver(name);
    const queues = readQueues(name);
    const many = queues === undefined ? '' : `, ${queues} queue${queues === 1 ? '' : 's'}`;
    const words = inWords(driver, featuresOf(family, index));
    return { name, found: `${driver || 'driver without a name'}${many}: ${words}` };
  });
}

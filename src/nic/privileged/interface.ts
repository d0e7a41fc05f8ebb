/**
 * What the kernel says of a network interface, and its offloads: by ioctl on a socket.
 *
 * - Works in the calling thread's network namespace (sysfs shows the one it was mounted in).
 * - `setOffloads` is needed on the kernel's end of a veth: frames would otherwise come to us with
 *   partial checksums, up to 64 KiB long, their VLAN tag beside them. Setting needs CAP_NET_ADMIN.
 *
 * Called by set-up and control code. Read first: netdevice(7); include/uapi/linux/ethtool.h.
 */
import { SYS, sys } from '../../native/sys.ts';
import { granted, NIC_REFUSED, NicError } from '../errors.ts';
import { Struct } from '../struct.ts';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCGIFMTU = 0x8921;
const SIOCGIFHWADDR = 0x8927;
const SIOCGIFINDEX = 0x8933;
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GDRVINFO = 3;
/** struct ethtool_drvinfo: the driver's name at 4. */
const DRIVER_BYTES = 196;
const DRIVER_NAME = 4;
const ETHTOOL_GCHANNELS = 0x3c;
/** struct ethtool_channels: how many are in use to receive only, and for both ways. */
const CHANNELS_BYTES = 36;
const CHANNELS_RX = 20;
const CHANNELS_COMBINED = 32;
const IFF_UP = 1;
const IFREQ_BYTES = 40;
const NAME_MAX = 16;

const ETHTOOL_GFLAGS = 0x25;
const ETHTOOL_SFLAGS = 0x26;
/** [get, set] commands of one ethtool_value each, and which of its bits. */
const OFFLOADS = {
  rxChecksum: [0x14, 0x15, 1],
  txChecksum: [0x16, 0x17, 1],
  tso: [0x1e, 0x1f, 1],
  gso: [0x23, 0x24, 1],
  gro: [0x2b, 0x2c, 1],
  txVlan: [ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, 1 << 7],
  rxVlan: [ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, 1 << 8],
} as const;

export type Offload = keyof typeof OFFLOADS;
export const ALL_OFFLOADS = Object.keys(OFFLOADS) as Offload[];

export interface Interface {
  name: string;
  index: number;
  mac: Uint8Array;
  mtu: number;
  up: boolean;
}

const request = (name: string): Struct => {
  if (name === '' || Buffer.byteLength(name) >= NAME_MAX) {
    throw new NicError(
      NIC_REFUSED.noInterface,
      `interface '${name}'`,
      0,
      'a name has 1 to 15 bytes',
    );
  }
  return new Struct(IFREQ_BYTES).text(0, name, NAME_MAX);
};

function control(operation: number, argument: Struct, what: string): Struct {
  const fd = granted(sys.syscall(SYS.socket, AF_INET, SOCK_DGRAM_CLOEXEC, 0), 'socket');
  try {
    granted(sys.syscall(SYS.ioctl, fd, operation, argument.bytes), what);
  } finally {
    sys.syscall(SYS.close, fd);
  }
  return argument;
}

export function readInterface(name: string): Interface {
  const what = `interface ${name}`;
  return {
    name,
    index: control(SIOCGIFINDEX, request(name), what).readU32(16),
    mac: control(SIOCGIFHWADDR, request(name), what).bytes.slice(18, 24),
    mtu: control(SIOCGIFMTU, request(name), what).readU32(16),
    up: (control(SIOCGIFFLAGS, request(name), what).readU16(16) & IFF_UP) !== 0,
  };
}

/** 'igb', 'veth'; '' where it does not say. */
export function readDriver(name: string): string {
  const answer = new Struct(DRIVER_BYTES).u32(0, ETHTOOL_GDRVINFO);
  try {
    control(SIOCETHTOOL, request(name).pointer(16, answer.bytes), `driver of ${name}`);
  } catch {
    return '';
  }
  const text = answer.bytes.subarray(DRIVER_NAME, DRIVER_NAME + 32);
  return Buffer.from(text.subarray(0, text.indexOf(0))).toString('latin1');
}

/** One command of ethtool(8), in place: its structure begins with its number. */
export function askEthtool(name: string, structure: Struct): void {
  control(SIOCETHTOOL, request(name).pointer(16, structure.bytes), `ethtool of ${name}`);
}

/** Receive queues that the interface spreads frames over; undefined: its driver does not say. */
export function readQueues(name: string): number | undefined {
  const channels = new Struct(CHANNELS_BYTES).u32(0, ETHTOOL_GCHANNELS);
  try {
    control(SIOCETHTOOL, request(name).pointer(16, channels.bytes), `queues of ${name}`);
  } catch {
    return undefined;
  }
  return channels.readU32(CHANNELS_RX) + channels.readU32(CHANNELS_COMBINED);
}

function ethtool(name: string, command: number, value: number, what: string): number {
  const structure = new Struct(8).u32(0, command).u32(4, value);
  control(SIOCETHTOOL, request(name).pointer(16, structure.bytes), what);
  return structure.readU32(4);
}

const readWord = (name: string, offload: Offload): number =>
  ethtool(name, OFFLOADS[offload][0], 0, `${offload} of ${name}`);

export const readOffload = (name: string, offload: Offload): boolean =>
  (readWord(name, offload) & OFFLOADS[offload][2]) !== 0;

/**
 * Switches offloads on or off, but those that the interface lacks or fixes: answers what changed.
 */
export function setOffloads(
  name: string,
  on: boolean,
  offloads: readonly Offload[] = ALL_OFFLOADS,
): Offload[] {
  return offloads.filter((offload) => {
    if (readOffload(name, offload) === on) return false;
    const [, set, bit] = OFFLOADS[offload];
    const word = readWord(name, offload) & ~bit;
    ethtool(name, set, on ? word | bit : word, `switching ${offload} of ${name}`);
    return readOffload(name, offload) === on;
  });
}

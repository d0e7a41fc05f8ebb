/**
 * Why a driver could not be set up: a stable code, what was asked, and the remedy.
 *
 * - Thrown by set-up code only; the hot path counts instead.
 * - One table says what each errno means; a step has a table of its own for what differs there.
 * - `errno` is the kernel's, 0 when the refusal is ours.
 */
import { getSystemErrorMap } from 'node:util';
import { EBUSY, EINVAL, ENOBUFS, ENOSYS, EPERM } from '../native/sys.ts';

export const NIC_REFUSED = {
  noInterface: 'IX_NIC_NO_INTERFACE',
  interfaceDown: 'IX_NIC_INTERFACE_DOWN',
  interfaceBusy: 'IX_NIC_INTERFACE_BUSY',
  noPrivilege: 'IX_NIC_NO_PRIVILEGE',
  noMemory: 'IX_NIC_NO_MEMORY',
  oldKernel: 'IX_NIC_OLD_KERNEL',
  queueBusy: 'IX_NIC_QUEUE_BUSY',
  noQueue: 'IX_NIC_NO_QUEUE',
  refused: 'IX_NIC_REFUSED',
} as const;

export type NicRefusal = (typeof NIC_REFUSED)[keyof typeof NIC_REFUSED];

export class NicError extends Error {
  readonly code: NicRefusal;
  readonly errno: number;
  constructor(code: NicRefusal, what: string, errno: number, remedy: string) {
    super(`${what}: ${remedy}${errno ? ` (${errnoText(errno)})` : ''}`);
    this.code = code;
    this.errno = errno;
  }
}

/** 'EINVAL, invalid argument', as the kernel's own message where there is no other. */
export function errnoText(errno: number): string {
  const [name, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, ''];
  return text === '' ? name : `${name}, ${text}`;
}

const ENOENT = 2;
const EACCES = 13;
const ENOMEM = 12;
const ENODEV = 19;
const ENOPROTOOPT = 92;
const EPROTONOSUPPORT = 93;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;
const ENETDOWN = 100;

/** What an errno means while a driver is set up: code and remedy. */
type Meaning = readonly [NicRefusal, string];

const PRIVILEGE: Meaning = [
  NIC_REFUSED.noPrivilege,
  'not permitted; run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF (rootless: --nic tap)',
];
const OLD: Meaning = [
  NIC_REFUSED.oldKernel,
  'this kernel lacks it; AF_XDP needs Linux 5.11 with CONFIG_XDP_SOCKETS and CONFIG_BPF_SYSCALL (else: --nic tap)',
];
const NO_INTERFACE: Meaning = [
  NIC_REFUSED.noInterface,
  'no such interface in this network namespace; `ip link` lists them',
];
const NO_MEMORY: Meaning = [
  NIC_REFUSED.noMemory,
  'not enough (locked) memory; raise RLIMIT_MEMLOCK (`ulimit -l unlimited`), keep CAP_IPC_LOCK until the driver is open, or use fewer frames',
];
const REFUSED: Meaning = [NIC_REFUSED.refused, 'the kernel refused'];

export const MEANINGS: Readonly<Record<number, Meaning>> = {
  [EPERM]: PRIVILEGE,
  [EACCES]: PRIVILEGE,
  [ENOENT]: NO_INTERFACE,
  [ENODEV]: NO_INTERFACE,
  [ENOMEM]: NO_MEMORY,
  [ENOBUFS]: NO_MEMORY,
  [ENOSYS]: OLD,
  [ENOPROTOOPT]: OLD,
  [EPROTONOSUPPORT]: OLD,
  [EAFNOSUPPORT]: OLD,
  [ENETDOWN]: [NIC_REFUSED.interfaceDown, 'the interface is down; `ip link set IFNAME up`'],
};

/** bind(2) of an AF_XDP socket. */
export const BIND_MEANINGS: Readonly<Record<number, Meaning>> = {
  [EBUSY]: [
    NIC_REFUSED.queueBusy,
    'another AF_XDP socket owns this queue; stop that program or choose another queue',
  ],
  [EINVAL]: [
    NIC_REFUSED.noQueue,
    'the interface has no such queue; `ethtool -l IFNAME` shows how many',
  ],
  [EOPNOTSUPP]: OLD,
};

/** bind(2) with XDP_ZEROCOPY and nothing else. */
export const ZEROCOPY_MEANINGS: Readonly<Record<number, Meaning>> = {
  ...BIND_MEANINGS,
  [EINVAL]: [NIC_REFUSED.refused, 'the driver refuses it; leave out --xdp zerocopy'],
  [EOPNOTSUPP]: [
    NIC_REFUSED.refused,
    'the driver has no zero-copy in this kernel; leave out --xdp zerocopy',
  ],
};

/**
 * Attaching the XDP program; what else is refused is said by the kernel in words
 * (nic/privileged/attach.ts `explain`).
 */
export const ATTACH_MEANINGS: Readonly<Record<number, Meaning>> = {
  [EBUSY]: [
    NIC_REFUSED.interfaceBusy,
    'another XDP program is attached; `ip link set IFNAME xdp off` removes it, or stop its owner',
  ],
};

/** The result of a set-up call, or a NicError that names the remedy. */
export function granted(
  result: number,
  what: string,
  special: Readonly<Record<number, Meaning>> = {},
): number {
  if (result >= 0) return result;
  const [code, remedy] = special[-result] ?? MEANINGS[-result] ?? REFUSED;
  throw new NicError(code, what, -result, remedy);
}

/**
 * Facts about processes and this machine, from /proc.
 *
 * - A process is named by pid and start time, so that a reused pid is not taken for the one that
 *   was meant.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { release } from 'node:os';

export interface ProcessName {
  pid: number;
  /** Clock ticks from boot to its start: field 22 of /proc/pid/stat. */
  start: number;
}

/**
 * Who `pid` is now; undefined when there is no such process, or only its exit code is left of it.
 */
export function processName(pid: number): ProcessName | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field, the command in brackets, may hold spaces and brackets itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    return state === 'Z' || state === 'X' ? undefined : { pid, start: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

export function isAlive(process: ProcessName): boolean {
  return processName(process.pid)?.start === process.start;
}

/** Identity of the network namespace that this process works in. */
export const networkNamespace = (): string => readlinkSync('/proc/self/ns/net').replace(/\D/g, '');

/** linux/capability.h */
const CAPABILITIES = {
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
  CAP_BPF: 39,
} as const;
export type Capability = keyof typeof CAPABILITIES;

export function hasCapability(name: Capability): boolean {
  const status = readFileSync('/proc/self/status', 'latin1');
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
}

/** Loading a program needs CAP_BPF, or what there was before it. */
export const mayLoadPrograms = (): boolean =>
  hasCapability('CAP_BPF') || hasCapability('CAP_SYS_ADMIN');

/** [major, minor] of the kernel. */
export function kernelVersion(): [number, number] {
  const [major = 0, minor = 0] = release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  return [major, minor];
}

/**
 * XSKMAP through bpf_link, and what the drivers rely on: the oldest kernel that AF_XDP is used on
 * here.
 */
export const KERNEL_MIN: readonly [number, number] = [5, 11];

export function kernelIsOld([major, minor] = kernelVersion()): boolean {
  return major < KERNEL_MIN[0] || (major === KERNEL_MIN[0] && minor < KERNEL_MIN[1]);
}

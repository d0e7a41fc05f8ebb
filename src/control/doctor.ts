/**
 * `ix doctor`: what this machine has and lacks, and the command that fixes it.
 *
 * - A check is `needed` when `npm start` cannot do without it; the rest makes things faster or is for tests.
 * - Every check tries the thing itself where it can (opens an AF_XDP socket, a tun device), not a version number.
 * - Exit code 0 when nothing needed is missing, else 1.
 */
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { SYS, sys } from '../native/sys.ts';
import {
  hasCapability,
  KERNEL_MIN,
  kernelIsOld,
  kernelVersion,
  mayLoadPrograms,
} from './process.ts';

export interface Check {
  name: string;
  ok: boolean;
  /** What was found. */
  found: string;
  needed: boolean;
  /** Command or step that would fix it; only when it is not ok. */
  remedy?: string;
}

const AF_XDP = 44;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const BPF_MAP_CREATE = 0;
const BPF_MAP_TYPE_ARRAY = 2;
/** Packet memory that an AF_XDP socket locks, with the default limits. */
const MEMLOCK_BYTES = 64 * 2 ** 20;
const AS_ROOT = 'run as root, or: sudo npm start';

export async function doctor(options: { json?: boolean }): Promise<void> {
  const checks = examine();
  const ok = checks.every((check) => check.ok || !check.needed);
  if (options.json) console.log(JSON.stringify({ ok, checks }));
  else for (const check of checks) console.log(line(check));
  process.exitCode = ok ? 0 : 1;
}

function line({ name, ok, found, needed, remedy }: Check): string {
  const state = ok ? 'ok' : needed ? 'missing' : 'could be';
  return `${state.padEnd(9)} ${name}: ${found}${remedy === undefined ? '' : ` -> ${remedy}`}`;
}

export function examine(): Check[] {
  return [
    check('Node', true, process.version),
    compiler(),
    kernel(),
    ...capabilities(),
    afXdp(),
    bpf(),
    tun(),
    memlock(),
    cores(),
    governor(),
    tool('nc', 'netcat-openbsd'),
    tool('memcapable', 'libmemcached-tools', 'memccapable'),
    tool('memcached', 'memcached'),
  ];
}

function check(name: string, ok: boolean, found: string, remedy = '', needed = true): Check {
  return { name, ok, found, needed, ...(ok ? {} : { remedy }) };
}

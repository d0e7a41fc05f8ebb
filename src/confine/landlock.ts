/**
 * Landlock: what files a process may reach from now on, decided by itself, without privilege, for
 * ever.
 *
 * - Everything that this kernel's Landlock knows how to refuse is refused, except what the rules
 *   give. Rules name directories (and all below them) or files that exist now.
 * - Besides files: no TCP port may be bound or connected to (ABI 4), no abstract Unix socket of
 *   another domain reached, no process outside it signalled (ABI 6).
 * - Holds for the calling thread and what it starts or becomes, so it is called before execve
 *   (exec.ts).
 * - Files that have no place in the file system (memfds, pipes, sockets) are not covered.
 *
 * Read first: man 7 landlock; Documentation/userspace-api/landlock.rst.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { must, sys } from '../native/sys.ts';
import { callNumber } from './seccomp-numbers.ts';

/** What a rule can give. */
export const ACCESS = {
  execute: 1 << 0,
  writeFile: 1 << 1,
  readFile: 1 << 2,
  readDirectory: 1 << 3,
  removeDirectory: 1 << 4,
  removeFile: 1 << 5,
  makeCharacter: 1 << 6,
  makeDirectory: 1 << 7,
  makeFile: 1 << 8,
  makeSocket: 1 << 9,
  makeFifo: 1 << 10,
  makeBlock: 1 << 11,
  makeLink: 1 << 12,
  /** Renaming and linking between directories: ABI 2. */
  refer: 1 << 13,
  /** ABI 3 */
  truncate: 1 << 14,
  /** ioctl on devices: ABI 5 */
  ioctl: 1 << 15,
} as const;

export const READ = ACCESS.readFile | ACCESS.readDirectory;
export const WRITE =
  READ |
  ACCESS.writeFile |
  ACCESS.truncate |
  ACCESS.makeFile |
  ACCESS.makeDirectory |
  ACCESS.makeLink |
  ACCESS.removeFile |
  ACCESS.removeDirectory |
  ACCESS.refer;
/** Rights that make sense for a file; the kernel refuses the others in a rule for one. */
const OF_FILES =
  ACCESS.execute | ACCESS.writeFile | ACCESS.readFile | ACCESS.truncate | ACCESS.ioctl;

const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;
const O_PATH = 0o10000000;
const NET_BIND_AND_CONNECT = 3;
const SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3;

/** The version of the kernel's Landlock; 0 when it has none, or it is switched off. */
export function landlockAbi(): number {
  const version = sys.syscall(callNumber('landlock_create_ruleset'), 0, 0, CREATE_RULESET_VERSION);
  return Math.max(version, 0);
}

/** All file rights that this version handles. */
function handledBy(abi: number): number {
  const beyond: [number, number][] = [
    [2, ACCESS.refer],
    [3, ACCESS.truncate],
    [5, ACCESS.ioctl],
  ];
  let handled = (1 << 13) - 1;
  for (const [since, right] of beyond) if (abi >= since) handled |= right;
  return handled;
}

export interface PathRule {
  path: string;
  access: number;
}

/** Restricts the calling thread. Needs no_new_privs. */
export function restrictPaths(rules: readonly PathRule[], abi = landlockAbi()): void {
  const handled = handledBy(abi);
  // struct landlock_ruleset_attr: u64 handled_access_fs, u64 handled_access_net (ABI 4), u64 scoped
  // (ABI 6)
  const attribute = BigUint64Array.of(
    BigInt(handled),
    BigInt(NET_BIND_AND_CONNECT),
    BigInt(SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS),
  );
  const size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  const create = callNumber('landlock_create_ruleset');
  const ruleset = must(sys.syscall(create, attribute, size, 0), 'landlock_create_ruleset');
  try {
    for (const rule of rules) addRule(ruleset, rule, handled);
    const restrict = callNumber('landlock_restrict_self');
    must(sys.syscall(restrict, ruleset, 0), 'landlock_restrict_self');
  } finally {
    closeSync(ruleset);
  }
}

function addRule(ruleset: number, { path, access }: PathRule, handled: number): void {
  const fd = openSync(path, O_PATH);
  try {
    const rights = access & handled & (isDirectory(path) ? -1 : OF_FILES);
    // struct landlock_path_beneath_attr, packed: u64 allowed_access, s32 parent_fd
    const attribute = new DataView(new ArrayBuffer(12));
    attribute.setBigUint64(0, BigInt(rights), true);
    attribute.setInt32(8, fd, true);
    const add = callNumber('landlock_add_rule');
    const result = sys.syscall(add, ruleset, RULE_PATH_BENEATH, attribute, 0);
    must(result, `landlock_add_rule for ${path}`);
  } finally {
    closeSync(fd);
  }
}

function isDirectory(path: string): boolean {
  try {
    closeSync(openSync(path, O_PATH | constants.O_DIRECTORY));
    return true;
  } catch {
    return false;
  }
}

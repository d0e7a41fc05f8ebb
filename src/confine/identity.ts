/**
 * Who a process is: users, groups and capabilities of the calling thread, by raw system calls.
 *
 * - Raw, because glibc would change all threads of a Node that is about to be replaced by execve
 *   anyway, and has no function for capabilities at all. What execve starts is what this thread is.
 * - Capabilities that are kept go through execve as ambient ones, whoever the user is; the bounding
 *   set is emptied and SECBIT_NOROOT locked, so that no execve of any file can give anything back.
 *
 * Called by exec.ts and child/lock.ts. Read first: man 7 capabilities ("Transformation of
 * capabilities during execve", "Effect of user ID changes"), man 2 capset, man 2 prctl.
 */
import { must, sys } from '../native/sys.ts';
import type { User } from './plan.ts';
import { callNumber } from './seccomp-numbers.ts';

const PR_SET_KEEPCAPS = 8;
const PR_CAPBSET_DROP = 24;
const PR_SET_SECUREBITS = 28;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const SECBIT_NOROOT_LOCKED = 3;
const CAP_SETPCAP = 8;
const CAPABILITY_VERSION_3 = 0x20080522;
/** More than any kernel knows; the first it does not know ends the loop. */
const CAPABILITIES_MAX = 64;

const prctl = (option: number, ...rest: number[]): number =>
  sys.syscall(callNumber('prctl'), option, ...rest, ...Array(4 - rest.length).fill(0));

/** struct __user_cap_header_struct (version, pid 0: this thread). */
const header = (): Int32Array => Int32Array.of(CAPABILITY_VERSION_3, 0);

const maskOf = (capabilities: readonly number[]): bigint =>
  capabilities.reduce((mask, capability) => mask | (1n << BigInt(capability)), 0n);

/**
 * struct __user_cap_data_struct[2]: effective, permitted, inheritable; low words, then high words.
 */
function capabilityData(held: bigint, inheritable: bigint): Uint32Array {
  const [low, high] = [
    (mask: bigint) => Number(mask & 0xffffffffn),
    (m: bigint) => Number(m >> 32n),
  ];
  return Uint32Array.of(
    ...[low(held), low(held), low(inheritable)],
    ...[high(held), high(held), high(inheritable)],
  );
}

/** Effective and permitted become `held`. */
function setCapabilities(held: readonly number[], inheritable: readonly number[]): void {
  const data = capabilityData(maskOf(held), maskOf(inheritable));
  must(sys.syscall(callNumber('capset'), header(), data), 'capset');
}

/**
 * Takes the user's identity, and nothing of ours along but the capabilities that are kept (once
 * they are ambient).
 */
export function becomeUser({ uid, gid }: User): void {
  must(prctl(PR_SET_KEEPCAPS, 1), 'prctl(PR_SET_KEEPCAPS)');
  must(sys.syscall(callNumber('setgroups'), 0, 0), 'setgroups');
  must(sys.syscall(callNumber('setresgid'), gid, gid, gid), 'setresgid');
  must(sys.syscall(callNumber('setresuid'), uid, uid, uid), 'setresuid');
}

/** Empties every set, up to `keep`; needs CAP_SETPCAP for the bounding set. */
export function dropAllBut(keep: readonly number[]): void {
  setCapabilities([CAP_SETPCAP, ...keep], keep);
  must(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED), 'prctl(PR_SET_SECUREBITS)');
  for (let capability = 0; capability < CAPABILITIES_MAX; capability++) {
    if (prctl(PR_CAPBSET_DROP, capability) < 0) break;
  }
  carryOnly(keep);
}

/**
 * What is held, and what goes through execve: nothing but `keep`. All that can be done without
 * CAP_SETPCAP.
 */
export function carryOnly(keep: readonly number[]): void {
  must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), 'prctl(PR_CAP_AMBIENT)');
  setCapabilities(keep, keep);
  for (const capability of keep) {
    must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability), 'prctl(PR_CAP_AMBIENT_RAISE)');
  }
}

/** No execve gives more than there is; for all that follows. */
export function setNoNewPrivileges(): void {
  must(prctl(PR_SET_NO_NEW_PRIVS, 1), 'prctl(PR_SET_NO_NEW_PRIVS)');
}

/** Every thread of a running process loses what was kept: capset(2) is for the caller only. */
export function dropEverywhere(): void {
  const result = sys.everyThread(callNumber('capset'), header(), capabilityData(0n, 0n));
  must(result, 'capset of every thread');
}

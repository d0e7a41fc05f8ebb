/**
 * The step between fork and Node: a child of the control plane confines itself, then becomes the
 * program it was started for.
 *
 * - Started as `node exec.ts PLAN PROGRAM ARGUMENTS...` with the child's descriptors. It reads
 *   nothing that anybody untrusted wrote.
 * - Everything here is inherited through execve(2) by every thread that the program will ever have.
 *   What must wait until the program has started (the capability for packet memory, the allow-list
 *   of system calls) is child/lock.ts's.
 * - In order, because each step needs what a later one takes away: limits, descriptors, namespaces,
 *   root, user, capabilities, no_new_privs, Landlock, seccomp.
 * - Says on the channel what was done, and what could not be; a refused step ends it if the plan is
 *   strict.
 *
 * Started by the command line that confine.ts makes. Read first: docs/SECURITY.md.
 */
import { existsSync, writeFileSync, writeSync } from 'node:fs';
import { must, sys } from '../native/sys.ts';
import { keepOnly } from './descriptors.ts';
import { becomeUser, carryOnly, dropAllBut, setNoNewPrivileges } from './identity.ts';
import { ACCESS, landlockAbi, type PathRule, READ, restrictPaths, WRITE } from './landlock.ts';
import { START } from './list.ts';
import type { Confinement } from './plan.ts';
import { enterRoot, libraries, makeRoot } from './root.ts';
import { assembleFilter, installFilter } from './seccomp.ts';
import { callNumber } from './seccomp-numbers.ts';

const CLONE_NEWNS = 0x20000;
const CLONE_NEWIPC = 0x08000000;
const CLONE_NEWNET = 0x40000000;
/** As in src/child/channel.ts, which is left out for what it loads. */
const CHANNEL_FD = 3;

const send = (message: unknown): void => void writeSync(CHANNEL_FD, `${JSON.stringify(message)}\n`);

const cString = (value: string): Buffer => Buffer.from(`${value}\0`);

function setLimits(plan: Confinement): void {
  for (const [resource, value] of plan.limits) {
    const limit = BigUint64Array.of(BigInt(value), BigInt(value)); // struct rlimit64: soft, hard
    must(sys.syscall(callNumber('prlimit64'), 0, resource, limit, 0), `limit ${resource}`);
  }
  if (plan.oomScore > 0) writeFileSync('/proc/self/oom_score_adj', `${plan.oomScore}`);
}

const unshare = (flag: number) => (): void =>
  void must(sys.syscall(callNumber('unshare'), flag), 'unshare', 'needs CAP_SYS_ADMIN');

function rulesOf(plan: Confinement, system: readonly string[], proc: string): PathRule[] {
  const there = (path: string): boolean => existsSync(path);
  const give = (paths: readonly string[], access: number): PathRule[] =>
    paths.filter(there).map((path) => ({ path, access }));
  return [
    ...give(system, READ | ACCESS.execute),
    ...give([process.execPath], READ | ACCESS.execute),
    ...give(plan.read, READ),
    ...give(plan.write, WRITE),
    ...give(['/dev/null', '/dev/zero'], ACCESS.readFile | ACCESS.writeFile),
    ...give(['/dev/random', '/dev/urandom'], ACCESS.readFile),
    ...give([proc], READ),
  ];
}

/**
 * The strings of the new program, which the collector must leave alone until the kernel has read
 * them.
 */
const kept: Buffer[] = [];

/** A null-terminated array of pointers to strings. */
function pointersTo(strings: readonly string[]): BigUint64Array {
  const buffers = strings.map(cString);
  kept.push(...buffers);
  return BigUint64Array.of(...buffers.map((each) => sys.address(each)), 0n);
}

/** Returns only to throw. */
function becomeProgram(command: readonly string[]): void {
  const [file = ''] = command;
  const variables = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  const [argv, envp] = [pointersTo(command), pointersTo(variables)];
  const result = sys.syscall(callNumber('execve'), cString(file), argv, envp);
  must(result, `starting ${file}`, 'the user that children run as must be able to read and run it');
}

function confine(plan: Confinement, lastFd: number): void {
  const done: string[] = [];
  const missing: string[] = [];
  const step = (name: string, work: () => void): boolean => {
    try {
      work();
      done.push(name);
      return true;
    } catch (error) {
      if (plan.isStrict) throw new Error(`${name}: ${(error as Error).message}`);
      missing.push(name);
      return false;
    }
  };
  if (process.pid === 1) done.push('process ids');
  else missing.push('process ids');
  step('limits', () => setLimits(plan));
  step('descriptors', () => keepOnly(lastFd));
  step('network', unshare(CLONE_NEWNET));
  step('ipc', unshare(CLONE_NEWIPC));
  const system = libraries();
  const { read, write } = plan;
  const hasRoot = step('mounts', unshare(CLONE_NEWNS)) && step('root', makeRoot);
  if (hasRoot) enterRoot({ read, write, system });
  // Where /proc shows this process only, all of it may be read.
  const proc = hasRoot && process.pid === 1 ? '/proc' : '/proc/self';
  process.chdir(existsSync(plan.directory) ? plan.directory : '/');
  // Each start of an application is another user: what one writes, the next may change, by the
  // group.
  process.umask(0o002);
  const { user } = plan;
  missing.push(...plan.notes);
  if (user) step('user', () => becomeUser(user));
  if (!step('bounding set', () => dropAllBut(plan.keep))) carryOnly(plan.keep);
  done.push('capabilities');
  step('no_new_privs', setNoNewPrivileges);
  const abi = landlockAbi();
  if (abi > 0) step('landlock', () => restrictPaths(rulesOf(plan, system, proc), abi));
  else missing.push('landlock');
  step('no io_uring', () => installFilter(assembleFilter(START, 'allow')));
  send({ type: 'confined', done, missing });
}

const [, , plan = '', lastFd = '', ...command] = process.argv;
try {
  confine(JSON.parse(plan), Number(lastFd));
  becomeProgram(command);
} catch (error) {
  const { message } = error as Error;
  send({ type: 'failed', code: 'IX_CONFINE', message: `cannot confine a child: ${message}` });
  // Not process.exit: libuv has an io_uring in this process, which the filter refuses by now.
  sys.syscall(callNumber('exit_group'), 1);
}

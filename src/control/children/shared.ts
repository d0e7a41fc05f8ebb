/**
 * What a dataplane and an application in another process share, made by the control plane: per
 * elastic thread four memfds and two pipes.
 *
 * - The dataplane gives the memfds their size and maps them; then `seal` makes that final: no memfd
 *   can change its size, and of the receive pool and the event array nobody can make a writable
 *   mapping any more, whoever holds the descriptor (F_SEAL_FUTURE_WRITE keeps the dataplane's own
 *   mapping). No seal can be taken off (F_SEAL_SEAL).
 * - Each side wakes the other by a pipe, of which it has its own end only: the flags of an end are
 *   shared by all who hold it, and who could clear O_NONBLOCK of the dataplane's could make it wait
 *   for ever. (An eventfd has no ends.) The dataplane keeps the application's ends for a control
 *   plane that adopts it, and never uses them.
 *
 * Called by control/service/life.ts. Read first: man 2 memfd_create, man 7 pipe, man 2 fcntl (file
 * sealing).
 */
import { closeSync } from 'node:fs';
import type { ApplicationDescriptors, SharedDescriptors } from '../../child/config.ts';
import { callNumber } from '../../confine/seccomp-numbers.ts';
import { must, SYS, sys } from '../../native/sys.ts';
import type { Inherited } from './child.ts';

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const O_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const F_ADD_SEALS = 1033;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const F_SEAL_FUTURE_WRITE = 16;

const memfd = (name: string): number =>
  must(
    sys.syscall(SYS.memfd_create, Buffer.from(`ix ${name}\0`), MFD_CLOEXEC | MFD_ALLOW_SEALING),
    `memory for ${name}`,
  );

/** Its end to read and its end to write. */
function pipe(): [number, number] {
  const ends = new Int32Array(2);
  must(sys.syscall(callNumber('pipe2'), ends, O_CLOEXEC_NONBLOCK), 'pipe2');
  return [ends[0]!, ends[1]!];
}

export function makeShared(): SharedDescriptors {
  const [theirWake, wake] = pipe();
  const [bell, theirBell] = pipe();
  return {
    receivePool: memfd('receive pool'),
    events: memfd('events'),
    calls: memfd('calls'),
    memory: memfd('application memory'),
    ...{ wake, bell, theirWake, theirBell },
  };
}

/** After the dataplane has mapped them. */
export function sealShared(shared: SharedDescriptors): void {
  const fixed = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
  const seal = (fd: number, seals: number, what: string) =>
    must(sys.syscall(SYS.fcntl, fd, F_ADD_SEALS, seals), `sealing the ${what}`, 'needs Linux 5.1');
  seal(shared.receivePool, fixed | F_SEAL_FUTURE_WRITE, 'receive pool');
  seal(shared.events, fixed | F_SEAL_FUTURE_WRITE, 'event array');
  seal(shared.calls, fixed, 'call array');
  seal(shared.memory, fixed, 'application memory');
}

/** What the application gets of it. */
export function forApplication(shared: SharedDescriptors): ApplicationDescriptors {
  const { receivePool, events, calls, memory, theirWake: wake, theirBell: bell } = shared;
  return { receivePool, events, calls, memory, wake, bell };
}

/** The same with the numbers that a child will have. */
export const passShared = <Shared extends ApplicationDescriptors>(
  shared: Shared,
  inherited: Inherited,
): Shared =>
  Object.fromEntries(
    Object.entries(shared).map(([name, fd]) => [name, inherited.pass(fd)]),
  ) as Shared;

export function closeShared(shared: SharedDescriptors): void {
  for (const fd of Object.values(shared)) closeSync(fd);
}

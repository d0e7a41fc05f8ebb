/**
 * What a dataplane and an application in another process share, made by the control plane: per elastic thread four
 * memfds and two eventfds.
 *
 * - The dataplane gives the memfds their size and maps them; then `seal` makes that final: no memfd can change its
 *   size, and of the receive pool and the event array nobody can make a writable mapping any more, whoever holds the
 *   descriptor (F_SEAL_FUTURE_WRITE keeps the dataplane's own mapping). No seal can be taken off (F_SEAL_SEAL).
 *
 * Called by service.ts. Read first: man 2 memfd_create, man 2 fcntl (file sealing).
 */
import { closeSync } from 'node:fs';
import type { SharedDescriptors } from '../dataplane/config.ts';
import { must, SYS, sys } from '../native/sys.ts';
import type { Inherited } from './child.ts';

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const EFD_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
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

const eventfd = (): number => must(sys.syscall(SYS.eventfd2, 0, EFD_CLOEXEC_NONBLOCK), 'eventfd');

export function makeShared(): SharedDescriptors {
  return {
    receivePool: memfd('receive pool'),
    events: memfd('events'),
    calls: memfd('calls'),
    memory: memfd('application memory'),
    wake: eventfd(),
    bell: eventfd(),
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

/** The same with the numbers that a child will have. */
export function passShared(shared: SharedDescriptors, inherited: Inherited): SharedDescriptors {
  return {
    receivePool: inherited.pass(shared.receivePool),
    events: inherited.pass(shared.events),
    calls: inherited.pass(shared.calls),
    memory: inherited.pass(shared.memory),
    wake: inherited.pass(shared.wake),
    bell: inherited.pass(shared.bell),
  };
}

export function closeShared(shared: SharedDescriptors): void {
  for (const fd of Object.values(shared)) closeSync(fd);
}

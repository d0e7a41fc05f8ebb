/**
 * Numbers of errors as Node's handles give them: below 0, and what each end of a connection of
 * libix means in them.
 *
 * Read first: man 3 errno; DEAD in src/gate/abi.ts.
 */
import { constants } from 'node:os';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import { CODE, DEAD } from '../gate/abi.ts';

const { errno } = constants;

export const EACCES: number = -errno.EACCES;
/** A limit of this application's own, as that of descriptors is in Node: its quota. */
export const EMFILE: number = -errno.EMFILE;
export const EOF = -4095;
export const EADDRINUSE: number = -errno.EADDRINUSE;
export const EADDRNOTAVAIL: number = -errno.EADDRNOTAVAIL;
export const EBADF: number = -errno.EBADF;
export const ECANCELED: number = -errno.ECANCELED;
export const ECONNREFUSED: number = -errno.ECONNREFUSED;
export const ECONNRESET: number = -errno.ECONNRESET;
export const EINVAL: number = -errno.EINVAL;
export const ENETUNREACH: number = -errno.ENETUNREACH;
export const ENOBUFS: number = -errno.ENOBUFS;
export const ENOTCONN: number = -errno.ENOTCONN;
export const EPIPE: number = -errno.EPIPE;

const OF_DEAD: Readonly<Record<number, number>> = {
  [DEAD.closed]: 0,
  [DEAD.reset]: ECONNRESET,
  [DEAD.timeout]: -errno.ETIMEDOUT,
  [DEAD.refused]: ECONNREFUSED,
  [DEAD.unreachable]: -errno.EHOSTUNREACH,
  [DEAD.aborted]: -errno.ECONNABORTED,
  [DEAD.denied]: EACCES,
  [DEAD.inUse]: EADDRNOTAVAIL,
  [DEAD.exhausted]: ENOBUFS,
  [DEAD.quota]: EMFILE,
  [DEAD.noRoute]: ENETUNREACH,
};

/** What a connection died of, one of DEAD. */
export const errnoOfDead = (reason: number): number => OF_DEAD[reason] ?? ECONNRESET;

const OF_CODE: Readonly<Record<number, number>> = {
  [CODE.IN_USE]: EADDRINUSE,
  [CODE.NO_ROUTE]: EADDRNOTAVAIL,
  [CODE.QUOTA]: EMFILE,
  [CODE.NO_FLOW]: ENOBUFS,
  [CODE.DENIED]: EACCES,
};

/** Why a listener was refused, one of CODE. */
export const errnoOfListen = (code: number): number => OF_CODE[code] ?? EINVAL;

/** What helps against an error of a program that knows nothing of us. */
const REMEDIES: Readonly<Record<number, string>> = {
  [ENETUNREACH]: 'no way of this stack leads there: give it one with --outbound nat',
  [EACCES]: 'whom it may speak to first is said by --connect',
  [EMFILE]: 'it is beyond the quota of this application: raise it with --quota',
  [ENOBUFS]: 'there is no room for more: raise it with --flows',
};

interface SystemError extends Error {
  errno?: number;
  syscall?: string;
  errors?: unknown[];
}

/** Puts the remedy behind what Node says of a refused connect or listen; codes stay as they are. */
export function advise(error: unknown): void {
  if (!(error instanceof Error)) return;
  const { errno: status = 0, syscall, message, stack, errors } = error as SystemError;
  errors?.forEach(advise);
  const remedy = syscall === 'connect' || syscall === 'listen' ? REMEDIES[status] : undefined;
  if (remedy === undefined || message.endsWith(remedy)) return;
  error.message = `${message}; ${remedy}`;
  if (stack !== undefined) error.stack = stack.replace(message, () => error.message);
}

/** The error that Node makes of a refused call, with its fields. */
export function systemError(status: number, syscall: string, address: string, port: number): Error {
  const code = getSystemErrorName(status);
  const text = `${syscall} ${code}: ${getSystemErrorMessage(status)} ${address}:${port}`;
  const error = Object.assign(new Error(text), { errno: status, code, syscall, address, port });
  advise(error);
  return error;
}

/**
 * Numbers of errors as Node's handles give them: below 0, and what each end of a connection of
 * libix means in them.
 *
 * Read first: man 3 errno; DEAD in src/gate/abi.ts.
 */
import { constants } from 'node:os';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import { DEAD } from '../gate/abi.ts';

const { errno } = constants;

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
  [DEAD.denied]: -errno.EACCES,
  [DEAD.inUse]: EADDRNOTAVAIL,
  [DEAD.exhausted]: ENOBUFS,
};

/** What a connection died of, one of DEAD. */
export const errnoOfDead = (reason: number): number => OF_DEAD[reason] ?? ECONNRESET;

/** The error that Node makes of a refused call, with its fields. */
export function systemError(status: number, syscall: string, address: string, port: number): Error {
  const code = getSystemErrorName(status);
  const text = `${syscall} ${code}: ${getSystemErrorMessage(status)} ${address}:${port}`;
  return Object.assign(new Error(text), { errno: status, code, syscall, address, port });
}

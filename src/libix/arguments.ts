/**
 * What an application's calls are given, checked before anything is done with it: numbers that are
 * none, fractions, lengths below zero, bytes that lie elsewhere, functions that are missing.
 *
 * - A bad argument is the caller's mistake: it throws at once, in one line that says what was given
 *   and what to give. In a handler that resets its connection (guard.ts); elsewhere it is the
 *   application's own exception.
 * - Per message these are comparisons of integers (`isInt`, ApplicationMemory.holds); the text is
 *   made when one fails.
 *
 * Called by everything of libix that an application calls.
 */
const INT_MAX = 0x7fffffff;

export class IxArgumentError extends RangeError {
  readonly code = 'IX_ARGUMENT';
}

/** Whether it is a whole number that an int32 holds. By its type first: `|` throws at a BigInt. */
export const isInt = (value: unknown): boolean =>
  typeof value === 'number' && (value | 0) === value;

/** A value as a message shows it. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value.slice(0, 40)}'`;
  if (typeof value === 'number' || value === undefined || value === null) return `${value}`;
  return typeof value === 'bigint' ? `${value}n` : `a ${typeof value}`;
}

/** Throws unless it is a whole number from `min` to `max`. */
export function integer(what: string, value: number, min: number, max = INT_MAX): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new IxArgumentError(`${what}: a whole number from ${min} to ${max}, not ${shown(value)}`);
}

/** A delay in microseconds; fractions of one are no mistake. */
export function delay(what: string, us: number): void {
  if (typeof us === 'number' && us >= 0 && us <= INT_MAX) return;
  throw new IxArgumentError(`${what}: 0 to ${INT_MAX} microseconds, not ${shown(us)}`);
}

export function callable(what: string, value: unknown): void {
  if (typeof value !== 'function')
    throw new IxArgumentError(`${what}: a function, not ${shown(value)}`);
}

/**
 * Handlers of connections or of a UDP socket: without `received` there is nobody to give bytes to.
 */
export function handling(what: string, handlers: unknown): void {
  const received = (handlers as { received?: unknown } | null | undefined)?.received;
  if (typeof received === 'function') return;
  const given = handlers === undefined || handlers === null ? shown(handlers) : 'handlers without';
  throw new IxArgumentError(`${what}: handlers with a function received(...), not ${given}`);
}

/** An IPv4 address as a number, or four words. */
export function isAddress(address: number | ArrayLike<number>): boolean {
  if (typeof address === 'number') return isWord(address);
  if (typeof address !== 'object' || address === null || !(address.length >= 4)) return false;
  for (let i = 0; i < 4; i++) if (!isWord(address[i]!)) return false;
  return true;
}

/** 32 bits, signed or not. */
const isWord = (value: number): boolean =>
  typeof value === 'number' && (isInt(value) || value >>> 0 === value);

export const badAddress = (what: string): IxArgumentError =>
  new IxArgumentError(
    `${what}: an IPv4 address as an integer, or four words; text only for connect`,
  );

export const badWords = (what: string): IxArgumentError =>
  new IxArgumentError(
    `${what}: four words, as in socket.source (a number could be half of an IPv6 address)`,
  );

export const badSpan = (what: string, offset: unknown, length: unknown): IxArgumentError =>
  new IxArgumentError(
    `${what}(${shown(offset)}, ${shown(length)}): these bytes are not in application memory; ` +
      'send what ix.alloc or ix.text gave, or copy with write',
  );

export const badBytes = (what: string, offset: unknown, length: unknown): IxArgumentError =>
  new IxArgumentError(`${what}(${shown(offset)}, ${shown(length)}): no bytes of the arena`);

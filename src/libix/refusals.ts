/**
 * What it means that a call was refused: in words, with the remedy, for whoever has to mend it.
 *
 * - Set-up and faults only: nothing here is called for a message.
 *
 * Called by requests.ts, calls.ts and udp.ts. Read first: CODE in src/gate/abi.ts.
 */
import { CALL, CODE } from '../gate/abi.ts';

export class IxCallError extends Error {
  readonly code = 'IX_CALL';
  /** One of CODE in src/gate/abi.ts. */
  readonly result: number;
  constructor(message: string, result: number) {
    super(message);
    this.result = result;
  }
}

/** What is wrong, and what to do. */
const REASONS: Record<number, readonly [problem: string, remedy: string]> = {
  [CODE.IN_USE]: ['is in use already', 'choose another'],
  [CODE.QUOTA]: ["is beyond this application's quota", 'raise it with --quota'],
  [CODE.NO_FLOW]: ['is one more than there is room for', 'close some first'],
  [CODE.NO_ROUTE]: ['is at an address that is not ours', 'leave the address out, or see --ip'],
  [CODE.DENIED]: ['is not allowed', 'allow the address with --connect'],
  [CODE.BAD_RANGE]: ['is out of range', 'a port is 1 to 65535, a delay below 2^31 us'],
};
const CODE_NAMES = namesOf(CODE);
const CALL_NAMES = namesOf(CALL);

function namesOf(values: Record<string, number>): Record<number, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [value, name]));
}

const nameOf = (code: number): string => CODE_NAMES[code] ?? `code ${code}`;

/** What a call that was refused means to the application. */
export function refusal(what: string, result: number): IxCallError {
  const [problem, remedy] = REASONS[result] ?? ['was refused', 'see CODE in src/gate/abi.ts'];
  return new IxCallError(`${what} ${problem} (${nameOf(result)}); ${remedy}`, result);
}

/** Throws it. */
export function refuse(what: string, result: number): void {
  if (result < 0) throw refusal(what, result);
}

/** A connection could not go on: one line. */
export function refusedCall(kind: number, code: number): string {
  const call = CALL_NAMES[kind] ?? `call ${kind}`;
  const what = `${call} was refused (${nameOf(code)})`;
  return `${what}, so its connection was reset; see CODE in src/gate/abi.ts`;
}

/** A connection could not be begun: one line. */
export function refusedConnect(to: string, code: number): string {
  const [problem, remedy] = REASONS[code] ?? ['was refused', 'see CODE in src/gate/abi.ts'];
  return `a connection to ${to} ${problem} (${nameOf(code)}); ${remedy}`;
}

/** A datagram could not be sent, or given back: one line. */
export function refusedDatagram(kind: number, code: number): string {
  const [problem, remedy] = REASONS[code] ?? ['was refused', 'see CODE in src/gate/abi.ts'];
  return `${CALL_NAMES[kind]} ${problem} (${nameOf(code)}); ${remedy}`;
}

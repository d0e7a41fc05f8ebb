/**
 * The opcodes of the binary protocol, and what a request of each must look like.
 *
 * - A quiet opcode does what its loud one does. SASL's are unknown: there is none.
 *
 * Called by binary.ts. Read first: memcached's doc/protocol-binary.txt.
 */
import { VERB } from './line.ts';

export const GET = 0;
export const SET = 1;
export const ADD = 2;
export const REPLACE = 3;
export const DELETE = 4;
export const INCREMENT = 5;
export const DECREMENT = 6;
export const QUIT = 7;
export const FLUSH = 8;
export const NOOP = 10;
export const GET_VERSION = 11;
export const GETK = 12;
export const APPEND = 14;
export const PREPEND = 15;
export const STAT = 16;
export const TOUCH = 28;
export const GAT = 29;
export const GATK = 35;
export const UNKNOWN = 255;
/** Each quiet opcode and its loud one. */
const QUIETS: readonly (readonly [quiet: number, loud: number])[] = [
  [9, GET], [13, GETK], [17, SET], [18, ADD], [19, REPLACE], [20, DELETE], [21, INCREMENT],
  [22, DECREMENT], [23, QUIT], [24, FLUSH], [25, APPEND], [26, PREPEND], [30, GAT], [36, GATK],
]; // biome-ignore format: a table
const LOUD: readonly number[] = [
  GET, SET, ADD, REPLACE, DELETE, INCREMENT, DECREMENT, QUIT, FLUSH, NOOP, GET_VERSION, GETK,
  APPEND, PREPEND, STAT, TOUCH, GAT, GATK,
]; // biome-ignore format: a table
/** By opcode: the one that is answered, UNKNOWN where there is none. */
export const LOUD_OF = new Uint8Array(256).fill(UNKNOWN);
for (const opcode of LOUD) LOUD_OF[opcode] = opcode;
for (const [quiet, loud] of QUIETS) LOUD_OF[quiet] = loud;

const SET_EXTRAS = 8;
const CHANGE_EXTRAS = 20;
const TOUCH_EXTRAS = 4;

/** The verb of each storage opcode. */
export const VERB_OF: Readonly<Record<number, number>> = {
  [SET]: VERB.set,
  [ADD]: VERB.add,
  [REPLACE]: VERB.replace,
  [APPEND]: VERB.append,
  [PREPEND]: VERB.prepend,
};

/** Whether a request has the extras, the key and the value that its opcode asks for. */
export function isShaped(opcode: number, extras: number, key: number, value: number): boolean {
  switch (opcode) {
    case SET:
    case ADD:
    case REPLACE:
      return extras === SET_EXTRAS && key > 0;
    case APPEND:
    case PREPEND:
      return extras === 0 && key > 0;
    case GET:
    case GETK:
    case DELETE:
      return extras === 0 && key > 0 && value === 0;
    case INCREMENT:
    case DECREMENT:
      return extras === CHANGE_EXTRAS && key > 0 && value === 0;
    case TOUCH:
    case GAT:
    case GATK:
      return extras === TOUCH_EXTRAS && key > 0 && value === 0;
    case FLUSH:
      return (extras === 0 || extras === 4) && key === 0 && value === 0;
    case STAT:
      return extras === 0 && value === 0;
    default:
      return extras === 0 && key === 0 && value === 0;
  }
}

/**
 * What the strangers say to the store: sound requests, requests that are wrong, and requests in
 * pieces.
 *
 * - No `flush_all`, and no key of the well-behaved client's: what it stored must still be there.
 */
import type { Dice } from './dice.ts';

const LONG_KEY = 'k'.repeat(250);
const TEXTS = [
  'get a\r\n',
  'gets a b c d e f\r\n',
  `get ${LONG_KEY} ${LONG_KEY}\r\n`,
  `get ${LONG_KEY}k\r\n`,
  'set a 0 0 5\r\nhello\r\n',
  'set a 0 0 5\r\nhello',
  'set b 1 1 3 noreply\r\nabc\r\n',
  'set c 0 0 1000\r\n',
  'set d 0 0 1048577\r\n',
  'set e 0 0 -1\r\n\r\n',
  `set ${LONG_KEY} 0 0 900\r\n${'v'.repeat(900)}\r\n`,
  'cas a 0 0 2 7\r\nxy\r\n',
  'append a 0 0 1\r\n!\r\n',
  'prepend nothing 0 0 1\r\n!\r\n',
  'incr n 1\r\ndecr n 18446744073709551615\r\n',
  'set n 0 0 1\r\n9\r\nincr n 1\r\n',
  'delete a\r\n',
  'touch a 1\r\ngat 1 a\r\n',
  'stats\r\nstats items\r\nstats slabs\r\n',
  'version\r\nverbosity 1\r\n',
  '\r\n\n\r\r\n',
  'get\r\nset\r\nset a\r\n',
  `${'x'.repeat(1200)}`,
  'get a\r\n'.repeat(64),
];

export class Requests {
  readonly #u8: Uint8Array;
  readonly #dice: Dice;
  readonly #texts = TEXTS.map((text) => Buffer.from(text, 'latin1'));

  constructor(u8: Uint8Array, dice: Dice) {
    this.#u8 = u8;
    this.#dice = dice;
  }

  /** Writes a request at `at`, whole, cut, or with bytes changed; returns its length. */
  write(at: number): number {
    const dice = this.#dice;
    const text = dice.pick(this.#texts);
    this.#u8.set(text, at);
    let length = text.length;
    if (dice.once(6)) length = 1 + dice.below(length);
    if (dice.once(4)) {
      for (let n = 1 + dice.below(6); n > 0; n--)
        this.#u8[at + dice.below(length)] = dice.below(256);
    }
    return length;
  }
}

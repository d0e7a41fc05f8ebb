/**
 * The meta protocol, memcached's own successor of its classic commands on the same connection:
 * which file does what, and the parts they share.
 *
 * - `ms` meta-set.ts, `mg` and `me` meta-get.ts, `md` and `ma` meta-change.ts; `mn` is answered
 *   here. Flags: meta-flags.ts, answers: meta-answer.ts.
 * - As memcached 1.6.45 does it, where versions differ.
 *
 * Called by protocol.ts with a complete line. Read first: memcached's doc/protocol.txt, "Meta
 * Commands".
 */

import type { Arithmetic } from './arithmetic.ts';
import type { KvConnection, KvHost, Memory } from './host.ts';
import { LOWER_A, LOWER_D, LOWER_E, LOWER_G, LOWER_M, LOWER_N, LOWER_S } from './letters.ts';
import type { Line } from './line.ts';
import { MetaAnswer } from './meta-answer.ts';
import { MetaChange } from './meta-change.ts';
import { MetaFlags } from './meta-flags.ts';
import { MetaGet } from './meta-get.ts';
import { MetaSet } from './meta-set.ts';
import type { Numbers } from './numbers.ts';
import type { Records } from './records.ts';
import type { Refusals } from './refusals.ts';
import { REPLY, type Replies } from './replies.ts';
import type { Store } from './store.ts';
import type { Updates } from './updates.ts';

const R_ERROR = REPLY.error;
const R_BAD_FORMAT = REPLY.badFormat;
const R_NOOP = REPLY.metaNoop;

export interface MetaParts {
  host: KvHost;
  memory: Memory;
  store: Store;
  replies: Replies;
  records: Records;
  numbers: Numbers;
  arithmetic: Arithmetic;
  refusals: Refusals;
  updates: Updates;
}

export class Meta {
  readonly #u8: Uint8Array;
  readonly #replies: Replies;
  readonly #get: MetaGet;
  readonly #set: MetaSet;
  readonly #change: MetaChange;

  constructor(parts: MetaParts) {
    const { host, memory, store, replies, records, numbers, refusals, updates } = parts;
    const flags = new MetaFlags(
      memory,
      numbers,
      store.clock,
      host.alloc(MetaFlags.scratchBytes, 8),
    );
    const answer = new MetaAnswer(memory, numbers, host.alloc(MetaAnswer.scratchBytes, 64));
    const scratch = host.alloc(MetaChange.scratchBytes, 8);
    const { arithmetic } = parts;
    this.#u8 = memory.u8;
    this.#replies = replies;
    this.#get = new MetaGet(memory, store, replies, flags, answer);
    this.#change = new MetaChange({
      memory,
      store,
      replies,
      numbers,
      arithmetic,
      flags,
      answer,
      scratch,
    });
    this.#set = new MetaSet({
      memory,
      store,
      replies,
      records,
      numbers,
      refusals,
      updates,
      flags,
      answer,
    });
  }

  /**
   * A line whose first word has two letters, with `waiting` bytes here behind it. False: its answer
   * found no room, nothing has happened.
   */
  run(c: KvConnection, record: number, line: Line, waiting: number): boolean {
    const start = line.starts[0]!;
    const letter = this.#u8[start] === LOWER_M ? this.#u8[start + 1]! : 0;
    if (letter === LOWER_S) this.#set.begin(c, record, line, waiting);
    else if (letter === LOWER_N) this.#replies.say(c, record, R_NOOP);
    else if (!isCommand(letter)) this.#replies.say(c, record, R_ERROR);
    else if (line.count < 2) this.#replies.say(c, record, R_BAD_FORMAT);
    else if (letter === LOWER_G) return this.#get.get(c, record, line);
    else if (letter === LOWER_D) this.#change.remove(c, record, line);
    else if (letter === LOWER_A) this.#change.change(c, record, line);
    else this.#get.debug(c, record, line);
    return true;
  }
}

const isCommand = (letter: number): boolean =>
  letter === LOWER_A || letter === LOWER_D || letter === LOWER_E || letter === LOWER_G;

/**
 * Checksums that a sender beside us has left to hardware which does not exist.
 *
 * - Between two interfaces of one machine (veth, macvlan) Linux does not compute TCP's and UDP's
 *   checksums: the field holds the sum of the pseudo-header alone, not complemented, and a mark
 *   beside the frame says so. AF_XDP loses the mark.
 * - On a link that is known to hand over such frames (`NetConfig.partialChecksums`) exactly that
 *   value is taken, as Linux takes the mark, and counted. Anywhere else the segment stays wrong: it
 *   counts as that, and here as one of this shape, so that the control plane can say what would
 *   mend it (control/link/advice.ts).
 * - Asked only about checksums that are wrong: the usual segment pays nothing.
 *
 * Called by tcp/input.ts and net/udp.ts. Read first: CHECKSUM_PARTIAL in Linux's skbuff.h.
 */
import { COUNTER, type Counters } from '../../counters.ts';
import { fold } from '../../wire/checksum.ts';
import type { Environment } from './environment.ts';

const C_REFUSED = COUNTER.partialChecksumsRefused;

export class PartialChecksums {
  readonly #view: DataView;
  readonly #counters: Counters;
  readonly #isKnown: boolean;
  /** Counter of those that are taken. */
  readonly #taken: number;

  constructor(env: Environment, taken: number) {
    this.#view = env.arena.view;
    this.#counters = env.counters;
    this.#isKnown = env.config.partialChecksums === true;
    this.#taken = taken;
  }

  /**
   * Whether a wrong checksum at `at` is taken for right; `pseudoHeader` is its sum, native order.
   */
  takes(at: number, pseudoHeader: number): boolean {
    if (this.#view.getUint16(at, true) !== fold(pseudoHeader)) return false;
    this.#counters.bump(this.#isKnown ? this.#taken : C_REFUSED);
    return this.#isKnown;
  }
}

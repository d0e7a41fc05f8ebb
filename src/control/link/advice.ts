/**
 * What the kernel keeps beside a frame, and AF_XDP does not hand over: for each, whether it works
 * anyway, or one line that says what to switch off.
 *
 * - Checksum left to hardware: taken on links between interfaces of one machine
 *   (net/both/partial-checksums.ts), else a line when one came.
 * - One frame made of many (GRO, TSO): native mode gets none; in generic mode a line: above a chunk
 *   the kernel drops it, `rxDropped`.
 * - VLAN tag taken off: a line: tagged frames would look like untagged ones. On a link of our own
 *   it is switched off.
 * - Checksum found right, hash, timestamp: not needed.
 * - On a link of our own everything is switched off at the host's end
 *   (control/service/holdings.ts), and nothing is said.
 *
 * Called by holdings.ts, life.ts and link-care.ts of control/service. Read first:
 * Documentation/networking/checksum-offloads.rst; ethtool(8) -K.
 */
import { readSync } from 'node:fs';
import { STATISTICS_BYTES } from '../../child/config.ts';
import { COUNTER } from '../../counters.ts';
import type { XdpMode } from '../../nic/drivers.ts';
import { type Offload, readOffload } from '../../nic/privileged/interface.ts';

const LOOK_MS = 500;

/** Links whose other end is a socket of this machine, by netlink's name of their kind. */
const LOCAL_KINDS: readonly string[] = ['veth', 'macvlan', 'bridge'];

export const handsOverPartialChecksums = (kind: string): boolean => LOCAL_KINDS.includes(kind);

const isOn = (name: string, offload: Offload): boolean => {
  try {
    return readOffload(name, offload);
  } catch {
    return false; // its driver does not say
  }
};

/** What to say of an interface that was there before, once, when it is taken. */
export function adviceFor(name: string, kind: string, mode: XdpMode): string[] {
  const lines: string[] = [];
  const isLocal = handsOverPartialChecksums(kind);
  if (mode === 'generic' && isOn(name, 'gro')) {
    lines.push(
      `${name} joins frames before generic XDP sees them, and long ones are lost: ethtool -K ${name} gro off`,
    );
  }
  if (mode === 'generic' && isLocal) {
    const off = 'ethtool -K INTERFACE tso off gso off';
    lines.push(
      `what sends to ${name} on this machine must not send frames above its MTU in generic mode: ${off}, for its other end`,
    );
  }
  if (!isLocal && isOn(name, 'rxVlan')) {
    const off = `ethtool -K ${name} rxvlan off`;
    lines.push(
      `${name} takes VLAN tags off frames, so those of any VLAN would look like ours: ${off}`,
    );
  }
  return lines;
}

/**
 * Looks at the counters for checksums of that shape on a link that is not known for them; tells it
 * once.
 */
export class PartialChecksumWatch {
  readonly #statisticsFd: number;
  readonly #cells: Float64Array;
  readonly #tell: (refused: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #isTold = false;

  constructor(statisticsFd: number, threads: number, tell: (refused: number) => void) {
    this.#statisticsFd = statisticsFd;
    this.#cells = new Float64Array((STATISTICS_BYTES * threads) >> 3);
    this.#tell = tell;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  look(): void {
    readSync(this.#statisticsFd, this.#cells, 0, this.#cells.byteLength, 0);
    let refused = 0;
    for (let at = COUNTER.partialChecksumsRefused; at < this.#cells.length; ) {
      refused += this.#cells[at]!;
      at += STATISTICS_BYTES >> 3;
    }
    if (refused === 0 || this.#isTold) return;
    this.#isTold = true;
    this.stop();
    this.#tell(refused);
  }
}

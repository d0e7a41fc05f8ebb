/**
 * The local ports that connect picks: RFC 6056's double-hash.
 *
 * - Where a search begins is a secret function of both addresses and the remote port; how far the
 *   last searches have gone is counted in one of STEPS cells, which another secret function of the
 *   same chooses. So connections to one peer use ports in turn (a port does not come again soon,
 *   RFC 6056 3.3.4), and what another peer sees of its own ports tells it nothing of theirs.
 * - The steps of a cell are random, so that those who share one do not count each other either (the
 *   trade-off of RFC 6056 3.3.5).
 * - Of several threads whose flows are known (nic/flow-groups.ts) each picks ports whose answers
 *   come back to it: with N threads one in N, so N are tried in the mean, at one multiplication
 *   each. IX picks them in the same way (OSDI'14 section 4.4).
 * - Every port is tried once at most, and a millisecond has TRIES_PER_MS for all searches: an
 *   application that opens connections to one peer until none is left, and goes on asking, must not
 *   hold up everybody else's. A search that ends by that goes on where it was the next time. If no
 *   port was found, that is counted (`tcpPortsUsedUp`).
 *
 * Called by calls.ts. Read first: RFC 6056 3.3.4.
 */
import type { Clock } from '../arena/clock.ts';
import { PURPOSE, SipHash, Unpredictable } from '../arena/siphash.ts';
import type { Table } from '../arena/table.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import type { FlowThreads } from '../nic/flow-groups.ts';
import { flowThreadsOf } from '../nic/toeplitz.ts';
import { EPHEMERAL_COUNT, EPHEMERAL_FIRST } from './constants.ts';
import type { IpLayer } from './segment.ts';

const C_USED_UP = COUNTER.tcpPortsUsedUp;

const STEPS = 1024;
/** A search goes on so many ports behind the last one of its cell at most. */
const STRIDE_MAX = 8;
/**
 * One search through all ports (1 ms when all of them are taken), so that the first one is always
 * complete. Without a bound a batch of 512 calls took half a second.
 */
const TRIES_PER_MS = EPHEMERAL_COUNT;
/** What every search has, so that those to one peer leave something to the others. */
const TRIES_ALWAYS = 64;

export class EphemeralPorts {
  readonly #table: Table;
  readonly #ip: IpLayer;
  readonly #hash: SipHash;
  readonly #steps = new Int32Array(STEPS);
  readonly #strides: Unpredictable;
  readonly #counters: Counters;
  readonly #clock: Clock;
  #sinceMs = 0;
  /** Ports that may be tried in this millisecond. */
  #left = TRIES_PER_MS;
  /** undefined: answers to every port come to us. */
  readonly #groups: FlowThreads | undefined;
  readonly #thread: number;

  constructor(env: Environment, table: Table, ip: IpLayer) {
    this.#table = table;
    this.#ip = ip;
    this.#hash = new SipHash(env.config.wireKey);
    this.#strides = new Unpredictable(env.config.wireKey, PURPOSE.portStride);
    this.#counters = env.counters;
    this.#clock = env.clock;
    const { flowGroups, thread = 0 } = env.config;
    this.#groups = flowGroups && flowThreadsOf(flowGroups);
    this.#thread = thread;
  }

  /** Whether what the peer answers to this port of ours comes to this thread. */
  comesBack(remote: number, remotePort: number, local: number, port: number): boolean {
    const groups = this.#groups;
    if (groups === undefined) return true;
    return groups.threadOf(this.#sumOf(groups, remote, remotePort, local), port) === this.#thread;
  }

  #sumOf(groups: FlowThreads, remote: number, remotePort: number, local: number): number {
    this.#ip.describe(remote, 0, groups.words);
    this.#ip.describeLocal(local, 4, groups.words);
    return groups.sumOf(remotePort);
  }

  /** A port of ours that is not used with this remote address and port; 0: none was found. */
  pick(remote: number, remotePort: number, local: number): number {
    const { words } = this.#hash;
    words[0] = PURPOSE.port;
    words[1] = remotePort;
    words[2] = local;
    words[3] = 0;
    this.#ip.describe(remote, 4, words);
    const start = (this.#hash.hash(8) >>> 1) % EPHEMERAL_COUNT;
    const cell = this.#hash.high & (STEPS - 1); // the second hash: the other half of the same
    const from = this.#steps[cell]! + 1 + (this.#strides.next() & (STRIDE_MAX - 1));
    const groups = this.#groups;
    const sum = groups === undefined ? 0 : this.#sumOf(groups, remote, remotePort, local);
    const most = Math.max(TRIES_ALWAYS, this.#triesLeft());
    let tried = 0;
    for (; tried < most; tried++) {
      const port = EPHEMERAL_FIRST + ((start + from + tried) % EPHEMERAL_COUNT);
      if (groups !== undefined && groups.threadOf(sum, port) !== this.#thread) continue;
      if (this.#table.find(remote, (remotePort << 16) | port, local) >= 0) continue;
      this.#steps[cell] = (from + tried) % EPHEMERAL_COUNT;
      this.#left = (this.#left - tried - 1) | 0;
      return port;
    }
    this.#steps[cell] = (from + tried) % EPHEMERAL_COUNT;
    this.#left = (this.#left - tried) | 0;
    this.#counters.bump(C_USED_UP);
    return 0;
  }

  /** At most EPHEMERAL_COUNT. */
  #triesLeft(): number {
    const now = this.#clock.ms;
    if (now !== this.#sinceMs) {
      this.#sinceMs = now;
      this.#left = TRIES_PER_MS;
    }
    return this.#left;
  }
}

/**
 * How many connections each peer has opened to us, for who wants a limit (`--quota perSource=N`):
 * off by default, and then nothing is counted.
 *
 * - A source is an IPv4 address, or the /64 of an IPv6 address: who has one address of it has all.
 * - Counted from SYN-RECEIVED on, up to TIME-WAIT or the end; a SYN beyond the limit is dropped and
 *   counted (quotaPerSource), and its peer tries again. Connections that we open do not count.
 * - Bounded: there are no more sources than flows.
 *
 * Called by passive.ts and teardown.ts. Read first: src/limits.ts, Quotas.
 */
import { FreeList } from '../arena/list.ts';
import { Table } from '../arena/table.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { QUOTA_NONE } from '../limits.ts';
import type { Environment } from '../net/both/environment.ts';
import { isToken } from '../net/v6/destinations.ts';
import type { IpLayer } from './segment.ts';

/** The third word of a key tells the protocols apart. */
const IPV4 = 4;
const IPV6 = 6;

export class PerSource {
  readonly #quota: number;
  readonly #isOn: boolean;
  readonly #counters: Counters;
  readonly #ip: Pick<IpLayer, 'describe'>;
  readonly #table: Table;
  readonly #free: FreeList;
  /** By the number that the table has for a source. */
  readonly #counts: Int32Array;
  readonly #words = new Int32Array(4);

  constructor(env: Environment, ip: Pick<IpLayer, 'describe'>) {
    const { arena, config, limits } = env;
    this.#quota = limits.quotas.perSource;
    this.#isOn = this.#quota !== QUOTA_NONE;
    this.#counters = env.counters;
    this.#ip = ip;
    const sources = this.#isOn ? limits.flows : 1;
    this.#table = new Table(arena, 'sources', sources, config.secret0, config.secret1);
    this.#free = new FreeList(arena, 'source indexes', sources);
    this.#counts = new Int32Array(sources);
  }

  /** Sources that have a connection. */
  get count(): number {
    return this.#table.count;
  }

  /** Whether `remote` may have one more; no is counted. */
  mayOpen(remote: number): boolean {
    if (!this.#isOn) return true;
    const source = this.#find(remote);
    if (source < 0 || this.#counts[source]! < this.#quota) return true;
    this.#counters.bump(COUNTER.quotaPerSource);
    return false;
  }

  /** `remote` has one more. */
  opened(remote: number): void {
    if (!this.#isOn) return;
    let source = this.#find(remote);
    if (source < 0) {
      source = this.#free.take();
      this.#counts[source] = 0;
      const words = this.#words;
      this.#table.insert(words[0]!, words[1]!, words[2]!, source);
    }
    this.#counts[source] = this.#counts[source]! + 1;
  }

  /** One of those ends. */
  closed(remote: number): void {
    if (!this.#isOn) return;
    const source = this.#find(remote);
    this.#counts[source] = this.#counts[source]! - 1;
    if (this.#counts[source] !== 0) return;
    const words = this.#words;
    this.#table.remove(words[0]!, words[1]!, words[2]!);
    this.#free.give(source);
  }

  /** The number of `remote`'s source, or -1; its key stands in #words. */
  #find(remote: number): number {
    const words = this.#words;
    this.#ip.describe(remote, 0, words);
    if (isToken(remote)) words[2] = IPV6;
    else {
      words[0] = remote;
      words[1] = 0;
      words[2] = IPV4;
    }
    return this.#table.find(words[0]!, words[1]!, words[2]!);
  }
}

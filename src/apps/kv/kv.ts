/**
 * kv: a memcached-compatible store (classic commands of memcached 1.6.18, meta commands of 1.6.45)
 * as an IX application.
 *
 *     ix serve kv [-m 64] [--port 11211] [idle_timeout=0]
 *
 * - Options: `m`, the memory for items in MiB (default 64); `port` (default 11211); `idle_timeout`,
 *   the seconds after which a silent connection is closed (0, the default: never). Items of up to
 *   1 MiB (with `-m 1`, of 1,044,000 bytes).
 * - Application memory: m pages of 1 MiB, hash buckets of at most 1/32 of that, up to 8 MiB for
 *   keys of unfinished get lines, and a few KiB. What does not fit is an error at start that says
 *   how much is missing.
 * - One store for each elastic thread: keys are not shared between threads.
 *
 * The files, from the wire inwards: protocol (bytes to commands), line, retrieval / updates /
 * refusals / commands / stats / dump, meta and its parts (base64 among them), replies; store (items
 * by key), eviction, crawler, crawl-timer, evacuation, arithmetic; uploads, writer, pieces; table,
 * lru, slabs, image, layout (memory); clock, numbers, hash.
 */
import { randomBytes } from 'node:crypto';
import { VALUES_MIB_MAX } from '../../limits.ts';
import { Arithmetic } from './arithmetic.ts';
import { StoreClock } from './clock.ts';
import { Commands } from './commands.ts';
import { COUNT, Counts } from './counters.ts';
import { CrawlTimer } from './crawl-timer.ts';
import { Dump } from './dump.ts';
import { KeyHash } from './hash.ts';
import { HeldKeys, heldBytes } from './held-keys.ts';
import type { KvHandlers, KvHost, Memory } from './host.ts';
import { Images } from './image.ts';
import { MEBIBYTE, PAGE_BYTES } from './layout.ts';
import { Line } from './line.ts';
import { Meta } from './meta.ts';
import { Numbers } from './numbers.ts';
import { Protocol } from './protocol.ts';
import { COUNTED, Records } from './records.ts';
import { Refusals } from './refusals.ts';
import { REPLY, Replies } from './replies.ts';
import { Retrieval } from './retrieval.ts';
import { Slabs } from './slabs.ts';
import { StatsReport } from './stats.ts';
import { Store } from './store.ts';
import { bucketsFor, Table } from './table.ts';
import { Updates } from './updates.ts';
import { Watch } from './watch.ts';

const MEBIBYTES_DEFAULT = 64;
const PORT_DEFAULT = 11211;
/** A year. */
const IDLE_SECONDS_MAX = 31_536_000;
/** A second, as the store's clock counts. */
const TICK_US = 1_000_000;
/**
 * Control blocks that are kept free, if there are so many: one of 16, at most 64. A connection that
 * is one too many gets one of them for the time of its answer; where none is left its SYN is not
 * answered.
 */
const spareFlows = (flows: number): number => Math.min(64, flows >> 4 || (flows > 1 ? 1 : 0));
/** Constant answers and scratch space. */
const SMALL_BYTES = 16_384;

export class KvOptionError extends Error {
  readonly code = 'KV_OPTION';
}

export interface KvOptions {
  mebibytes: number;
  port: number;
  /** 0 or not given: never. */
  idleSeconds?: number;
}

/** Reads the options of the command line. */
export function kvOptions(options: Record<string, string>): KvOptions {
  const integer = (
    name: string,
    text: string | undefined,
    otherwise: number,
    max: number,
    min = 1,
  ): number => {
    const value = text === undefined ? otherwise : Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new KvOptionError(
      `kv: ${name} must be a whole number from ${min} to ${max}, not ${text}`,
    );
  };
  return {
    mebibytes: integer('m (MiB)', options['m'], MEBIBYTES_DEFAULT, VALUES_MIB_MAX),
    port: integer('port', options['port'] ?? options['p'], PORT_DEFAULT, 65_535),
    idleSeconds: integer('idle_timeout (s)', options['idle_timeout'], 0, IDLE_SECONDS_MAX, 0),
  };
}

/** Application memory that a store of this many MiB needs. */
export const kvBytes = (mebibytes: number): number =>
  mebibytes * PAGE_BYTES +
  bucketsFor(mebibytes * MEBIBYTE) * 4 +
  heldBytes(mebibytes) +
  SMALL_BYTES;

/** The parts of one store, for kv and for its tests. */
export interface Kv {
  store: Store;
  held: HeldKeys;
  stats: StatsReport;
  handlers: KvHandlers;
  /**
   * Once a second: looks at the time, for a store that nobody talks to, and at who stands still.
   */
  tick(): void;
}

/** Builds a store in the host's memory; listens to nothing. */
export function createKv(host: KvHost, options: KvOptions): Kv {
  const { mebibytes, port, idleSeconds = 0 } = options;
  checkRoom(host, mebibytes);
  const memory: Memory = { u8: host.u8, i32: host.i32, view: host.view, kernels: host.kernels };
  const numbers = new Numbers(memory.u8);
  const store = storeIn(host, memory, numbers, mebibytes);
  const { counts, clock } = store;
  const records = new Records();
  const maxConnections = host.flows - spareFlows(host.flows);
  const dump = new Dump(host, records, store, numbers);
  const replies = new Replies(host, records, store, numbers, dump);
  const stats = new StatsReport(memory, store, {
    maxBytes: mebibytes * MEBIBYTE,
    idleSeconds,
    port,
    maxConnections,
    pid: host.pid,
  });
  const scratch = host.alloc(Arithmetic.scratchBytes, 8);
  const arithmetic = new Arithmetic(memory, store, numbers, scratch);
  const lineBytes = heldBytes(mebibytes);
  const held = new HeldKeys(memory, records, host.alloc(lineBytes, 64), lineBytes);
  const refusals = new Refusals(memory.u8, counts, replies, records, numbers);
  const updates = new Updates(memory, store, replies, records, numbers, refusals);
  const served = { host, memory, store, replies, records, numbers, refusals, updates };
  const meta = new Meta({ ...served, arithmetic });
  const watch = new Watch(records, store, updates, idleSeconds);
  const protocol = new Protocol({
    u8: memory.u8,
    line: new Line(memory.u8, memory.view),
    records,
    replies,
    retrieval: new Retrieval(memory, store, replies, records, numbers, held),
    updates,
    meta,
    commands: new Commands({ memory, store, replies, numbers, arithmetic, stats, dump }),
    counts,
  });
  const look = (): void => {
    clock.run(host.nowMs(), Date.now());
    if (clock.update(host.nowMs())) store.onSecond();
  };
  const crawlTimer = new CrawlTimer(host, store.crawler);
  store.onCrawl = () => crawlTimer.start();
  const handlers = handlersOf({
    host,
    store,
    records,
    replies,
    stats,
    watch,
    protocol,
    maxConnections,
    look,
  });
  const tick = (): void => {
    look();
    watch.look();
    dump.resumeOne();
    crawlTimer.tick();
  };
  return { store, held, stats, handlers, tick };
}

function storeIn(host: KvHost, memory: Memory, numbers: Numbers, mebibytes: number): Store {
  const secrets = randomBytes(8);
  const slabsBase = host.alloc(mebibytes * PAGE_BYTES, 64);
  const slabs = new Slabs(memory.i32, slabsBase, mebibytes);
  const buckets = bucketsFor(mebibytes * MEBIBYTE);
  return new Store({
    memory,
    slabs,
    table: new Table(memory, host.alloc(buckets * 4, 64), buckets),
    hash: new KeyHash(memory.view, memory.u8, secrets.readInt32LE(0), secrets.readInt32LE(4)),
    images: new Images(memory, numbers),
    counts: new Counts(slabs.classCount),
    clock: new StoreClock(Date.now()),
  });
}

function checkRoom(host: KvHost, mebibytes: number): void {
  const needed = kvBytes(mebibytes);
  if (host.applicationFree >= needed) return;
  const missing = Math.ceil((needed - host.applicationFree) / MEBIBYTE);
  throw new KvOptionError(
    `kv: -m ${mebibytes} needs ${missing} MiB more application memory: start with more, or with a smaller -m`,
  );
}

interface Served {
  host: KvHost;
  store: Store;
  records: Records;
  replies: Replies;
  stats: StatsReport;
  watch: Watch;
  protocol: Protocol;
  maxConnections: number;
  /** At the time. */
  look: () => void;
}

/** What a connection does to the store. Made once: nothing here is made for a message. */
function handlersOf(served: Served): KvHandlers {
  const { host, store, records, replies, stats, watch, protocol, maxConnections, look } = served;
  const { counts, clock } = store;
  return {
    pooled: true,
    opened(c) {
      look();
      records.open(c.id);
      if (stats.connections >= maxConnections) {
        counts.bump(COUNT.rejected_connections);
        return replies.refuse(c, records.of(c.id), REPLY.tooManyConnections);
      }
      stats.connections++;
      counts.bump(COUNT.total_connections);
      records.words[records.of(c.id) + COUNTED] = 1;
      watch.opened(c);
    },
    received(c, offset, length) {
      if (clock.update(host.nowMs())) store.onSecond();
      watch.active(c);
      return protocol.received(c, offset, length);
    },
    released(c, tag) {
      watch.took(c);
      store.release(tag);
    },
    closed(c) {
      stats.connections -= records.words[records.of(c.id) + COUNTED]!;
      watch.closed(c);
      protocol.closed(c);
    },
  };
}

export default function kv(ix: KvHost, options: Record<string, string>): void {
  const chosen = kvOptions(options);
  const { handlers, tick } = createKv(ix, chosen);
  ix.listen(chosen.port, handlers);
  ix.every(TICK_US, tick);
}

/**
 * `stats` and its subcommands, as text. Never in the hot path: everything here allocates.
 *
 * - Names and order are memcached 1.6.18's, so that dashboards and client libraries find what they
 *   look for. What has no meaning here (extstore, TLS, worker threads) is left out of `stats
 *   settings` or reported as 0.
 * - `stats sizes` is disabled, as memcached's is by default; `stats detail` is accepted but nothing
 *   is counted by prefix.
 */
import type { ClassCountName, CountName, Counts } from './counters.ts';
import type { Memory } from './host.ts';
import { EXPTIME, ITEM_SIZE_MAX, KEY_START, TIME } from './layout.ts';
import type { Line } from './line.ts';
import type { Numbers } from './numbers.ts';
import { REPLY, VERSION } from './replies.ts';
import type { Store } from './store.ts';

export interface StatsSettings {
  /** -m, in bytes. */
  maxBytes: number;
  port: number;
  /** Connections that are silent for longer are closed; 0: none. */
  idleSeconds: number;
  /** Connections that are served at a time. */
  maxConnections: number;
  /** Of the process that serves, as others see it. */
  pid: number;
}

/** memcached's limit on what cachedump returns. */
const CACHEDUMP_BYTES = 2 ** 21;
/** Class numbers that memcached takes, whether they exist or not. */
const CLASSES_MAX = 64;

const SLAB_COUNTS: readonly ClassCountName[] = [
  'get_hits',
  'cmd_set',
  'delete_hits',
  'incr_hits',
  'decr_hits',
  'cas_hits',
  'cas_badval',
  'touch_hits',
];
const ITEM_COUNTS: readonly ClassCountName[] = [
  'mem_requested',
  'evicted',
  'evicted_nonzero',
  'evicted_time',
  'outofmemory',
];
const ITEM_COUNTS_LATE: readonly ClassCountName[] = [
  'reclaimed',
  'expired_unfetched',
  'evicted_unfetched',
  'evicted_active',
];

export class StatsReport {
  verbosity = 0;
  connections = 0;
  readonly #memory: Memory;
  readonly #store: Store;
  readonly #counts: Counts;
  readonly #settings: StatsSettings;

  constructor(memory: Memory, store: Store, settings: StatsSettings) {
    this.#memory = memory;
    this.#store = store;
    this.#counts = store.counts;
    this.#settings = settings;
  }

  /** `stats` alone. */
  general(): string {
    const usage = process.resourceUsage();
    const seconds = (us: number): string => (us / 1e6).toFixed(6);
    const { clock, table, slabs } = this.#store;
    const rows: [string, string | number][] = [
      ['pid', this.#settings.pid],
      ['uptime', clock.uptime],
      ['time', clock.unixTime],
      ['version', VERSION],
      ['pointer_size', 64],
      ['rusage_user', seconds(usage.userCPUTime)],
      ['rusage_system', seconds(usage.systemCPUTime)],
      ['max_connections', this.#settings.maxConnections],
      ['curr_connections', this.connections],
      ...this.#rows('total_connections', 'rejected_connections'),
      ...this.#rows('cmd_get', 'cmd_set', 'cmd_flush', 'cmd_touch'),
      this.#count('cmd_meta'),
      ...this.#rows('get_hits', 'get_misses', 'get_expired', 'get_flushed'),
      ...this.#rows('delete_misses', 'delete_hits', 'incr_misses', 'incr_hits', 'decr_misses'),
      ...this.#rows('decr_hits', 'cas_misses', 'cas_hits', 'cas_badval', 'touch_hits'),
      ...this.#rows('touch_misses', 'store_too_large', 'store_no_memory'),
      ['auth_cmds', 0],
      ['auth_errors', 0],
      ...this.#rows('bytes_read', 'bytes_written'),
      ['limit_maxbytes', this.#settings.maxBytes],
      ['accepting_conns', 1],
      ['listen_disabled_num', 0],
      ['time_in_listen_disabled_us', 0],
      ['threads', 1],
      this.#count('conn_yields'),
      ['hash_power_level', Math.log2(table.buckets)],
      ['hash_bytes', table.buckets * 4],
      ['hash_is_expanding', 0],
      ['slab_reassign_running', 0],
      this.#count('slabs_moved'),
      ['malloc_fails', 0],
      ...this.#rows('bytes', 'curr_items', 'total_items'),
      ['slab_global_page_pool', slabs.freePages],
      ...this.#rows('expired_unfetched', 'evicted_unfetched', 'evicted_active', 'evictions'),
      ...this.#rows('reclaimed', 'lrutail_reflocked', 'moves_within_lru', 'direct_reclaims'),
      ...this.#rows('binary_refused', 'blocks_swallowed', 'blocks_unreadable'),
      this.#count('long_lines_refused'),
      ...this.#rows('uploads', 'upload_bytes', 'uploads_dropped'),
      ['unread_bytes', this.#store.pinnedBytes],
      ...this.#rows('readers_dropped', 'idle_kicks'),
      ...this.#rows('crawler_reclaimed', 'crawler_items_checked'),
    ];
    return text(rows);
  }

  /** `stats <name> ...`: text, or the number of a constant line. */
  named(line: Line, numbers: Numbers): string | number {
    switch (line.text(1)) {
      case 'reset':
        this.#counts.reset();
        return REPLY.reset;
      case 'settings':
        return this.#settingsText();
      case 'items':
        return this.#items();
      case 'slabs':
        return this.#slabs();
      case 'sizes':
        return text([['sizes_status', 'disabled']]);
      case 'conns':
        return REPLY.end;
      case 'detail':
        return this.#detail(line);
      case 'cachedump':
        return this.#cachedump(line, numbers);
      default:
        return REPLY.error;
    }
  }

  #settingsText(): string {
    return text([
      ['maxbytes', this.#settings.maxBytes],
      ['maxconns', this.#settings.maxConnections],
      ['tcpport', this.#settings.port],
      ['udpport', 0],
      ['verbosity', this.verbosity],
      ['oldest', 0],
      ['evictions', 'on'],
      ['growth_factor', '1.25'],
      ['chunk_size', 48],
      ['num_threads', 1],
      ['stat_key_prefix', ':'],
      ['detail_enabled', 'no'],
      ['cas_enabled', 'yes'],
      ['binding_protocol', 'ascii'],
      ['auth_enabled_sasl', 'no'],
      ['auth_enabled_ascii', 'no'],
      ['item_size_max', ITEM_SIZE_MAX],
      ['hash_algorithm', 'halfsiphash13'],
      ['slab_reassign', 'yes'],
      ['slab_automove', 1],
      ['flush_enabled', 'yes'],
      ['dump_enabled', 'yes'],
      ['lru_segmented', 'no'],
      ['track_sizes', 'no'],
      ['idle_timeout', this.#settings.idleSeconds],
    ]);
  }

  #items(): string {
    const rows: [string, string | number][] = [];
    const { lru, slabs, clock } = this.#store;
    for (let index = 0; index < slabs.classCount; index++) {
      const count = lru.counts[index]!;
      if (count === 0) continue;
      const tail = lru.tails[index]!;
      const name = `items:${index + 1}:`;
      rows.push([`${name}number`, count]);
      rows.push([`${name}age`, clock.now - this.#memory.i32[(tail >> 2) + TIME]!]);
      this.#classRows(rows, name, index, ITEM_COUNTS);
      rows.push([`${name}tailrepairs`, 0]);
      this.#classRows(rows, name, index, ITEM_COUNTS_LATE);
      this.#classRows(rows, name, index, ['lrutail_reflocked', 'moves_within_lru']);
      this.#classRows(rows, name, index, ['direct_reclaims']);
    }
    return text(rows);
  }

  #slabs(): string {
    const rows: [string, string | number][] = [];
    const { slabs } = this.#store;
    let active = 0;
    for (let index = 0; index < slabs.classCount; index++) {
      const pages = slabs.pages[index]!;
      if (pages === 0) continue;
      active++;
      const name = `${index + 1}:`;
      const chunks = pages * slabs.chunksPerPage[index]!;
      rows.push([`${name}chunk_size`, slabs.chunkBytes[index]!]);
      rows.push([`${name}chunks_per_page`, slabs.chunksPerPage[index]!]);
      rows.push([`${name}total_pages`, pages], [`${name}total_chunks`, chunks]);
      rows.push([`${name}used_chunks`, slabs.used[index]!]);
      rows.push([`${name}free_chunks`, chunks - slabs.used[index]!]);
      rows.push([`${name}free_chunks_end`, 0]);
      this.#classRows(rows, name, index, SLAB_COUNTS);
    }
    rows.push(['active_slabs', active]);
    rows.push(['total_malloced', (slabs.pageCount - slabs.freePages) * ITEM_SIZE_MAX]);
    return text(rows);
  }

  #detail(line: Line): string | number {
    const word = line.count > 2 ? line.text(2) : '';
    if (word === 'on' || word === 'off') return REPLY.ok;
    return word === 'dump' ? REPLY.end : REPLY.badDetail;
  }

  #cachedump(line: Line, numbers: Numbers): string | number {
    if (line.count < 4) return REPLY.badLine;
    if (!numbers.parseU32(line.starts[2]!, line.lengths[2]!)) return REPLY.badFormat;
    const id = numbers.lo >>> 0;
    if (!numbers.parseU32(line.starts[3]!, line.lengths[3]!)) return REPLY.badFormat;
    const limit = numbers.lo >>> 0;
    if (id >= CLASSES_MAX) return REPLY.badSlab;
    const { lru, images, clock } = this.#store;
    const { u8, i32 } = this.#memory;
    let out = '';
    let item = id > 0 ? (lru.heads[id - 1] ?? 0) : 0;
    for (let n = 0; item !== 0 && (limit === 0 || n < limit) && out.length < CACHEDUMP_BYTES; n++) {
      const key = u8.slice(item + KEY_START, item + KEY_START + images.keyLengthOf(item));
      const exptime = i32[(item >> 2) + EXPTIME]!;
      const time = exptime === 0 ? 0 : clock.unixTime - clock.now + exptime;
      const name = Buffer.from(key).toString('latin1');
      out += `ITEM ${name} [${images.dataLengthOf(item)} b; ${time} s]\r\n`;
      item = lru.after(item);
    }
    return `${out}END\r\n`;
  }

  #count(name: CountName): [string, number] {
    return [name, this.#counts.get(name)];
  }

  #rows(...names: CountName[]): [string, number][] {
    return names.map((name) => this.#count(name));
  }

  #classRows(
    rows: [string, string | number][],
    prefix: string,
    index: number,
    names: readonly ClassCountName[],
  ): void {
    for (const name of names) rows.push([prefix + name, this.#counts.ofClass(index, name)]);
  }
}

const text = (rows: [string, string | number][]): string =>
  `${rows.map(([name, value]) => `STAT ${name} ${value}\r\n`).join('')}END\r\n`;

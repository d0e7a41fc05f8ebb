/**
 * What the store counts: one list of names, one double each (they pass 2^31; exact to 2^53); what
 * `stats` prints comes from here.
 *
 * - Names are memcached's, but for the last ones.
 * - `binary_refused`: connections ended because they spoke the binary protocol.
 * - `blocks_swallowed`: values of refused storage lines that were dropped; `blocks_unreadable`:
 *   connections ended because nothing said how long such a value was.
 * - `long_lines_refused`: connections ended because the keys of an unfinished line were too much to
 *   keep.
 * - `byClass` holds the columns that `stats slabs` and `stats items` show for each size class.
 */
const NAMES = [
  'total_connections', 'rejected_connections', 'cmd_get', 'cmd_set', 'cmd_flush', 'cmd_touch', 'cmd_meta',
  'get_hits', 'get_misses', 'get_expired', 'get_flushed', 'delete_misses', 'delete_hits', 'incr_misses', 'incr_hits',
  'decr_misses', 'decr_hits', 'cas_misses', 'cas_hits', 'cas_badval', 'touch_hits',
  'touch_misses', 'store_too_large', 'store_no_memory', 'bytes_read', 'bytes_written',
  'conn_yields', 'slabs_moved', 'bytes', 'curr_items', 'total_items', 'expired_unfetched',
  'evicted_unfetched', 'evicted_active', 'evictions', 'reclaimed', 'lrutail_reflocked',
  'moves_within_lru', 'direct_reclaims', 'binary_refused', 'blocks_swallowed',
  'blocks_unreadable', 'long_lines_refused',
  'uploads', 'upload_bytes', 'uploads_dropped',
  'crawler_reclaimed', 'crawler_items_checked', 'idle_kicks', 'readers_dropped',
] as const; // biome-ignore format: one line a group

export type CountName = (typeof NAMES)[number];

/** Index of each count. */
export const COUNT = Object.freeze(
  Object.fromEntries(NAMES.map((name, index) => [name, index])),
) as Readonly<Record<CountName, number>>;

const CLASS_NAMES = [
  'get_hits', 'cmd_set', 'delete_hits', 'incr_hits', 'decr_hits', 'cas_hits', 'cas_badval',
  'touch_hits', 'mem_requested', 'evicted', 'evicted_nonzero', 'evicted_time', 'outofmemory',
  'reclaimed', 'expired_unfetched', 'evicted_unfetched', 'evicted_active', 'lrutail_reflocked',
  'moves_within_lru', 'direct_reclaims',
] as const; // biome-ignore format: one line a group

export type ClassCountName = (typeof CLASS_NAMES)[number];
export const CLASS_COUNT = Object.freeze(
  Object.fromEntries(CLASS_NAMES.map((name, index) => [name, index])),
) as Readonly<Record<ClassCountName, number>>;

/** Not counts but levels, which `stats reset` leaves alone. */
const LEVELS: readonly number[] = [
  COUNT.bytes,
  COUNT.curr_items,
  COUNT.uploads,
  COUNT.upload_bytes,
];

export class Counts {
  readonly all = new Float64Array(NAMES.length);
  readonly byClass: Float64Array;

  constructor(classCount: number) {
    this.byClass = new Float64Array(classCount * CLASS_NAMES.length);
  }

  bump(count: number): void {
    this.all[count] = this.all[count]! + 1;
  }

  add(count: number, by: number): void {
    this.all[count] = this.all[count]! + by;
  }

  bumpClass(index: number, count: number): void {
    const cell = index * CLASS_NAMES.length + count;
    this.byClass[cell] = this.byClass[cell]! + 1;
  }

  addClass(index: number, count: number, by: number): void {
    const cell = index * CLASS_NAMES.length + count;
    this.byClass[cell] = this.byClass[cell]! + by;
  }

  setClass(index: number, count: number, value: number): void {
    this.byClass[index * CLASS_NAMES.length + count] = value;
  }

  get(name: CountName): number {
    return this.all[COUNT[name]]!;
  }

  ofClass(index: number, name: ClassCountName): number {
    return this.byClass[index * CLASS_NAMES.length + CLASS_COUNT[name]]!;
  }

  reset(): void {
    for (let i = 0; i < this.all.length; i++) if (!LEVELS.includes(i)) this.all[i] = 0;
    for (let i = 0; i < this.byClass.length; i++) {
      if (i % CLASS_NAMES.length !== CLASS_COUNT.mem_requested) this.byClass[i] = 0;
    }
  }
}

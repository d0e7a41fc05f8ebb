/**
 * Options of the load generator, text in, checked numbers out: what `bin/ix load`, agents and the
 * benchmarks give it.
 *
 * - Unknown names and bad values are refused with one sentence that names the option.
 * - A workload gives defaults to keySize, valueSize, arrival and update (workload.ts).
 * - At most SLOTS_MAX requests in flight: each has cells of its own for its times (recorder.ts).
 */
import * as v from 'valibot';
import { ARRIVALS } from '../workload/arrivals.ts';
import { parseDistribution } from '../workload/distribution.ts';
import { integer, LoadOptionError, number, parse } from '../workload/words.ts';
import { WORKLOADS, type WorkloadName } from '../workload/workload.ts';

const SLOTS_MAX = 2 ** 22;
/** Gaps of ten nanoseconds: more than any generator keeps up with. */
const RATE_MAX = 100_000_000;

const distribution = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    try {
      parseDistribution(dataset.value);
      return dataset.value;
    } catch (error) {
      addIssue({ message: (error as Error).message });
      return NEVER;
    }
  }),
);

/** `uniform`, `zipf` (0.99, as YCSB) or `zipf:S`; the exponent, 0 for uniform. */
const popularity = v.pipe(
  v.string(),
  v.regex(/^(uniform|zipf(:\d*\.?\d+)?)$/, 'must be uniform, zipf or zipf:EXPONENT'),
  v.transform((text) => (text === 'uniform' ? 0 : Number(text.split(':')[1] ?? 0.99))),
  v.maxValue(10, 'has an exponent of at most 10'),
);

const Schema = v.pipe(
  v.strictObject({
    /** IPv4 address of the server. */
    host: v.pipe(v.string(), v.ipv4('must be an IPv4 address')),
    port: integer(1, 65_535),
    protocol: v.optional(
      v.picklist(['memcached', 'echo'], 'must be memcached or echo'),
      'memcached',
    ),
    connections: v.optional(integer(1, 2 ** 18), '16'),
    /** Most requests in flight per connection. */
    depth: v.optional(integer(1, 1024), '1'),
    /** Requests per second of an open loop; 0: closed loop. */
    rate: v.optional(number(0, RATE_MAX), '0'),
    arrival: v.picklist(ARRIVALS, `must be ${ARRIVALS.join(', ')}`),
    /** Named set of defaults, for messages. */
    workload: v.optional(v.picklist(Object.keys(WORKLOADS) as WorkloadName[]), 'fixed'),
    keySize: distribution,
    valueSize: distribution,
    /** Share of requests that are SETs. */
    update: number(0, 1),
    /** Keys stored before the measurement. */
    records: v.optional(integer(1, 10_000_000), '10000'),
    /** Share of the key space that is stored. */
    hitRatio: v.optional(number(0.1, 1), '1'),
    /** Keys of one GET. */
    multiGet: v.optional(integer(1, 100), '1'),
    popularity: v.optional(popularity, 'uniform'),
    /** echo: bytes of one message. */
    size: v.optional(integer(4, 2 ** 20), '64'),
    /** A connection is opened anew after so many requests; 0: never. */
    churn: v.optional(integer(0, 2 ** 30), '0'),
    /** Whether the keys are stored first, or nothing else is done. */
    fill: v.optional(v.picklist(['yes', 'no', 'only'], 'must be yes, no or only'), 'yes'),
    warmupMs: v.optional(integer(0, 600_000), '500'),
    /** Open loop: for so long of the warm-up requests go out as fast as they are answered. */
    rushMs: v.optional(integer(0, 600_000), '0'),
    /**
     * Open loop: the generator sleeps while nothing is due and no answer comes; otherwise it spins.
     */
    sleeps: v.optional(v.picklist(['yes', 'no'], 'must be yes or no'), 'no'),
    durationMs: v.optional(integer(1, 3_600_000), '2000'),
    /** How long answers are waited for after the measured time. */
    drainMs: v.optional(integer(0, 60_000), '500'),
    /** Longest time to open all connections and store the keys. */
    openMs: v.optional(integer(1, 600_000), '30000'),
    /** Time of day, ms since 1970, at which several generators begin together; 0: when ready. */
    startAtMs: v.optional(integer(0, 2 ** 52), '0'),
    /** Of keys and values; equal in all generators of a run. */
    seed: v.optional(integer(1, 2 ** 31 - 1), '1'),
    /** Number of this generator: its requests differ from those of the others. */
    index: v.optional(integer(0, 65_535), '0'),
    progressMs: v.optional(integer(0, 600_000), '0'),
    /** Parts of the measured time that get a histogram of their own; 0: none. */
    windows: v.optional(integer(0, 1000), '0'),
    /** Open loop: so many of the slowest requests are told one by one. */
    worst: v.optional(integer(0, 10_000), '0'),
    /** For tests: so many latencies are also kept as they are. */
    naive: v.optional(integer(0, 2 ** 24), '0'),
  }),
  v.check(
    ({ connections, depth }) => connections * depth <= SLOTS_MAX,
    `connections times depth must be at most ${SLOTS_MAX}`,
  ),
  v.check(
    ({ rushMs, warmupMs }) => rushMs <= warmupMs,
    'option rushMs must be a part of the warm-up',
  ),
  v.transform((options) => ({ ...options, zipf: options.popularity })),
);

export type GeneratorOptions = v.InferOutput<typeof Schema>;
/** As text, by name: what a caller gives. */
export type GeneratorSettings = Partial<Record<keyof GeneratorOptions, string | number>>;

export function generatorOptions(given: Record<string, string>): GeneratorOptions {
  const name = given['workload'] ?? 'fixed';
  const workload = WORKLOADS[name as WorkloadName];
  if (workload === undefined) {
    throw new LoadOptionError(`option workload must be ${Object.keys(WORKLOADS).join(', ')}`);
  }
  // `m` is what applications are told of the memory that they were given.
  const { m: _, ...own } = given;
  return parse(Schema, { ...workload, ...own });
}

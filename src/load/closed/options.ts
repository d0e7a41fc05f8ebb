/**
 * Options of the closed-loop clients: text from the command line in, checked numbers out.
 *
 * - At most MESSAGES_MAX messages in flight: each has a cell of its own for its time
 *   (measurement.ts).
 * - A refusal is one sentence that names the option (words.ts).
 */
import * as v from 'valibot';
import { integer, number, parse } from '../workload/words.ts';

const MESSAGES_MAX = 2 ** 22;

/** What every closed-loop client takes. */
const closedLoop = {
  /** IPv4 address of the server. */
  host: v.pipe(v.string(), v.ipv4('must be an IPv4 address')),
  port: integer(1, 65_535),
  connections: v.optional(integer(1, 2 ** 18), '1'),
  /** Messages in flight per connection. */
  depth: v.optional(integer(1, 1024), '1'),
  warmupMs: v.optional(integer(0, 600_000), '500'),
  durationMs: v.optional(integer(1, 1_000_000), '2000'),
  /** Longest time to open all connections and prepare. */
  openMs: v.optional(integer(1, 600_000), '10000'),
  /**
   * `batch`: the batch's time, free, microseconds. `fine`: a clock read per message, 50 ns, for
   * small round trips.
   */
  clock: v.optional(v.picklist(['batch', 'fine'], 'must be batch or fine'), 'batch'),
};

const limitInFlight = <T extends { connections: number; depth: number }>(o: T): boolean =>
  o.connections * o.depth <= MESSAGES_MAX;
const TOO_MANY = `connections times depth must be at most ${MESSAGES_MAX}`;

const EchoSchema = v.pipe(
  v.strictObject({
    ...closedLoop,
    /** Bytes of one message. */
    size: v.optional(integer(4, 2 ** 20), '64'),
  }),
  v.check(limitInFlight, TOO_MANY),
);

const KvSchema = v.pipe(
  v.strictObject({
    ...closedLoop,
    /** Keys stored before the measurement. */
    keys: v.optional(integer(1, 1_000_000), '100000'),
    /** Share of requests that ask for a stored key. */
    hitRatio: v.optional(number(0.1, 1), '0.95'),
    seed: v.optional(integer(1, 2 ** 31 - 1), '1'),
  }),
  v.check(limitInFlight, TOO_MANY),
);

export type EchoOptions = v.InferOutput<typeof EchoSchema>;
export type KvOptions = v.InferOutput<typeof KvSchema>;
export type ClosedLoopOptions = Pick<EchoOptions, keyof typeof closedLoop>;

export const echoOptions = (options: Record<string, string>): EchoOptions =>
  parse(EchoSchema, options);
export const kvOptions = (options: Record<string, string>): KvOptions => parse(KvSchema, options);

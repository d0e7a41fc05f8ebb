/**
 * Options of `serve` and `run`, from the strings of the command line to checked values.
 *
 * - Every wrong value is an `OptionError`: one line that names the option and what it takes.
 * - What is right by itself but not in this version is refused here too, so that nothing else has
 *   to.
 * - Nobody but the command and plan.ts, which divides them among those who carry them out, sees
 *   them.
 */
import { availableParallelism } from 'node:os';
import * as v from 'valibot';
import {
  IDLE_POLICIES,
  IMPAIRMENTS,
  type Impaired,
  ON_CRASH,
  PLACEMENTS,
} from '../../child/config.ts';
import { START_MS } from '../../child/patience.ts';
import { realPaths } from '../../confine/plan.ts';
import { OptionError } from '../../errors.ts';
import {
  BATCH_MAX,
  FLOW_INDEX_BITS,
  QUOTA_NAMES,
  QUOTA_NONE,
  QUOTAS_MIN,
  type Quotas,
  VALUES_MIB_MAX,
} from '../../limits.ts';
import { CONGESTION_NAMES, ECN_OPTIONS } from '../../tcp/constants.ts';
import { parseSubnet } from '../link/address.ts';
import { parseSubnet6 } from '../link/address6.ts';
import { XDP_CHOICES } from '../link/xdp.ts';
import { parseRanges } from './ranges.ts';

const integer = (min: number, max: number) =>
  v.pipe(
    v.string(),
    v.regex(/^\d+$/, `takes a whole number from ${min} to ${max}`),
    v.transform(Number),
    v.minValue(min, `takes a whole number from ${min} to ${max}`),
    v.maxValue(max, `takes a whole number from ${min} to ${max}`),
  );
const oneOf = <const T extends readonly string[]>(values: T) =>
  v.picklist(values, `takes ${values.join(', ')}`);

const paths = (option: string) =>
  v.pipe(
    v.array(v.string()),
    v.transform((given) => realPaths(option, given)),
  );

/**
 * 'loss=0.01,reorder=0.01,seed=1': probabilities a frame, in both directions
 * (src/nic/around/impair.ts).
 */
function parseImpairment(text: string): Impaired {
  const given: Record<string, number> = {};
  for (const word of text.split(',')) {
    const [name = '', value = ''] = word.split('=');
    const most = IMPAIRMENTS[name as keyof typeof IMPAIRMENTS];
    const amount = value === '' ? Number.NaN : Number(value);
    if (most === undefined || !(amount >= 0 && amount <= most)) {
      const names = Object.entries(IMPAIRMENTS).map(([each, max]) => `${each} (0 to ${max})`);
      throw new OptionError(
        `--impair: '${word}' is not an impairment`,
        `it takes ${names.join(', ')}`,
      );
    }
    given[name] = amount;
  }
  return given;
}

/** 'flows=100,timers=10': what the application may have at a time (Quotas in src/limits.ts). */
function parseQuotas(text: string): Partial<Quotas> {
  const given: Partial<Quotas> = {};
  for (const word of text.split(',')) {
    const [name = '', value = ''] = word.split('=');
    const least = QUOTAS_MIN[name as keyof Quotas];
    const amount = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (least === undefined || !(amount >= least && amount <= QUOTA_NONE)) {
      const names = QUOTA_NAMES.map((each) => `${each} (${QUOTAS_MIN[each]} or more)`);
      throw new OptionError(`--quota: '${word}' is not a quota`, `it takes ${names.join(', ')}`);
    }
    given[name as keyof Quotas] = amount;
  }
  return given;
}

const RunOptions = v.object({
  /** undefined: veth, or the demonstration where that is not allowed. */
  nic: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[^/\s]{1,15}$/, 'takes veth, tap, cable or the name of an interface'),
    ),
  ),
  ip: v.pipe(v.optional(v.string(), '10.77.0.2/24'), v.transform(parseSubnet)),
  /** Absent: what stands beside `ip` (control/link/address6.ts). */
  ip6: v.optional(
    v.pipe(
      v.string(),
      v.transform((text) => (text === 'none' ? ('none' as const) : parseSubnet6(text))),
    ),
  ),
  slaac: v.optional(v.boolean(), false),
  /** Whether what it opens goes beyond the host. */
  outbound: v.optional(oneOf(['none', 'nat']), 'none'),
  domain: v.optional(oneOf(['inline', 'process']), 'process'),
  /** Domain process: where the application runs. */
  placement: v.optional(oneOf(PLACEMENTS), 'same-core'),
  threads: v.optional(integer(1, 64), '1'),
  idle: v.optional(oneOf(IDLE_POLICIES), 'adaptive'),
  congestion: v.optional(oneOf(CONGESTION_NAMES)),
  ecn: v.optional(oneOf(ECN_OPTIONS)),
  /**
   * Seconds of a peer's silence until it is asked whether it is there; 0: never. Absent: as the
   * application has it.
   */
  keepalive: v.optional(integer(0, 1_000_000)),
  cpu: v.optional(integer(0, 1023)),
  /** Placement split; absent: the core after `cpu`. */
  appCpu: v.optional(integer(0, 1023)),
  memory: v.optional(integer(1, VALUES_MIB_MAX)),
  port: v.optional(integer(1, 65_535)),
  /**
   * Where the XDP program runs and how frames get to it; auto: the best that is known to work
   * (control/link/xdp.ts).
   */
  xdp: v.optional(oneOf(XDP_CHOICES), 'auto'),
  /** B of the paper. */
  batch: v.optional(integer(1, BATCH_MAX)),
  /** For benchmarks: iterations further apart than so many microseconds are kept. */
  stalls: v.optional(integer(1, 1_000_000)),
  flows: v.optional(integer(1, 2 ** FLOW_INDEX_BITS / 2)),
  /** Whom the application may speak to first. */
  connect: v.optional(v.pipe(v.string(), v.transform(parseRanges))),
  json: v.optional(v.boolean(), false),
  capture: v.optional(v.string()),
  trace: v.optional(v.boolean(), false),
  allowRead: v.optional(paths('--allow-read'), []),
  allowWrite: v.optional(paths('--allow-write'), []),
  /** For a Node program's process.env: NAME=VALUE, or NAME for what we have. */
  env: v.optional(
    v.pipe(
      v.array(v.string()),
      v.transform((words: string[]) => parseEnvironment(words)),
    ),
    [],
  ),
  unconfined: v.optional(v.boolean(), false),
  /**
   * Seconds after which an application that has not returned from a batch is restarted; 0: never.
   */
  hangTimeout: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,5}(\.\d+)?$/, 'takes seconds (0: never)'),
      v.transform(Number),
    ),
    '10',
  ),
  /** Seconds that dataplane and application may take to start (child/patience.ts). */
  startTimeout: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,5}(\.\d+)?$/, 'takes seconds'),
      v.transform(Number),
      v.minValue(0.1, 'takes 0.1 seconds or more'),
    ),
    `${START_MS / 1000}`,
  ),
  /** What an application's peers see when it dies; fin: domain process only. */
  onCrash: v.optional(oneOf(ON_CRASH), 'rst'),
  /** What the application may have at a time, below what the pools give. */
  quota: v.optional(v.pipe(v.string(), v.transform(parseQuotas))),
  /** The service ends with its dataplane and with its control plane. */
  tied: v.optional(v.boolean(), false),
  /** For tests: a bad network, both ways. */
  impair: v.optional(v.pipe(v.string(), v.transform(parseImpairment))),
});
export type RunOptions = v.InferOutput<typeof RunOptions>;

/** How each option is written, for messages. */
const WRITTEN: Record<string, string> = {
  memory: '-m',
  port: '-p',
  hangTimeout: '--hang-timeout',
  startTimeout: '--start-timeout',
  onCrash: '--on-crash',
  appCpu: '--app-cpu',
};

export function parseRunOptions(given: Record<string, unknown>): RunOptions {
  const parsed = v.safeParse(RunOptions, given);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    const name = v.getDotPath(issue) ?? '';
    throw new OptionError(`${WRITTEN[name] ?? `--${name}`} ${issue.message}, not '${issue.input}'`);
  }
  const options = parsed.output;
  const cores = availableParallelism();
  if (options.cpu !== undefined && options.cpu >= cores) {
    throw new OptionError(`there is no core ${options.cpu}`, `--cpu takes 0 to ${cores - 1}`);
  }
  if (options.xdp !== 'auto' && (options.nic === 'tap' || options.nic === 'cable')) {
    throw new OptionError(`--nic ${options.nic} has no XDP`, 'leave out --xdp');
  }
  if (options.threads > 1) checkThreadOptions(options, cores);
  checkPlacement(options, cores);
  if (options.onCrash === 'fin') checkHasProcess(options, '--on-crash fin');
  return options;
}

/** What only a dataplane that outlives its application can do. */
function checkHasProcess({ domain, nic }: RunOptions, what: string): void {
  if (domain === 'process' && nic !== 'cable') return;
  const without = domain === 'inline' ? '--domain inline' : '--nic cable';
  throw new OptionError(`${what} needs an application process`, `leave out ${without}`);
}

/** A thread has a queue and, if they are pinned, a core of its own. */
function checkThreadOptions(
  { threads, nic = 'veth', cpu, placement }: RunOptions,
  cores: number,
): void {
  const one = 'use --threads 1';
  if (nic === 'cable') throw new OptionError('--nic cable is a demonstration in one thread', one);
  if (placement === 'split') throw new OptionError('--placement split is for one thread', one);
  if (cpu === undefined || cpu + threads <= cores) return;
  const needed = `${threads} threads from core ${cpu} on need ${cpu + threads} cores`;
  throw new OptionError(`${needed}, here are ${cores}`, 'take fewer, or leave out --cpu');
}

/** Two that poll need two cores, and two processes. */
function checkPlacement(options: RunOptions, cores: number): void {
  const { placement, cpu, appCpu } = options;
  if (placement !== 'split') {
    if (appCpu === undefined) return;
    throw new OptionError('--app-cpu is for placement split', 'add --placement split');
  }
  checkHasProcess(options, '--placement split');
  if (cores < 2) {
    throw new OptionError('--placement split needs two cores, here is one', 'leave it out');
  }
  if (appCpu === undefined) return;
  if (appCpu >= cores) {
    throw new OptionError(`there is no core ${appCpu}`, `--app-cpu takes 0 to ${cores - 1}`);
  }
  if (cpu === undefined || cpu === appCpu) {
    throw new OptionError('--app-cpu needs a --cpu that is another core', 'give both');
  }
}

/** A name alone means our own: then a value that is a secret is on no command line. */
function parseEnvironment(words: readonly string[]): Record<string, string> {
  return parseSettings(
    words.flatMap((word) => {
      if (word.includes('=')) return [word];
      const own = process.env[word];
      return own === undefined ? [] : [`${word}=${own}`];
    }),
  );
}

/** `name=value` arguments, for the application. */
export function parseSettings(words: readonly string[]): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const word of words) {
    const at = word.indexOf('=');
    if (at < 1) throw new OptionError(`'${word}' is not a setting`, 'write it like name=value');
    settings[word.slice(0, at)] = word.slice(at + 1);
  }
  return settings;
}

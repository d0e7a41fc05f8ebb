/**
 * One load point: a generator is started, runs, and its result comes back. The way in for programs
 * (`bin/ix load`, the benchmarks):
 *
 *     const result = await runPoint({
 *       settings: { host: '10.78.0.3', port: 11211, workload: 'etc', rate: 200_000 },
 *       carrier: { via: 'dataplane', nic: 'ixclient', ip: '10.78.0.1/24', cpu: 0 },
 *     });
 *
 * - `settings` are the generator's (generator/options.ts); `carrier` says what the requests travel
 *   on.
 * - Each point is a fresh process: its own heap, its own connections. Keys are stored by each point
 *   unless `fill: 'no'`; several points and several generators: together.ts, scan.ts.
 * - Throws a UserError with one sentence when the run fails or says nothing for too long.
 */
import { fileURLToPath } from 'node:url';
import { startService } from '../../control/service/service.ts';
import { findApplication } from '../../control/wish/applications.ts';
import { parseRunOptions } from '../../control/wish/options.ts';
import { planOf } from '../../control/wish/plan.ts';
import { DataplaneDiedError, UserError } from '../../errors.ts';
import {
  type GeneratorOptions,
  type GeneratorSettings,
  generatorOptions,
} from '../generator/options.ts';
import {
  isLoadProgress,
  isLoadReport,
  type LoadProgress,
  type LoadReport,
  type LoadResult,
} from '../result/result.ts';
import { type CableCarrier, runOnCable } from './cable.ts';
import { runOnKernel } from './kernel.ts';

/** Our dataplane on an interface; `veth` makes a pair. */
export interface DataplaneCarrier {
  via: 'dataplane';
  nic: string;
  /** The generator's own address, A/N. */
  ip: string;
  cpu?: number;
  /** Where the XDP program runs (`--xdp` of serve). */
  xdp?: 'auto' | 'native' | 'generic';
  /** Stalls of the generator's thread are kept from so many microseconds up. */
  stallUs?: number;
}

/** Ordinary sockets. */
export interface KernelCarrier {
  via: 'kernel';
  cpu?: number;
}

/** What the requests travel on. */
export type Carrier = DataplaneCarrier | KernelCarrier | CableCarrier;

export interface LoadPlan {
  settings: GeneratorSettings;
  carrier: Carrier;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** The stalls (dataplane/stalls.ts), when the run is over. */
  onStalls?: ((stalls: readonly number[]) => void) | undefined;
  /** Ends the run before its time. */
  signal?: AbortSignal | undefined;
}

/** A generator while it runs. */
export interface Generating {
  report: Promise<LoadReport>;
  stalls?(): Promise<readonly number[]>;
  stop(): Promise<void>;
}

const GENERATOR = fileURLToPath(new URL('../generator/generator.ts', import.meta.url));
/** Beyond what the options say: start of the process, and its end. */
const EXTRA_MS = 15_000;
const FLOWS_MIN = 16_384;

export async function runPoint(plan: LoadPlan): Promise<LoadResult> {
  const settings = asText(plan.settings);
  const options = generatorOptions(settings);
  const generating = await start(plan, settings, options);
  try {
    const report = await within(generating.report, limitMsOf(options), plan.signal);
    if (plan.onStalls) plan.onStalls((await generating.stalls?.()) ?? []);
    if (report.kind === 'load-failed') throw new UserError('IX_LOAD', report.message, '');
    return report;
  } finally {
    await generating.stop();
  }
}

export const asText = (settings: GeneratorSettings): Record<string, string> =>
  Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)]],
    ),
  );

const limitMsOf = ({ openMs, startAtMs, warmupMs, durationMs, drainMs }: GeneratorOptions) =>
  openMs +
  Math.max(0, startAtMs > 0 ? startAtMs - Date.now() : 0) +
  warmupMs +
  durationMs +
  drainMs +
  EXTRA_MS;

async function within<T>(
  promise: Promise<T>,
  limitMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const end = (why: string) => () => ended.reject(new UserError('IX_LOAD', why, ''));
  const timer = setTimeout(end('the generator has not reported in time'), limitMs);
  const aborted = end('the load was given up');
  signal?.addEventListener('abort', aborted);
  if (signal?.aborted) aborted();
  try {
    return await Promise.race([promise, ended.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', aborted);
  }
}

async function start(
  { carrier, onProgress }: LoadPlan,
  settings: Record<string, string>,
  options: GeneratorOptions,
): Promise<Generating> {
  const memoryMiB = memoryMiBFor(options);
  const flows = Math.max(FLOWS_MIN, options.connections * 2);
  const reported = Promise.withResolvers<LoadReport>();
  reported.promise.catch(() => {}); // it may end before anybody waits
  const hear = (value: unknown): void => {
    if (isLoadProgress(value)) onProgress?.(value);
    else if (isLoadReport(value)) reported.resolve(value);
  };
  if (carrier.via === 'kernel') {
    return runOnKernel(settings, memoryMiB * 2 ** 20, carrier.cpu, hear, reported);
  }
  const application = findApplication(GENERATOR, settings);
  if (carrier.via === 'cable') {
    const limits = { applicationMiB: memoryMiB * 2, flows };
    return runOnCable(application, carrier, limits, hear, reported);
  }
  const { nic, ip, cpu, xdp, stallUs } = carrier;
  const asked = parseRunOptions({
    ...{ ip, ip6: 'none', idle: 'spin', domain: 'inline', flows: `${flows}` },
    memory: `${memoryMiB}`,
    ...(cpu === undefined ? {} : { cpu: `${cpu}` }),
    ...(xdp === undefined ? {} : { xdp }),
    ...(stallUs === undefined ? {} : { stalls: `${stallUs}` }),
  });
  const plan = planOf(application, asked, nic);
  const service = await startService(plan, { report: hear });
  void service.dataplane.ended.then(({ how, failure }) =>
    reported.reject(new DataplaneDiedError(`the generator ended: ${failure ?? how}`)),
  );
  return {
    report: reported.promise,
    stalls: async () => (await service.dataplane.state()).flatMap((each) => each.stalls ?? []),
    stop: async () => {
      await service.stop();
      service.takeDown();
    },
  };
}

/** Requests of keys at about ETC's mean size, the pool of values, and slack for what is larger. */
export function memoryMiBFor({
  records,
  hitRatio,
  keySize,
  connections,
}: GeneratorOptions): number {
  const keyBytes = Number(keySize) || 64;
  const bytes = (records / hitRatio) * (keyBytes + 16) + connections * 512;
  return Math.ceil(bytes / 2 ** 20) + 64;
}

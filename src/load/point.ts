/**
 * One load point: a generator is started, runs, and its result comes back. The way in for programs
 * (`bin/ix load`, the benchmarks):
 *
 *     const result = await runPoint({
 *       settings: { host: '10.78.0.3', port: 11211, workload: 'etc', connections: 64, rate: 200_000 },
 *       carrier: { via: 'dataplane', nic: 'ixclient', ip: '10.78.0.1/24', cpu: 0 },
 *     });
 *
 * - `settings` are the generator's (generator-options.ts); `carrier` says what the requests travel on.
 * - Each point is a fresh process: its own heap, its own connections. Keys are stored by each point unless
 *   `fill: 'no'`; a scan stores them once (scan.ts).
 * - Throws a UserError with one sentence when the run fails or says nothing for too long.
 */
import { fileURLToPath } from 'node:url';
import { findApplication } from '../control/applications.ts';
import { DataplaneDiedError, UserError } from '../control/errors.ts';
import { parseRunOptions } from '../control/options.ts';
import { startService } from '../control/service.ts';
import {
  type GeneratorOptions,
  type GeneratorSettings,
  generatorOptions,
} from './generator-options.ts';
import { runOnKernel } from './kernel-run.ts';
import {
  isLoadProgress,
  isLoadReport,
  type LoadProgress,
  type LoadReport,
  type LoadResult,
} from './result.ts';

/** What the requests travel on. */
export type Carrier =
  | {
      /** Our dataplane on an interface; `veth` makes a pair. */
      via: 'dataplane';
      nic: string;
      /** The generator's own address, A/N. */
      ip: string;
      cpu?: number;
    }
  | {
      /** Ordinary sockets. */
      via: 'kernel';
      cpu?: number;
    };

export interface LoadPlan {
  settings: GeneratorSettings;
  carrier: Carrier;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** A generator while it runs. */
export interface Generating {
  report: Promise<LoadReport>;
  stop(): Promise<void>;
}

const GENERATOR = fileURLToPath(new URL('./generator.ts', import.meta.url));
/** Beyond what the options say: start of the process, and its end. */
const EXTRA_MS = 15_000;

export async function runPoint(plan: LoadPlan): Promise<LoadResult> {
  const settings = asText(plan.settings);
  const options = generatorOptions(settings);
  const { carrier, onProgress } = plan;
  const generating =
    carrier.via === 'kernel'
      ? runOnKernel(settings, memoryMiBFor(options) * 2 ** 20, carrier.cpu, onProgress)
      : await runOnDataplane(settings, options, carrier, onProgress);
  try {
    const report = await within(generating.report, limitMsOf(options));
    if (report.kind === 'load-failed') throw new UserError('IX_LOAD', report.message, '');
    return report;
  } finally {
    await generating.stop();
  }
}

export const asText = (settings: GeneratorSettings): Record<string, string> =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));

const limitMsOf = ({ openMs, startAtMs, warmupMs, durationMs, drainMs }: GeneratorOptions) =>
  Math.max(openMs, startAtMs > 0 ? startAtMs - Date.now() : 0) +
  warmupMs +
  durationMs +
  drainMs +
  EXTRA_MS;

async function within<T>(promise: Promise<T>, limitMs: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const error = new UserError('IX_LOAD', 'the generator has not reported in time', '');
  const timer = setTimeout(() => late.reject(error), limitMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function runOnDataplane(
  settings: Record<string, string>,
  options: GeneratorOptions,
  { nic, ip, cpu }: Extract<Carrier, { via: 'dataplane' }>,
  onProgress: LoadPlan['onProgress'],
): Promise<Generating> {
  const given = {
    ip,
    idle: 'spin',
    domain: 'inline',
    memory: `${memoryMiBFor(options)}`,
    ...(cpu === undefined ? {} : { cpu: `${cpu}` }),
  };
  const reported = Promise.withResolvers<LoadReport>();
  const report = (value: unknown): void => {
    if (isLoadProgress(value)) onProgress?.(value);
    else if (isLoadReport(value)) reported.resolve(value);
  };
  const application = findApplication(GENERATOR, settings);
  const service = await startService(application, parseRunOptions(given), nic, { report });
  void service.dataplane.ended.then(({ how, failure }) =>
    reported.reject(new DataplaneDiedError(`the generator ended: ${failure ?? how}`)),
  );
  return {
    report: reported.promise,
    stop: async () => {
      await service.stop();
      service.takeDown();
    },
  };
}

/** Requests of keys at ETC's mean size, the pool of values, and slack for what is larger. */
export function memoryMiBFor({ records, hitRatio, keySize }: GeneratorOptions): number {
  const keyBytes = Number(keySize) || 64;
  return Math.ceil((records / hitRatio) * ((keyBytes + 16) / 2 ** 20)) + 64;
}

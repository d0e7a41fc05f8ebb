/**
 * The one place where benchmarks meet the control plane: our servers and our clients as it starts
 * them.
 *
 * - `startOurs` serves an application by AF_XDP on the server's end of the link, `runClient` runs a
 *   load application on the client's end and returns its report. Both are dataplanes of their own,
 *   pinned.
 * - A load application is src/load/closed/NAME.ts or, where only a figure of the paper needs it,
 *   bench/load/NAME.ts.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Dataplane } from '../../src/control/children/launch.ts';
import { type Service, startService } from '../../src/control/service/service.ts';
import { type Application, findApplication } from '../../src/control/wish/applications.ts';
import { parseRunOptions } from '../../src/control/wish/options.ts';
import { planOf } from '../../src/control/wish/plan.ts';
import { DataplaneDiedError, UserError } from '../../src/errors.ts';
import { isLoadReport, type LoadReport, type LoadResult } from '../../src/load/result/result.ts';
import { CLIENT_ADDRESS, CLIENT_LINK, PREFIX_LENGTH, SERVER_LINK } from './network.ts';

export interface Server {
  /** Ours: stalls of its thread, as dataplane/stalls.ts lists them. */
  stalls?(): Promise<readonly number[]>;
  /** Processes that serve, for what they use of processor and memory. */
  readonly pids?: readonly number[];
  stop(): Promise<void>;
}

export interface OursPlan {
  /** Name of an application in src/apps, or the path of a module. */
  app: string;
  settings?: Record<string, string>;
  address: string;
  cpu: number;
  idle: string;
  /** MiB for values. */
  memory?: number;
  /** Default: the one that `ix serve` chooses by itself. */
  domain?: 'inline' | 'process';
  /** B: most frames of one iteration. */
  batch?: number;
  /** Most connections. */
  flows?: number;
  /** Stalls of its thread are kept from so many microseconds up. */
  stalls?: number;
  /** Without confinement: to profile. */
  unconfined?: boolean;
  report?: (value: unknown) => void;
}

export interface ClientPlan {
  /** Module in src/load/closed or bench/load. */
  module: string;
  cpu: number;
  options: Record<string, string | number>;
  flows?: number;
}

/** Beyond warm-up and measurement: start, connections, keys. */
const CLIENT_EXTRA_MS = 30_000;

async function startDataplane(
  app: Application,
  given: Record<string, unknown>,
  link: string,
  report: (value: unknown) => void = () => {},
): Promise<Service> {
  // A veth pair whose ends have no offloads (network.ts): what `ix serve` chooses on a link of its
  // own.
  const options = parseRunOptions({ xdp: 'generic', ip6: 'none', ...given });
  return await startService(planOf(app, options, link), { report });
}

async function end(service: Service): Promise<void> {
  await service.stop();
  service.takeDown();
}

const optional = (name: string, value: number | string | boolean | undefined) =>
  value === undefined ? {} : { [name]: typeof value === 'number' ? String(value) : value };

export async function startOurs(plan: OursPlan): Promise<Server> {
  const given = {
    ip: `${plan.address}/${PREFIX_LENGTH}`,
    cpu: String(plan.cpu),
    idle: plan.idle,
    ...optional('domain', plan.domain),
    ...optional('memory', plan.memory),
    ...optional('batch', plan.batch),
    ...optional('flows', plan.flows),
    ...optional('stalls', plan.stalls),
    ...optional('unconfined', plan.unconfined),
  };
  const app = findApplication(plan.app, plan.settings);
  const service = await startDataplane(app, given, SERVER_LINK, plan.report);
  return {
    pids: [service.dataplane.pid],
    stalls: async () => (await service.dataplane.state()).flatMap((each) => each.stalls ?? []),
    stop: () => end(service),
  };
}

export function clientApplication(plan: ClientPlan): Application {
  const settings = Object.fromEntries(
    Object.entries(plan.options).map(([name, value]) => [name, String(value)]),
  );
  const places = ['../../src/load/closed', '../load'].map((folder) =>
    fileURLToPath(new URL(`${folder}/${plan.module}.ts`, import.meta.url)),
  );
  return findApplication(places.find(existsSync) ?? places[0]!, settings);
}

/**
 * Runs a load application to its end. Throws when it fails, or says nothing for too long. `T`: what
 * else it reports.
 */
export async function runClient<T = unknown>(plan: ClientPlan): Promise<LoadResult & T> {
  const given = {
    ip: `${CLIENT_ADDRESS}/${PREFIX_LENGTH}`,
    cpu: String(plan.cpu),
    idle: 'spin',
    domain: 'inline',
    ...optional('flows', plan.flows),
  };
  const waiting = new Report(plan);
  const service = await startDataplane(clientApplication(plan), given, CLIENT_LINK, waiting.hear);
  try {
    return (await waiting.of(service.dataplane)) as LoadResult & T;
  } finally {
    await end(service);
  }
}

/** The one report of a load application: a result, a refusal, or too late. */
export class Report {
  readonly #reported = Promise.withResolvers<LoadReport>();
  readonly #limitMs: number;

  constructor({ options }: ClientPlan) {
    const times = ['warmupMs', 'durationMs', 'openMs'].map((name) => Number(options[name] ?? 0));
    this.#limitMs = times.reduce((sum, ms) => sum + ms, CLIENT_EXTRA_MS);
    this.#reported.promise.catch(() => {}); // nobody may be waiting yet
  }

  readonly hear = (value: unknown): void => {
    if (isLoadReport(value)) this.#reported.resolve(value);
  };

  async of(dataplane: Dataplane): Promise<LoadResult> {
    const { promise, reject } = this.#reported;
    const late = () => reject(new UserError('IX_LOAD', 'the client has not reported in time', ''));
    const timer = setTimeout(late, this.#limitMs);
    void dataplane.ended.then(({ how, failure }) =>
      reject(new DataplaneDiedError(`the client ended: ${failure ?? how}`)),
    );
    try {
      const report = await promise;
      if (report.kind === 'load-failed') throw new UserError('IX_LOAD', report.message, '');
      return report;
    } finally {
      clearTimeout(timer);
    }
  }
}

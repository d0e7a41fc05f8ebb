/**
 * The one place where benchmarks meet the control plane: our servers and our clients as it starts them.
 *
 * - `startOurs` serves an application by AF_XDP on the server's end of the link, `runClient` runs a load
 *   application (src/load) on the client's end and returns its report. Both are dataplanes of their own, pinned.
 */
import { fileURLToPath } from 'node:url';
import { findApplication } from '../../src/control/applications.ts';
import { DataplaneDiedError, UserError } from '../../src/control/errors.ts';
import { parseRunOptions } from '../../src/control/options.ts';
import { type Service, startService } from '../../src/control/service.ts';
import { isLoadReport, type LoadReport, type LoadResult } from '../../src/load/result.ts';
import { CLIENT_ADDRESS, CLIENT_LINK, PREFIX_LENGTH, SERVER_LINK } from './network.ts';

export interface Server {
  stop(): Promise<void>;
}

export interface OursPlan {
  /** Name of an application in src/apps. */
  app: string;
  address: string;
  cpu: number;
  idle: string;
  /** MiB for values. */
  memory?: number;
  /** Default: the one that `ix serve` chooses by itself. */
  domain?: 'inline' | 'process';
}

export interface ClientPlan {
  /** Module in src/load. */
  module: 'echo-client' | 'kv-client';
  cpu: number;
  options: Record<string, string | number>;
}

/** Beyond warm-up and measurement: start, connections, keys. */
const CLIENT_EXTRA_MS = 30_000;

async function startDataplane(
  app: string,
  settings: Record<string, string>,
  given: Record<string, unknown>,
  link: string,
  report: (value: unknown) => void = () => {},
): Promise<Service> {
  // A veth pair whose ends have no offloads (network.ts): what `ix serve` chooses on a link of its own.
  const options = parseRunOptions({ xdp: 'generic', ...given });
  return await startService(findApplication(app, settings), options, link, { report });
}

async function end(service: Service): Promise<void> {
  await service.stop();
  service.takeDown();
}

export async function startOurs(plan: OursPlan): Promise<Server> {
  const given = {
    ip: `${plan.address}/${PREFIX_LENGTH}`,
    cpu: String(plan.cpu),
    idle: plan.idle,
    ...(plan.domain === undefined ? {} : { domain: plan.domain }),
    ...(plan.memory === undefined ? {} : { memory: String(plan.memory) }),
  };
  const service = await startDataplane(plan.app, {}, given, SERVER_LINK);
  return { stop: () => end(service) };
}

/** Runs a load application to its end. Throws when it fails, or says nothing for too long. */
export async function runClient(plan: ClientPlan): Promise<LoadResult> {
  const settings = Object.fromEntries(
    Object.entries(plan.options).map(([name, value]) => [name, String(value)]),
  );
  const module = fileURLToPath(new URL(`../../src/load/${plan.module}.ts`, import.meta.url));
  const given = {
    ip: `${CLIENT_ADDRESS}/${PREFIX_LENGTH}`,
    cpu: String(plan.cpu),
    idle: 'spin',
    domain: 'inline',
  };
  const reported = Promise.withResolvers<LoadReport>();
  const service = await startDataplane(module, settings, given, CLIENT_LINK, (value) => {
    if (isLoadReport(value)) reported.resolve(value);
  });
  const limitMs = Number(settings['durationMs']) + CLIENT_EXTRA_MS;
  const timer = setTimeout(
    () => reported.reject(new UserError('IX_LOAD', 'the client has not reported in time', '')),
    limitMs,
  );
  void service.dataplane.ended.then((how) =>
    reported.reject(new DataplaneDiedError(`the client ended: ${how}`)),
  );
  try {
    const report = await reported.promise;
    if (report.kind === 'load-failed') throw new UserError('IX_LOAD', report.message, '');
    return report;
  } finally {
    clearTimeout(timer);
    await end(service);
  }
}

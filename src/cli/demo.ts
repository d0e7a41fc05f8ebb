/**
 * The demonstration for machines where no network may be touched: server and client as two
 * dataplanes of one process, joined by a cable (shared memory). Same stack, same application, no
 * privilege.
 *
 * - The server has what the user configured; the client is ours (src/apps/demo-client.ts) and has
 *   the defaults.
 * - Whoever of the two fails, or ends too early, ends the demonstration: a `DemoError`, never a
 *   wait for ever.
 *
 * Called by src/cli/demonstration.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { builtBeside } from '../built.ts';
import { type DataplaneConfig, type DataplaneMessage, STATISTICS_BYTES } from '../child/config.ts';
import { makeUnderWay, passedOn, type ReportMessage } from '../dataplane/reports.ts';
import { formatAddress } from '../libix/address.ts';
import { ETHERNET_MTU } from '../limits.ts';
import { must, SYS, sys } from '../native/sys.ts';
import { type CableParts, type CableSide, closeCable, makeCable } from '../nic/cable.ts';

type Message =
  | Exclude<DataplaneMessage, { type: 'report' }>
  | ReportMessage
  | { type: 'thread-attached' };
/** Gets what an application reports; `fail` ends the demonstration with this line. */
type Hear = (value: unknown, fail: (line: string) => void) => void;

export interface DemoPlan {
  /** What any dataplane would be given, but for its network. */
  server: Omit<DataplaneConfig, 'nics' | 'gateway' | 'statisticsFd'>;
  /** In the server's network. */
  clientAddress: number;
  /** What the server's application reports. */
  report(value: unknown): void;
}

/** How much later than its reset a server's last word may come. */
const STOPPED_MS = 100;

/** The client came to no good end. What the server refuses has a code of its own. */
export const DEMO_CLIENT_FAILED = 'IX_DEMO_CLIENT';

export class DemoError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Returns the exit code when the client has shown what it had to show; throws a `DemoError` when
 * either side failed.
 */
export async function runDemo(plan: DemoPlan): Promise<number> {
  const cable = makeCable();
  const statisticsFd = must(
    sys.syscall(SYS.memfd_create, Buffer.from('ix statistics\0'), 0),
    'memfd_create',
  );
  const sides: Side[] = [];
  try {
    must(sys.syscall(SYS.ftruncate, statisticsFd, 2 * STATISTICS_BYTES), 'ftruncate');
    const network = (side: CableSide) => ({ ...networkOf(cable, side), statisticsFd });
    const server = startSide({ ...plan.server, ...network(0) }, plan.report);
    sides.push(server);
    const [port] = await server.ready;
    const { name } = plan.server.app;
    if (port === undefined) {
      throw new DemoError(DEMO_CLIENT_FAILED, `${name} listens on no TCP port: nothing to show`);
    }
    const address = formatAddress(plan.server.address);
    console.log(`ix: ${name} ready at ${address}:${port}, on a cable inside this process`);
    const client = startSide({ ...clientOf(plan, port), ...network(1) }, hearClient);
    sides.push(client);
    // A server that stops resets the client: then what the server says counts.
    const failed = async (error: unknown): Promise<number> => {
      const code = await Promise.race([server.stopped, sleep(STOPPED_MS)]);
      if (code === undefined) throw error;
      return code;
    };
    return await Promise.race([client.stopped.catch(failed), server.stopped]);
  } finally {
    await Promise.all(sides.map(({ worker }) => worker.terminate()));
    closeCable(cable);
    sys.syscall(SYS.close, statisticsFd);
  }
}

function networkOf(cable: CableParts, side: CableSide) {
  const nic: DataplaneConfig['nics'][number] = {
    ...{ kind: 'cable', ...cable, wakeFds: [...cable.wakeFds], side },
    ...{ mac: [2, 0x69, 0x78, 0, 0, side + 1], mtu: ETHERNET_MTU },
  };
  return { nics: [nic], gateway: 0 };
}

function clientOf({ server, clientAddress }: DemoPlan, port: number): DemoPlan['server'] {
  const options = { address: formatAddress(server.address), port: `${port}`, app: server.app.name };
  const module = fileURLToPath(new URL('../apps/demo-client.ts', import.meta.url));
  return {
    app: { name: 'demo-client', module, options },
    ...{ address: clientAddress, prefixLength: server.prefixLength },
    ...{ idle: 'adaptive', limits: {}, trace: false },
  };
}

interface Side {
  readonly worker: Worker;
  /** TCP ports that its application listens on. */
  readonly ready: Promise<number[]>;
  /** Its application has ended it, with this exit code. */
  readonly stopped: Promise<number>;
}

function startSide(config: DataplaneConfig, hear: Hear): Side {
  const reports = makeUnderWay();
  const worker = new Worker(builtBeside(import.meta.url, '../dataplane/worker.ts'), {
    workerData: { config, index: 0, reports },
  });
  const ready = Promise.withResolvers<number[]>();
  const stopped = Promise.withResolvers<number>();
  const fail = (code: string, message: string): void => {
    const error = new DemoError(code, message);
    ready.reject(error);
    stopped.reject(error);
  };
  // Each fails with the other, and nobody waits for both.
  for (const { promise } of [ready, stopped]) promise.catch(() => {});
  worker.on('message', (message: Message) => {
    if (message.type === 'thread-attached') worker.postMessage('go');
    else if (message.type === 'ready') ready.resolve(message.ports);
    else if (message.type === 'stopped') stopped.resolve(message.exitCode);
    else if (message.type === 'failed') fail(message.code, message.message);
    else if (message.type === 'report') {
      passedOn(reports, message);
      hear(JSON.parse(message.json), (line) => fail(DEMO_CLIENT_FAILED, line));
    }
  });
  worker.on('error', (error: Error) => fail('IX_WORKER', error.stack ?? error.message));
  worker.on('exit', (code) => fail('IX_WORKER', `${config.app.name} ended, exit code ${code}`));
  return { worker, ready: ready.promise, stopped: stopped.promise };
}

const hearClient: Hear = (value, fail) => {
  const { kind, line = '' } = value as { kind?: string; line?: string };
  if (kind === 'transcript') console.log(line);
  else if (kind === 'failed') fail(line);
};

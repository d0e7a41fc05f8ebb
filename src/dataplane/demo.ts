/**
 * The demonstration for machines where no network may be touched: server and client as two dataplanes of one process,
 * joined by a cable (shared memory). Same stack, same application, no privilege.
 *
 * Called by src/control/serve.ts when privileges are missing, or for `--nic cable`.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { formatAddress, parseAddress } from '../libix/address.ts';
import { must, SYS, sys } from '../native/sys.ts';
import { type CableSide, closeCable, makeCable } from '../nic/cable.ts';
import { type DataplaneConfig, type DataplaneMessage, STATISTICS_BYTES } from './config.ts';

const CLIENT_ADDRESS = '10.77.0.1';
const MTU = 1500;
const DEFAULT_PORTS: Record<string, number> = { kv: 11211, echo: 7 };

interface DemoApplication {
  name: string;
  module: string;
  options: Record<string, string>;
}

interface DemoOptions {
  ip: { address: number; prefixLength: number };
  port?: number | undefined;
  trace: boolean;
}

/** Settles when the client has shown what it had to show; throws when either side failed. */
export async function runDemo(app: DemoApplication, options: DemoOptions): Promise<void> {
  const cable = makeCable();
  const statisticsFd = must(
    sys.syscall(SYS.memfd_create, Buffer.from('ix statistics\0'), 0),
    'memfd_create',
  );
  must(sys.syscall(SYS.ftruncate, statisticsFd, 2 * STATISTICS_BYTES), 'ftruncate');
  const address = formatAddress(options.ip.address);
  const base = (side: CableSide, own: number): Omit<DataplaneConfig, 'app'> => ({
    nics: [
      {
        kind: 'cable',
        ...cable,
        wakeFds: [...cable.wakeFds],
        side,
        mac: [2, 0x69, 0x78, 0, 0, side + 1],
        mtu: MTU,
      },
    ],
    address: own,
    prefixLength: options.ip.prefixLength,
    gateway: 0,
    idle: 'adaptive',
    limits: {},
    statisticsFd,
    trace: options.trace && side === 0,
  });
  const port = options.port ?? Number(app.options['port'] ?? DEFAULT_PORTS[app.name] ?? 7);
  const serverApp = { ...app, options: { ...app.options, port: String(port) } };
  const client = {
    name: 'demo-client',
    module: fileURLToPath(new URL('../apps/demo-client.ts', import.meta.url)),
    options: { address, port: String(port), app: app.name },
  };
  const server = startWorker({ ...base(0, options.ip.address), app: serverApp });
  await server.ready;
  console.log(`ix: ${app.name} ready at ${address}:${port}, on a cable inside this process`);
  const visitor = startWorker({ ...base(1, parseAddress(CLIENT_ADDRESS)), app: client });
  await Promise.race([visitor.stopped, server.stopped]);
  await Promise.all([server.worker.terminate(), visitor.worker.terminate()]);
  closeCable(cable);
  sys.syscall(SYS.close, statisticsFd);
}

function startWorker(config: DataplaneConfig) {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: { config, index: 0 },
  });
  const ready = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  worker.on('message', (message: DataplaneMessage | { type: 'thread-attached' }) => {
    if (message.type === 'thread-attached') worker.postMessage('go');
    else if (message.type === 'ready') ready.resolve();
    else if (message.type === 'stopped') stopped.resolve();
    else if (message.type === 'report') print(message.value);
    else if (message.type === 'failed') fail(new Error(message.message));
  });
  const fail = (error: Error): void => {
    ready.reject(error);
    stopped.reject(error);
  };
  worker.on('error', fail);
  return { worker, ready: ready.promise, stopped: stopped.promise };
}

function print(value: unknown): void {
  const { kind, line } = value as { kind?: string; line?: string };
  if (kind === 'transcript') console.log(line);
}

/**
 * One run of `ix bench goodput`: up to LANES_MAX flows side by side, each on its own lane of the
 * box.
 *
 * - Four endpoints (conditions.ts ENDPOINTS): ours are dataplanes as `ix run` starts them, on a
 *   cable; Linux's are processes in a network namespace of their own each, on a TAP, with CUBIC and
 *   without memory of earlier flows.
 * - Everything is made for this run and gone after it. The caller is in a namespace of its own
 *   (harness/network.ts), and so is its main thread after every run.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Dataplane, launch } from '../../src/control/children/launch.ts';
import { formatAddress } from '../../src/control/link/address.ts';
import { Netlink } from '../../src/control/link/netlink.ts';
import { makeStatistics } from '../../src/control/record/statistics.ts';
import { UserError } from '../../src/errors.ts';
import { ETHERNET_MTU } from '../../src/limits.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';
import { type CableParts, closeCable, makeCable } from '../../src/nic/cable.ts';
import { openTapDevice } from '../../src/nic/privileged/tap.ts';
import { enterPrivateNetwork } from '../harness/network.ts';
import type { BoxInput, BoxPort } from './box.ts';
import {
  ENDPOINT_BASE,
  ENDPOINT_PREFIX,
  ENDPOINTS,
  endpointIndex,
  isLaneResult,
  LANE_PORT,
  type Lane,
  type LaneResult,
} from './conditions.ts';
import type { LanePlan } from './ours-endpoint.ts';

const CLONE_NEWNET = 0x40000000;
const EXTRA_MS = 20_000;
const moduleOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** The lanes' results, by lane; every receiver's time begins with its connection. */
export async function runLanes(lanes: readonly Lane[], ms: number): Promise<LaneResult[]> {
  const undo: (() => void | Promise<void>)[] = [];
  const results = new Map<number, LaneResult>();
  const done = Promise.withResolvers<void>();
  const heard = (value: unknown): void => {
    if (!isLaneResult(value)) return;
    results.set(value.lane, value);
    if (results.size === lanes.length) done.resolve();
  };
  const failed = (error: Error): void => done.reject(error);
  done.promise.catch(() => {});
  const missing = (): string =>
    lanes.flatMap((_, i) => (results.has(i) ? [] : [String(i)])).join(', ');
  const timer = setTimeout(() => {
    failed(new UserError('IX_GOODPUT', `lanes ${missing()} have not reported in time`, ''));
  }, ms + EXTRA_MS);
  undo.push(() => clearTimeout(timer));
  try {
    const ports = ENDPOINTS.map(({ stack }, i) => makePort(stack, i, undo));
    await startBox({ ports: ports.map(({ port }) => port), lanes: [...lanes] }, undo, failed);
    for (const role of ['receive', 'send'] as const) {
      await Promise.all(
        ENDPOINTS.map(async (endpoint, i) => {
          if (endpoint.role !== role) return;
          const plan = planFor(lanes, i, ms);
          if (plan.lanes.length > 0) await ports[i]!.start(plan, heard, failed);
        }),
      );
    }
    await done.promise;
    return lanes.map((_, lane) => results.get(lane)!);
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

function planFor(lanes: readonly Lane[], endpoint: number, ms: number): LanePlan {
  const { stack, role } = ENDPOINTS[endpoint]!;
  const mine = lanes.flatMap((lane, i) => {
    if ((role === 'send' ? lane.from : lane.to) !== stack) return [];
    const address = formatAddress(ENDPOINT_BASE + endpointIndex(lane.to, 'receive'));
    return [{ lane: i, port: LANE_PORT + i, address }];
  });
  return { role, ms, lanes: mine };
}

interface Port {
  port: BoxPort;
  start(
    plan: LanePlan,
    heard: (value: unknown) => void,
    failed: (error: Error) => void,
  ): Promise<void>;
}

type Undo = (() => void | Promise<void>)[];

const makePort = (stack: string, index: number, undo: Undo): Port =>
  stack === 'ours' ? makeOurs(index, undo) : makeLinux(index, undo);

function makeOurs(index: number, undo: Undo): Port {
  const cable = makeCable(4096);
  undo.push(() => closeCable(cable));
  return {
    port: { kind: 'cable', cable },
    start: async (plan, heard, failed) => {
      const statisticsFd = makeStatistics(1);
      const dataplane = launch(configFor(index, cable, plan, statisticsFd), undefined, heard);
      undo.push(() => dataplane.stop());
      closeSync(statisticsFd);
      void dataplane.ended.then(({ how, failure }) =>
        failed(new UserError('IX_GOODPUT', `our endpoint ended: ${failure ?? how}`, '')),
      );
      await started(dataplane);
    },
  };
}

async function started(dataplane: Dataplane): Promise<void> {
  await dataplane.attached;
  dataplane.go();
  await dataplane.ready;
}

const configFor = (
  index: number,
  cable: CableParts,
  plan: LanePlan,
  statisticsFd: number,
): Parameters<typeof launch>[0] => ({
  nics: [
    {
      kind: 'cable',
      ...cable,
      wakeFds: [...cable.wakeFds],
      side: 0,
      mac: [2, 0x69, 0x78, 0xaa, 0, index],
      mtu: ETHERNET_MTU,
    },
  ],
  address: ENDPOINT_BASE + index,
  prefixLength: ENDPOINT_PREFIX,
  gateway: 0,
  idle: 'sleep',
  app: {
    name: 'goodput',
    module: moduleOf('ours-endpoint.ts'),
    options: { plan: JSON.stringify(plan) },
  },
  limits: {},
  statisticsFd,
  trace: false,
});

/**
 * Moves this thread into a new namespace, and again when the endpoint's process is to inherit it.
 */
function makeLinux(index: number, undo: Undo): Port {
  enterPrivateNetwork();
  const namespace = openSync('/proc/thread-self/ns/net', 'r');
  undo.push(() => closeSync(namespace));
  // No memory of earlier flows to the same address.
  writeFileSync('/proc/sys/net/ipv4/tcp_no_metrics_save', '1');
  const name = `ixlinux${index}`;
  const fd = openTapDevice(name);
  undo.push(() => closeSync(fd));
  const netlink = new Netlink();
  const link = netlink.link(name)!;
  netlink.setUp(link.index);
  netlink.addAddress(link.index, ENDPOINT_BASE + index, ENDPOINT_PREFIX);
  netlink.close();
  return {
    port: { kind: 'tap', fd, name },
    start: async (plan, heard, failed) => {
      must(sys.syscall(SYS.setns, namespace, CLONE_NEWNET), 'setns');
      await startLinux(plan, undo, heard, failed);
    },
  };
}

/** Settles when it says that it is ready. It ends with its standard input, and so with us. */
function startLinux(
  plan: LanePlan,
  undo: Undo,
  heard: (value: unknown) => void,
  failed: (error: Error) => void,
): Promise<void> {
  const words = [moduleOf('linux-endpoint.ts'), JSON.stringify(plan)];
  const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let isStopped = false;
  undo.push(() => {
    isStopped = true;
    child.stdin.destroy();
    return ended;
  });
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => {
      const error = new UserError('IX_GOODPUT', `Linux's endpoint ended: exit code ${code}`, '');
      if (!isStopped) for (const tell of [failed, reject]) tell(error);
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'ready') resolve();
      else heard(JSON.parse(line));
    });
  });
}

/** Settles when it forwards. */
async function startBox(
  input: Omit<BoxInput, 'control'>,
  undo: Undo,
  failed: (error: Error) => void,
): Promise<void> {
  const control = new Int32Array(new SharedArrayBuffer(4));
  const workerData = { ...input, control } satisfies BoxInput;
  const worker = new Worker(moduleOf('box.ts'), { workerData });
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.once('error', failed);
  undo.push(() => {
    Atomics.store(control, 0, 1);
    return ended;
  });
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
  });
}

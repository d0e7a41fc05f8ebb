/**
 * Where the processor's time goes: kernel, stack, application.
 *
 * - The paper, section 5.5: at peak memcached throughput Linux spends about 75 % of its time in the
 *   kernel, IX less than 10 %.
 * - Ours: the server's core under saturation, from /proc/stat: user against system + interrupts.
 *   The user part of ours is divided by V8's sampling profiler: application, libix, stack, driver
 *   and loop.
 * - Differs: our packets still cross the kernel's AF_XDP and veth code, which a NIC in zero-copy
 *   mode would not need. The profiler itself costs some speed, so rates are not reported here.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findApplication } from '../../src/control/wish/applications.ts';
import { onLink } from '../harness/bench.ts';
import { type Peer, peerNamed, startPeer } from '../harness/peers.ts';
import type { Sample } from '../harness/rounds.ts';
import { startOurs } from '../harness/run.ts';
import { echo, kvGets } from './clients.ts';
import type { Context, Experiment } from './experiment.ts';
import { type Line, metricAt, present, ratioOfMetrics, sweep } from './sweep.ts';

const PROFILED = fileURLToPath(new URL('../apps/profiled.ts', import.meta.url));
const ECHO = 1;
const KV = 2;
/** A client's start, before its warm-up. */
const START_MS = 700;
const LOOK_MS = 800;
const SATURATING = { connections: 64, depth: 4 };

const shares: Experiment = {
  name: 'shares',
  title: 'Share of the server core in kernel, stack and application (section 5.5)',
  paper:
    'At peak memcached throughput Linux spends about 75 % of the time in the kernel, IX less than 10 %.',
  ours:
    "The server's core while 64 connections keep 4 requests in flight each, from /proc/stat; " +
    "what is not the kernel's of ours is divided by V8's sampling profiler.",
  differs:
    'Over a veth every frame of ours still crosses AF_XDP and veth code in the kernel, in the system call that sends. A NIC in zero-copy mode has neither.',
  run: async (context) => {
    const longer = { ...context, settings: { ...context.settings, rounds: 1, seconds: 1.5 } };
    const series = await sweep(
      [
        ours(longer),
        peers(
          'linux',
          'Linux: epoll echo, memcached',
          longer,
          peerNamed('epoll'),
          peerNamed('memcached'),
        ),
        peers('node', 'Node: net echo, net kv', longer, peerNamed('nodeNet'), peerNamed('nodeKv')),
      ],
      longer,
    );
    const kernel = (name: string, x: number) => metricAt(series, name, 'kernelShareRatio', x);
    return {
      series,
      charts: [
        {
          title: "Kernel's share of the server core",
          kind: 'bars',
          x: { label: '' },
          y: { label: '%', metric: 'kernelShareRatio', scale: 100 },
          names: { [ECHO]: 'echo', [KV]: 'kv' },
        },
      ],
      ratios: present({
        kernelShareVsLinuxEcho: ratioOfMetrics(kernel('ours', ECHO), kernel('linux', ECHO)),
        kernelShareVsLinuxKv: ratioOfMetrics(kernel('ours', KV), kernel('linux', KV)),
      }),
      notes: series
        .flatMap(({ points }) => points)
        .flatMap(({ x, metrics }) => describe(x === ECHO ? 'echo' : 'kv', metrics)),
    };
  },
};
export default shares;

function describe(name: string, metrics: Record<string, { median: number }>): string[] {
  const parts = Object.entries(metrics)
    .filter(([metric]) => /^\w+ShareRatio$/.test(metric) && metric !== 'idleShareRatio')
    .map(([metric, { median }]) => [metric.replace('ShareRatio', ''), median] as const)
    .sort((a, b) => b[1] - a[1]);
  if (parts.length <= 2) return [];
  const said = parts.map(([part, share]) => `${part} ${(share * 100).toFixed(0)} %`);
  return [`ours, ${name}: ${said.join(', ')}`];
}

interface CoreTimes {
  user: number;
  kernel: number;
  idle: number;
}

/** Ticks of a core since boot. proc(5): user nice system idle iowait irq softirq steal. */
function coreTimes(cpu: number): CoreTimes {
  const line = new RegExp(`^cpu${cpu} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'utf8'));
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0] = (
    line?.[1] ?? ''
  )
    .split(' ')
    .map(Number);
  return { user: user + nice, kernel: system + irq + softirq, idle: idle + wait };
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Shares of the server's core while `work` is under way. */
async function sharesWhile(context: Context, work: () => Promise<Sample>): Promise<Sample> {
  const { serverCpu, warmupSeconds } = context.settings;
  const done = work();
  done.catch(() => {}); // awaited below
  await sleep(START_MS + warmupSeconds * 1000);
  const before = coreTimes(serverCpu);
  await sleep(LOOK_MS);
  const after = coreTimes(serverCpu);
  await done;
  const user = after.user - before.user;
  const kernel = after.kernel - before.kernel;
  const idle = after.idle - before.idle;
  const all = user + kernel + idle;
  return {
    kernelShareRatio: kernel / all,
    userShareRatio: user / all,
    idleShareRatio: idle / all,
  };
}

const loadOf = (context: Context, x: number) => (address: string) =>
  x === ECHO ? echo(context, address, SATURATING) : kvGets(context, address, SATURATING);

function peers(name: string, title: string, context: Context, forEcho: Peer, forKv: Peer): Line {
  const { serverCpu } = context.settings;
  return {
    name,
    title,
    missing: forEcho.missing() ?? forKv.missing(),
    round: async ({ point }) => {
      for (const [x, peer] of [
        [ECHO, forEcho],
        [KV, forKv],
      ] as const) {
        await point(x, () =>
          onLink(
            'kernel',
            (address) => startPeer(peer, address, serverCpu),
            (address) => sharesWhile(context, () => loadOf(context, x)(address)),
          ),
        );
      }
    },
  };
}

interface Profile {
  kind: 'profile';
  selfUs: Record<string, number>;
}

/** Not the program's own time: idle, and native/sys.c, whose calls are the kernel's time. */
const NOT_USER = /^\((program|idle|root|native)\)$|^(syscall|kick|clock|wait|futex\w+|armWatch)$/;

/** What a reader wants to know of the areas of the source. */
const PARTS: Record<string, string> = {
  ...{ apps: 'application', libix: 'libix', tcp: 'stack', net: 'stack', wire: 'stack' },
  ...{ arena: 'stack', kernels: 'stack', counters: 'stack', nic: 'driver', dataplane: 'loop' },
  ...{ '(garbage collector)': 'collector', node: 'node' },
};

function ours(context: Context): Line {
  const { serverCpu: cpu, idle, warmupSeconds } = context.settings;
  const afterMs = String(START_MS + warmupSeconds * 1000);
  return {
    name: 'ours',
    title: 'ours: echo, kv',
    round: async ({ point }) => {
      for (const [x, app] of [
        [ECHO, 'echo'],
        [KV, 'kv'],
      ] as const) {
        await point(x, async () => {
          const profile = Promise.withResolvers<Profile>();
          const report = (value: unknown): void => {
            if ((value as Profile | null)?.kind === 'profile') profile.resolve(value as Profile);
          };
          const { module } = findApplication(app);
          const settings = { module, afterMs, forMs: String(LOOK_MS) };
          const plan = {
            app: PROFILED,
            settings,
            cpu,
            idle,
            domain: 'inline',
            memory: 256,
          } as const;
          return await onLink(
            'ours',
            (address) => startOurs({ ...plan, address, unconfined: true, report }),
            async (address) => {
              const sample = await sharesWhile(context, () => loadOf(context, x)(address));
              return { ...sample, ...divide(sample, (await within(profile.promise)).selfUs) };
            },
          );
        });
      }
    },
  };
}

const within = <T>(promise: Promise<T>): Promise<T> =>
  Promise.race([
    promise,
    sleep(5000).then(() => Promise.reject(new Error('the profiler said nothing'))),
  ]);

/**
 * The user's share, in proportion to the profile; what is native is the system calls, already the
 * kernel's.
 */
function divide(sample: Sample, selfUs: Record<string, number>): Sample {
  const sums: Record<string, number> = {};
  for (const [area, us] of Object.entries(selfUs)) {
    if (NOT_USER.test(area)) continue;
    const part = PARTS[area] ?? 'other';
    sums[part] = (sums[part] ?? 0) + us;
  }
  const all = Object.values(sums).reduce((sum, us) => sum + us, 0);
  return Object.fromEntries(
    Object.entries(sums).map(([part, us]) => [
      `${part}ShareRatio`,
      (us / all) * sample['userShareRatio']!,
    ]),
  );
}

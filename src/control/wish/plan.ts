/**
 * What was asked for, as whoever carries it out needs it: the options of the command line and what
 * the application says of itself become one `Plan`, here and nowhere else.
 *
 * - One part for each of those who do something, named after what it is for. Below this file nobody
 *   knows an option: each is given its part, or less.
 * - Complete: defaults are filled in, what follows from several options is worked out.
 * - Checked: what cannot be had together is an `OptionError`, before anything is made.
 * - Plain data, the same for the same wish. So who asks for an equal plan may have what runs
 *   (control/service/adopt.ts), and nothing that differs from run to run is in it.
 *
 * Called by the commands (cli/serve.ts), the load generators and the benchmarks.
 */
import { availableParallelism } from 'node:os';
import type { ApplicationConfig, DataplaneConfig } from '../../child/config.ts';
import { type ConfineOptions, refuseOwn } from '../../confine/plan.ts';
import { OptionError } from '../../errors.ts';
import { MEMORY, type MemoryWant, type Wants } from '../../libix/wants.ts';
import { formatIpv6 } from '../../wire/ipv6-text.ts';
import { formatAddress } from '../link/address.ts';
import { ipv6Beside } from '../link/address6.ts';
import type { NetworkPlan } from '../link/links.ts';
import { type AttachMode, attachModeFor, type XdpChoice } from '../link/xdp.ts';
import { stateDirectory } from '../record/instances.ts';
import type { Application } from './applications.ts';
import type { RunOptions } from './options.ts';

/** Its module, and what it is told. */
export type ApplicationPart = DataplaneConfig['app'];

/** Its link and addresses, and how frames come from there. */
export interface NetworkPart extends NetworkPlan {
  readonly xdp: XdpChoice;
  readonly attach: AttachMode;
}

/** Its stack and its threads, on whatever network. */
export type DataplanePart = Pick<
  DataplaneConfig,
  | 'idle'
  | 'cpu'
  | 'batchMax'
  | 'stallUs'
  | 'tcp'
  | 'egress'
  | 'limits'
  | 'placement'
  | 'onCrash'
  | 'impair'
  | 'trace'
>;

/** Domain process: the application's own process. */
export interface ProcessPart extends Pick<ApplicationConfig, 'idle' | 'placement'> {
  /** Core of its first thread; absent: not pinned. */
  readonly cpu?: number;
}

/** How long it is waited for, and what is not survived. */
export interface LifePart {
  /** Dataplane and control plane end with each other. */
  readonly isTied: boolean;
  /** How long dataplane and application may take to start. */
  readonly startMs: number;
  /** An application that has not returned from a batch for so long is restarted; 0: never. */
  readonly hangSeconds: number;
}

export interface OutputPart {
  /** Every frame goes to this file. */
  readonly capture?: string;
}

export interface Plan {
  readonly application: ApplicationPart;
  readonly network: NetworkPart;
  readonly dataplane: DataplanePart;
  /** Absent: domain inline. */
  readonly process?: ProcessPart;
  /** Absent: unconfined. */
  readonly confinement?: ConfineOptions;
  readonly life: LifePart;
  readonly output: OutputPart;
}

/** `nic`: veth, tap or an interface; cable has no network and no processes, the rest holds. */
export function planOf(app: Application, options: RunOptions, nic: string): Plan {
  checkThreads(app, options.threads);
  const confinement = options.unconfined ? undefined : confinementOf(app, options, nic);
  const isProcess = options.domain === 'process';
  const { capture } = options;
  const network = networkOf(options, nic);
  return {
    application: applicationOf(app, options, network),
    network,
    dataplane: dataplaneOf(app.wants, options),
    ...(isProcess && { process: processOf(options) }),
    ...(confinement && { confinement }),
    life: lifeOf(options),
    output: capture === undefined ? {} : { capture },
  };
}

function checkThreads({ name, wants }: Application, threads: number): void {
  if (threads === 1 || wants.oneThread === undefined) return;
  throw new OptionError(wants.oneThread, `use --threads 1, or an address for each ${name}`);
}

/** Every application is told `-p` as its option `port`, and `-m` as `m`. */
function applicationOf(
  app: Application,
  { memory, port, env }: RunOptions,
  { address, prefixLength, ip6 }: NetworkPart,
): ApplicationPart {
  const options: Record<string, string> = { ...app.options };
  if (port !== undefined) options['port'] = `${port}`;
  if (memory !== undefined) options['m'] = `${memory}`;
  const part = { name: app.name, module: app.module, options };
  if (app.args === undefined) return part;
  const addresses = [{ address: formatAddress(address), prefixLength }];
  if (ip6) addresses.push({ ...ip6, address: formatIpv6(ip6.address) });
  return { ...part, program: { args: [...app.args], env, addresses } };
}

/**
 * An interface that is there already has a network of its own: there IPv6 is only what the user
 * asks for.
 */
function networkOf({ ip, slaac, threads, xdp, ...options }: RunOptions, nic: string): NetworkPart {
  const isOurs = nic === 'veth' || nic === 'tap';
  const asked = options.ip6 ?? (isOurs ? ipv6Beside(ip) : undefined);
  const ip6 = asked === 'none' ? undefined : asked;
  if (slaac && (!ip6 || !isOurs)) {
    const problem = '--slaac needs IPv6 on a link of our own';
    throw new OptionError(problem, 'use --nic veth or tap, or --ip6');
  }
  const { outbound } = options;
  if (outbound !== 'none' && !isOurs) {
    const problem = `--outbound ${outbound} is for a link of our own`;
    throw new OptionError(
      problem,
      'use --nic veth or tap; an interface has the ways of its network',
    );
  }
  return {
    ...{ ...ip, nic, queues: threads, slaac },
    ...(ip6 && { ip6 }),
    ...(outbound !== 'none' && { outbound }),
    xdp,
    attach: attachModeFor(isOurs, xdp),
  };
}

function dataplaneOf(wants: Wants, options: RunOptions): DataplanePart {
  const { idle, cpu, batch, memory, flows, quota, domain, placement, onCrash } = options;
  const { trace, impair, stalls } = options;
  const egress = options.connect ?? (wants.connect === 'none' ? [] : 'any');
  return {
    idle,
    ...(cpu !== undefined && { cpu }),
    ...(batch !== undefined && { batchMax: batch }),
    ...(stalls !== undefined && { stallUs: stalls }),
    tcp: tcpOf(wants, options),
    ...(egress !== 'any' && { egress: egress.map((range) => ({ ...range })) }),
    limits: {
      ...(memory !== undefined && { applicationMiB: applicationMiB(memory, wants.memory) }),
      ...(flows !== undefined && { flows }),
      ...(quota && { quotas: quota }),
    },
    ...(domain === 'process' && { placement, onCrash }),
    ...(impair && { impair: { ...impair } }),
    trace,
  };
}

function tcpOf(wants: Wants, options: RunOptions): NonNullable<DataplaneConfig['tcp']> {
  const { congestion, ecn, keepalive = wants.keepalive ?? 0 } = options;
  return {
    ...(congestion && { congestion }),
    ...(ecn && { ecn }),
    ...(keepalive > 0 && { keepaliveMs: keepalive * 1000 }),
  };
}

/** Application memory for `-m`: what the application wants, and libix's buffers, 3/16 of all. */
const applicationMiB = (memory: number, { perMiB, fixedMiB }: MemoryWant = MEMORY): number =>
  Math.ceil((memory * perMiB + fixedMiB) * (16 / 13));

function processOf({ idle, placement, cpu, appCpu }: RunOptions): ProcessPart {
  const isBeside = placement !== 'split' || cpu === undefined;
  const own = isBeside ? cpu : (appCpu ?? (cpu + 1) % availableParallelism());
  return { idle, placement, ...(own !== undefined && { cpu: own }) };
}

function confinementOf(app: Application, options: RunOptions, nic: string): ConfineOptions {
  const { domain, allowRead: read, allowWrite: write } = options;
  refuseOwn('--allow-write', write, stateDirectory());
  const given = { read, write };
  return { domain, module: app.module, given, locksMemory: nic !== 'tap' };
}

const lifeOf = ({ tied, startTimeout, hangTimeout }: RunOptions): LifePart => ({
  isTied: tied,
  startMs: startTimeout * 1000,
  hangSeconds: hangTimeout,
});

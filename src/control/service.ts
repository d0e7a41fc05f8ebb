/**
 * One running instance: its network, its dataplane and its record, brought up in order and taken
 * down in reverse.
 *
 * - `startService` returns when the application serves. If it throws, nothing that was made is
 *   left.
 * - `takeDown` is synchronous and may be called at any time, also from an exit handler: links, XDP
 *   program, record.
 * - The privileged steps are all here: the dataplane is handed descriptors.
 * - An AF_XDP socket may enter the XDP program's map only when the dataplane has given it its
 *   rings, so frames flow from `ready` on; then our own copy of the socket is closed, since an open
 *   one keeps the queue busy.
 *
 * Called by serve.ts.
 */
import { closeSync, openSync } from 'node:fs';
import { COUNTER_NAMES } from '../counters.ts';
import type { DataplaneConfig, NicConfig, SharedDescriptors } from '../dataplane/config.ts';
import { type Attachment, attachXdp, type XdpMode } from '../nic/attach.ts';
import { setOffloads } from '../nic/interface.ts';
import { formatIpv6 } from '../wire/ipv6-text.ts';
import { formatAddress } from './address.ts';
import { ipv6Beside, ipv6Matches } from './address6.ts';
import {
  type ApplicationProcess,
  launchApplication,
  type Supervised,
  superviseApplication,
} from './application-process.ts';
import { ApplicationWatch } from './application-watch.ts';
import type { Application } from './applications.ts';
import { type Confinement, type Confinements, planConfinement } from './confine-plan.ts';
import { OptionError } from './errors.ts';
import { describe as explain, type Incident } from './incidents.ts';
import { type Instance, record } from './instances.ts';
import { type Attached, type Dataplane, type End, launch, type Ready } from './launch.ts';
import { makeNetwork, type Network, type NetworkPlan } from './network.ts';
import type { RunOptions } from './options.ts';
import { within } from './patience.ts';
import { networkNamespace, processName } from './process.ts';
import { closeShared, makeShared, sealShared } from './shared.ts';
import { makeStatistics } from './statistics.ts';

/**
 * Application memory for `-m`: the values, 1/32 of that for their index, something for constants; and
 * the buffers of libix, which take up to 3/16 of all of it.
 */
const applicationMiB = (memory: number): number => Math.ceil(((memory * 33) / 32 + 16) * (16 / 13));

export interface Service extends Ready {
  address: string;
  /** undefined: no IPv6. */
  address6: string | undefined;
  dataplane: Dataplane;
  /** Domain process only. */
  application: Supervised | undefined;
  /** Settles when it has ended although nobody asked it to: the dataplane died, or the application stopped itself. */
  ended: Promise<End>;
  /** Stops application and dataplane in order; `takeDown` comes after it. */
  stop(): Promise<void>;
  takeDown(): void;
}

export interface LaunchOptions {
  /** The program to start as the dataplane, if not src/dataplane/main.ts. */
  main?: string | undefined;
  report?: (value: unknown) => void;
  /** What the application did that had to be dealt with; default: one line each on standard error. */
  incident?: (incident: Incident) => void;
  /** How long dataplane and application may take to start; default: START_MS. */
  startMs?: number;
}

const printIncident = (incident: Incident): void => console.error(`ix: ${explain(incident)}`);

export async function startService(
  app: Application,
  options: RunOptions,
  nic: string,
  { main, report, incident = printIncident, startMs }: LaunchOptions = {},
): Promise<Service> {
  const undo: (() => void)[] = [];
  const takeDown = () => {
    const step = undo.pop();
    if (!step) return;
    try {
      step();
    } finally {
      takeDown(); // a step that fails must not keep the others
    }
  };
  process.on('exit', takeDown);
  undo.push(() => process.off('exit', takeDown));
  try {
    const statisticsFd = makeStatistics(options.threads);
    undo.push(() => closeSync(statisticsFd));
    const instance = describe(app, options, nic, statisticsFd);
    const captureFd = options.capture === undefined ? undefined : openCapture(options.capture);
    const network = makeNetwork(planOf(options, nic), instance);
    if (network.ipv6) instance.address6 = formatIpv6(network.ipv6.address);
    undo.push(network.remove);
    const drivers = openDrivers(network, options, undo);
    const shared = options.domain === 'process' ? openShared(options.threads, undo) : undefined;
    const config: DataplaneConfig = {
      ...baseConfig(app, options),
      ...(shared === undefined ? {} : { shared }),
      nics: drivers.configs,
      gateway: network.gateway,
      ...(network.ipv6 && { ipv6: network.ipv6 }),
      statisticsFd,
      ...(captureFd === undefined ? {} : { captureFd }),
    };
    const confinements = options.unconfined ? undefined : confinementsFor(app, options, config);
    const dataplane = launch(config, main, report, confinements?.dataplane);
    undo.push(() => dataplane.kill());
    if (captureFd !== undefined) closeSync(captureFd);
    noteDataplane(instance, dataplane.pid);
    const attached = await within(dataplane.attached, 'the dataplane', 'attached', startMs);
    drivers.enable();
    dataplane.go();
    const start = applicationStarter(config, attached, confinements?.application, report);
    const supervise = { name: app.name, dataplane, start, incident, ...(startMs && { startMs }) };
    const application = shared && (await superviseApplication(supervise));
    if (application) undo.push(() => application.kill());
    const isReady = () => within(dataplane.ready, `application ${app.name}`, 'ready', startMs);
    const ports = application ? application.ports : (await isReady()).ports;
    const watch = watchApplication(app.name, options, statisticsFd, incident, () => {
      return application ?? dataplane;
    });
    undo.push(() => watch.stop());
    instance.ports = ports;
    record(instance);
    const { address, address6 } = instance;
    return {
      ...{ ports, nic: attached.nic, address, address6, dataplane, application, takeDown },
      ended: Promise.race([dataplane.ended, ...(application ? [application.stopped] : [])]),
      stop: async () => {
        await application?.stop();
        await dataplane.stop();
      },
    };
  } catch (error) {
    takeDown();
    throw error;
  }
}

function confinementsFor(
  app: Application,
  options: RunOptions,
  config: DataplaneConfig,
): Confinements {
  return planConfinement({
    domain: options.domain,
    module: app.module,
    given: { read: options.allowRead, write: options.allowWrite },
    locksMemory: config.nics.some((nic) => nic.kind === 'afxdp'),
  });
}

function openShared(threads: number, undo: (() => void)[]): SharedDescriptors[] {
  const shared = Array.from({ length: threads }, makeShared);
  undo.push(() => shared.forEach(closeShared));
  return shared;
}

/** Domain process: seals what the dataplane has mapped; what it returns starts the application on it. */
function applicationStarter(
  config: DataplaneConfig,
  attached: Attached,
  confinement: Confinement | undefined,
  report: (value: unknown) => void = () => {},
): () => ApplicationProcess {
  const { shared = [], cpu } = config;
  shared.forEach(sealShared);
  const threads = attached.layouts.map((layout, index) => ({
    layout,
    shared: shared[index]!,
    flows: attached.flows,
    ...(cpu === undefined ? {} : { cpu: cpu + index }),
  }));
  return () => launchApplication({ app: config.app, threads }, report, confinement);
}

/** Names the application when it hangs or runs into a quota; restarts one that hangs for too long. */
function watchApplication(
  application: string,
  options: RunOptions,
  statisticsFd: number,
  incident: (incident: Incident) => void,
  who: () => Supervised | Dataplane,
): ApplicationWatch {
  const { threads, hangTimeout } = options;
  const watch = new ApplicationWatch({
    ...{ statisticsFd, threads, hangMs: hangTimeout * 1000 },
    hanging: (ms) => {
      const limit = hangTimeout > 0 ? { restartAfterSeconds: hangTimeout } : {};
      const { pid } = who();
      incident({ event: 'hanging', application, pid, seconds: ms / 1000, ...limit });
    },
    hung: (ms) => {
      const hung = who();
      if ('restartHung' in hung) hung.restartHung(ms);
    },
    quota: (quota, refused) =>
      incident({ event: 'quota', application, pid: who().pid, quota, refused }),
  });
  watch.start();
  return watch;
}

/** An interface that is there already has a network of its own: there IPv6 is only what the user asks for. */
function planOf(options: RunOptions, nic: string): NetworkPlan {
  const isPrivate = nic === 'veth' || nic === 'tap';
  const asked = options.ip6 ?? (isPrivate ? ipv6Beside(options.ip) : undefined);
  const ip6 = asked === 'none' ? undefined : asked;
  const { slaac } = options;
  if (slaac && (!ip6 || !isPrivate)) {
    throw new OptionError(
      '--slaac needs IPv6 on a link of our own',
      'use --nic veth or tap, or --ip6',
    );
  }
  return { ...options.ip, nic, queues: options.threads, slaac, ...(ip6 && { ip6 }) };
}

function describe(
  app: Application,
  options: RunOptions,
  nic: string,
  statisticsFd: number,
): Instance {
  const control = processName(process.pid);
  if (!control) throw new Error('/proc is not mounted');
  return {
    control,
    namespace: networkNamespace(),
    address: formatAddress(options.ip.address),
    app: app.name,
    ports: [],
    nic,
    links: [],
    statisticsFd,
    counters: [...COUNTER_NAMES],
    threads: options.threads,
  };
}

function noteDataplane(instance: Instance, pid: number): void {
  const dataplane = processName(pid);
  if (dataplane) instance.dataplane = dataplane;
  record(instance);
}

function openCapture(path: string): number {
  try {
    return openSync(path, 'w');
  } catch (error) {
    throw new OptionError(
      `--capture ${path}: ${(error as NodeJS.ErrnoException).code}`,
      'give the path of a file that can be written',
    );
  }
}

interface Drivers {
  configs: NicConfig[];
  /** Lets frames flow to sockets that are ready. */
  enable(): void;
}

function openDrivers(network: Network, options: RunOptions, undo: (() => void)[]): Drivers {
  const { ifname, ifindex, mac, mtu } = network;
  // Frames of the host must come with whole checksums and no longer than the MTU.
  if (network.hostName !== undefined) setOffloads(network.hostName, false);
  if (network.fd !== undefined) {
    return { configs: [{ kind: 'tap', ifname, fd: network.fd, mac, mtu }], enable: () => {} };
  }
  const mode = xdpMode(network, options);
  const attachment = attachXdp({
    ...{ ifname, ipv4: [options.ip.address], ...(mode ? { mode } : {}) },
    ...(network.ipv6 && ipv6Matches(network.ipv6, network.hostName !== undefined)),
  });
  undo.push(() => attachment.detach());
  const sockets = openSockets(attachment, options.threads, undo);
  return {
    configs: sockets.map((socketFd, queue) => {
      return { kind: 'afxdp', ifname, ifindex, queue, socketFd, mode: attachment.mode, mac, mtu };
    }),
    enable: () => {
      sockets.forEach((socket, queue) => {
        attachment.enable(queue, socket);
      });
      for (const socket of sockets.splice(0)) closeSync(socket);
    },
  };
}

/**
 * undefined: native, or generic where the driver has no native mode. Native mode on a veth copies every frame into a page
 * of the driver's first: between two AF_XDP ends generic mode is faster (64 connections 453,000 against 353,000 messages
 * a second, one 6.2 against 8.8 us a round trip). It needs a peer without offloads, as ours is.
 */
function xdpMode(network: Network, { xdp }: RunOptions): XdpMode | undefined {
  if (xdp !== 'auto') return xdp;
  return network.hostName === undefined ? undefined : 'generic';
}

function openSockets(attachment: Attachment, count: number, undo: (() => void)[]): number[] {
  const sockets: number[] = [];
  undo.push(() => {
    for (const socket of sockets.splice(0)) closeSync(socket);
  });
  for (let i = 0; i < count; i++) sockets.push(attachment.openSocket());
  return sockets;
}

function baseConfig(app: Application, options: RunOptions) {
  const { ip, idle, cpu, memory, port, batch, flows, trace, impair, quota } = options;
  const given: Record<string, string> = { ...app.options };
  if (port !== undefined) given['port'] = `${port}`;
  if (memory !== undefined) given['m'] = `${memory}`;
  return {
    ...ip,
    idle,
    ...(cpu === undefined ? {} : { cpu }),
    ...(batch === undefined ? {} : { batchMax: batch }),
    trace,
    ...(impair === undefined ? {} : { impair: { ...impair } }),
    app: { name: app.name, module: app.module, options: given },
    limits: {
      ...(memory === undefined ? {} : { applicationMiB: applicationMiB(memory) }),
      ...(flows === undefined ? {} : { flows }),
      ...(quota === undefined ? {} : { quotas: quota }),
    },
  } satisfies Partial<DataplaneConfig>;
}

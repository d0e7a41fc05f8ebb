/**
 * One life of a service: a dataplane and, in domain process, its application, on what the service
 * holds (holdings.ts).
 *
 * - `startLife` returns when the application serves. Whatever it made that must not stay is in
 *   `undo`, also when it throws, and at any time before.
 * - The privileged steps are all here: the dataplane is handed descriptors.
 * - An AF_XDP socket may enter the XDP program's map only when the dataplane has given it its
 *   rings, so frames flow from `go` on; then our own copy of the socket is closed, since an open
 *   one keeps the queue busy.
 * - `adoptLife` goes on with a life that another control plane began. Its application may have
 *   ended meanwhile: it is started again.
 *
 * Called by service.ts.
 */
import { closeSync } from 'node:fs';
import type { DataplaneConfig, NicConfig, SharedDescriptors } from '../../child/config.ts';
import { within } from '../../child/patience.ts';
import type { Confinements } from '../../confine/plan.ts';
import { isAlive } from '../../native/process.ts';
import { readDriver } from '../../nic/privileged/interface.ts';
import { openOverhearing } from '../../nic/privileged/packet-socket.ts';
import {
  type ApplicationProcess,
  adoptApplication,
  launchApplication,
  type Supervised,
  superviseApplication,
} from '../children/application-process.ts';
import { ApplicationWatch } from '../children/application-watch.ts';
import type { CaptureFiles } from '../children/capture-file.ts';
import { Inherited } from '../children/child.ts';
import type { Incident } from '../children/incidents.ts';
import {
  type Attached,
  adoptDataplane,
  type Dataplane,
  type End,
  launch,
  type Ready,
} from '../children/launch.ts';
import { closeShared, forApplication, makeShared, sealShared } from '../children/shared.ts';
import { broadcastOf } from '../link/address.ts';
import { handsOverPartialChecksums } from '../link/advice.ts';
import { namesOfHost } from '../link/names.ts';
import { copyingOf, xdpStateOf } from '../link/xdp.ts';
import { record, recordOrSay, usersOf } from '../record/instances.ts';
import type { ApplicationPart, NetworkPart, Plan } from '../wish/plan.ts';
import {
  type Adopted,
  estateOf,
  type Holdings,
  keepOpen,
  noteChild,
  noteUsers,
} from './holdings.ts';
import type { Undo } from './undo.ts';

/** What all lives of a service have in common. */
export interface LifePlan extends Omit<Plan, 'confinement' | 'output'> {
  readonly confinements: Confinements | undefined;
  /** What an adopter must ask for; absent: the dataplane dies with us. */
  readonly wish: string | undefined;
  /** The program to start as the dataplane, if not src/dataplane/main.ts. */
  readonly main?: string | undefined;
  readonly captures: CaptureFiles | undefined;
  readonly report: (value: unknown) => void;
  readonly incident: (incident: Incident) => void;
}

export interface Life extends Ready {
  readonly dataplane: Dataplane;
  /** Domain process only. */
  readonly application: Supervised | undefined;
  /**
   * It has ended although nobody asked it to: the dataplane died, or the application stopped
   * itself.
   */
  readonly ended: Promise<End>;
  /** Application, then dataplane, in order. */
  stop(): Promise<void>;
}

/** `number`: 0 for the first life of a service. */
export async function startLife(
  holdings: Holdings,
  plan: LifePlan,
  undo: Undo,
  number: number,
): Promise<Life> {
  const { confinements, wish, main, report } = plan;
  const app = withNames(plan.application);
  const { startMs } = plan.life;
  const { network, instance, statisticsFd, attachment } = holdings;
  const captureFd = plan.captures?.open(number);
  if (captureFd !== undefined) undo.push(() => closeSync(captureFd));
  const drivers = openDrivers(holdings, plan.network, undo);
  const shared = plan.process && openShared(plan.network.queues, undo);
  const { address, prefixLength } = plan.network;
  const config: DataplaneConfig = {
    ...plan.dataplane,
    app,
    ...{ address, prefixLength },
    ...(shared && { shared }),
    ...(wish === undefined ? {} : { lasting: true }),
    startMs: Math.ceil(startMs),
    nics: drivers.configs,
    gateway: network.gateway,
    ...(holdings.flows && { flowGroups: holdings.flows.table }),
    ...(network.ipv6 && { ipv6: network.ipv6 }),
    ...(handsOverPartialChecksums(network.linkKind) && { partialChecksums: true }),
    statisticsFd,
    ...(captureFd === undefined ? {} : { captureFd }),
  };
  const inherited = new Inherited();
  if (wish !== undefined) keepOpen(holdings, inherited);
  noteUsers(instance, childUsers(confinements));
  const dataplane = launch(config, main, report, confinements?.dataplane, inherited);
  undo.push(() => dataplane.kill());
  noteChild(instance, 'dataplane', dataplane);
  const sealed = dataplane.attached.then((it) => {
    shared?.forEach(sealShared);
    return it;
  });
  const starting =
    shared && startApplication({ holdings, plan, undo, dataplane, attached: sealed, shared });
  starting?.catch(() => {}); // awaited below, or the dataplane's failure comes first
  const attached = await within(sealed, 'the dataplane', 'attached', startMs);
  if (attachment) instance.xdp = xdpStateOf(attachment, attached.copied ?? []);
  if (attached.tables) instance.tables = attached.tables;
  drivers.enable();
  dataplane.go();
  // Domain process: `ready` only fails, when the dataplane ends before the application listens.
  const isReady = dataplane.ready.then(({ ports }) => ports);
  const application = starting && (await Promise.race([starting, isReady as Promise<never>]));
  instance.ports =
    application?.ports ?? (await within(isReady, `application ${app.name}`, 'ready', startMs));
  if (wish !== undefined) instance.estate = estateOf(holdings, wish, inherited, shared, attached);
  noteChild(instance, 'dataplane', dataplane); // by now it has said how it is confined
  // Nobody could find or adopt what has no record; what had one goes on serving (a full disk).
  if (number === 0) record(instance);
  else recordOrSay(instance);
  watchApplication(holdings, plan, undo, () => application ?? dataplane);
  return lifeOf(instance.ports, attached.nic, dataplane, application);
}

export async function adoptLife(holdings: Adopted, plan: LifePlan, undo: Undo): Promise<Life> {
  const { instance, estate, shared } = holdings;
  const { ports } = instance;
  const { layouts, flows, driver } = estate;
  const attached: Attached = { type: 'attached', layouts, flows, nic: driver };
  const ready: Ready = { ports, nic: driver };
  const users = usersOf(instance);
  const dataplane = adoptDataplane({ ...instance.dataplane!, users }, attached, ready, plan.report);
  noteUsers(instance, childUsers(plan.confinements));
  undo.push(() => dataplane.kill());
  const application =
    shared.length > 0
      ? await startApplication({ holdings, plan, undo, dataplane, attached, shared })
      : undefined;
  watchApplication(holdings, plan, undo, () => application ?? dataplane);
  return lifeOf(ports, driver, dataplane, application);
}

/** A Node program is told how names are looked up here, as it is now. */
const withNames = (app: ApplicationPart): ApplicationPart =>
  app.program ? { ...app, program: { ...app.program, names: namesOfHost() } } : app;

function lifeOf(
  ports: number[],
  nic: string,
  dataplane: Dataplane,
  application: Supervised | undefined,
): Life {
  // Whoever looks after the application has failed: it goes the way of a dataplane that dies.
  const givenUp = (error: unknown): Promise<End> => {
    dataplane.kill();
    return dataplane.ended.then((end) => ({ failure: `${error}`, ...end }));
  };
  return {
    ...{ ports, nic, dataplane, application },
    ended: Promise.race([
      dataplane.ended,
      ...(application ? [application.stopped.catch(givenUp)] : []),
    ]),
    stop: async () => {
      await application?.stop();
      await dataplane.stop();
    },
  };
}

const childUsers = (confinements: Confinements | undefined) => [
  confinements?.dataplane.user?.uid,
  confinements?.application?.user?.uid,
];

interface ApplicationParts {
  holdings: Holdings;
  plan: LifePlan;
  undo: Undo;
  dataplane: Dataplane;
  /** When everything shared is mapped and sealed. */
  attached: Attached | Promise<Attached>;
  shared: readonly SharedDescriptors[];
}

/** Domain process: the application's process, started at once; or the one that is there already. */
async function startApplication(parts: ApplicationParts): Promise<Supervised> {
  const { holdings, plan, undo, dataplane, attached, shared } = parts;
  const { confinements, wish, report } = plan;
  const app = withNames(plan.application);
  const { startMs } = plan.life;
  const { instance } = holdings;
  const lasting = wish === undefined ? {} : { lasting: true };
  const theirs = shared.map(forApplication);
  const config = { ...plan.process, app, ...lasting, shared: theirs, startMs };
  let there = instance.application;
  let current: ApplicationProcess | undefined;
  undo.push(() => current?.kill());
  const start = (): ApplicationProcess => {
    const found = there && isAlive(there) ? there : undefined;
    there = undefined;
    const process = found
      ? adoptApplication({ ...found, users: usersOf(instance) }, instance.ports, report)
      : launchApplication(config, attached, report, confinements?.application);
    current = process;
    noteChild(instance, 'application', process);
    void process.ready.then(() => noteChild(instance, 'application', process)).catch(() => {});
    return process;
  };
  if (there && !isAlive(there)) await dataplane.dropApplication();
  const { incident } = plan;
  const supervise = { name: app.name, dataplane, start, incident, startMs };
  const application = await superviseApplication(supervise);
  undo.push(() => application.kill());
  return application;
}

/**
 * Names the application when it hangs or runs into a quota; restarts one that hangs for too long.
 */
function watchApplication(
  { statisticsFd }: Holdings,
  { application: { name: application }, network, life, incident }: LifePlan,
  undo: Undo,
  who: () => Supervised | Dataplane,
): void {
  const { hangSeconds } = life;
  const watch = new ApplicationWatch({
    ...{ statisticsFd, threads: network.queues, hangMs: hangSeconds * 1000 },
    hanging: (ms) => {
      const limit = hangSeconds > 0 ? { restartAfterSeconds: hangSeconds } : {};
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
  undo.push(() => watch.stop());
}

function openShared(threads: number, undo: Undo): SharedDescriptors[] {
  const shared = Array.from({ length: threads }, makeShared);
  undo.push(() => shared.forEach(closeShared));
  return shared;
}

interface Drivers {
  configs: NicConfig[];
  /** Lets frames flow to sockets that are ready. */
  enable(): void;
}

function openDrivers({ network, attachment }: Holdings, plan: NetworkPart, undo: Undo): Drivers {
  const { ifname, ifindex, mac, mtu } = network;
  if (network.fds !== undefined) {
    const configs = network.fds.map((fd): NicConfig => ({ kind: 'tap', ifname, fd, mac, mtu }));
    return { configs, enable: () => {} };
  }
  if (!attachment) throw new Error('a link has an XDP program');
  const { queues } = plan;
  const sockets = openSockets(queues, undo, () => attachment.openSocket());
  const isShared = network.hostName === undefined;
  const overheard = openSockets(isShared ? queues : 0, undo, () =>
    openOverhearing(ifindex, broadcastOf(plan), network.ipv6 !== undefined),
  );
  const { mode } = attachment;
  const { wish: copy, why: copyWhy } = copyingOf(mode, plan.xdp, readDriver(ifname));
  const copying = { mode, copy, copyWhy };
  return {
    configs: sockets.map((socketFd, queue) => {
      const overheardFd = overheard[queue];
      const all = { ifname, ifindex, queue, socketFd, ...copying, mac, mtu };
      return { kind: 'afxdp', ...all, ...(overheardFd !== undefined && { overheardFd }) };
    }),
    enable: () => {
      sockets.forEach((socket, queue) => {
        attachment.enable(queue, socket);
      });
      for (const socket of [...sockets.splice(0), ...overheard.splice(0)]) closeSync(socket);
    },
  };
}

function openSockets(count: number, undo: Undo, open: () => number): number[] {
  const sockets: number[] = [];
  undo.push(() => {
    for (const socket of sockets.splice(0)) closeSync(socket);
  });
  for (let i = 0; i < count; i++) sockets.push(open());
  return sockets;
}

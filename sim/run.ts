/**
 * One run: builds what the scenario says, moves virtual time from event to event, and checks.
 *
 * - Checked at every step by others: the wire (observer.ts), the applications (endpoint.ts), the
 *   stack's own invariants (VERIFY). Here: progress while a run goes on, outcomes and pools at its
 *   end (verdict.ts).
 * - A Simulator is used for many runs, one after the other: memory is made once.
 */
import { makePattern } from './content.ts';
import { Datagrams } from './datagrams.ts';
import { Endpoint } from './endpoint.ts';
import { FrameLog } from './frame-log.ts';
import { heldDropped } from './home.ts';
import { type Application, Host, type HostPlan } from './host.ts';
import { IxApplication } from './ix-application.ts';
import { Memories } from './memories.ts';
import { NETWORK_ARENA_BYTES, Network } from './network.ts';
import { Observer } from './observer.ts';
import type { Scenario } from './plan.ts';
import { Random } from './random.ts';
import { RawApplication } from './raw-application.ts';
import { makeScenario } from './scenario.ts';
import { Schedule } from './schedule.ts';
import { checkEnd, checkOutcomes, watch } from './verdict.ts';
import { Violation } from './violation.ts';
import { World } from './world.ts';

const SECOND = 1_000_000;
const WATCH_US = 10 * SECOND;
const WATCH_PERFECT_US = SECOND / 2;
/** While a perfect network is watched closely. */
const PERFECT_US = 120 * SECOND;
/** After the last endpoint has died: TIME-WAIT, orphans and half-open flows end within this. */
const DRAIN_US = 900 * SECOND;
/** The longest that an application's own timer may still run. */
const TIMERS_US = 4000 * SECOND;
/** From a reboot until its clients connect again: nothing of before is under way any more. */
const RECONNECT_US = 8 * SECOND;
/** A scoreboard with so many runs never has to leave a SACK block for later. */
const RUNS_ENOUGH = 1024;
/** No scenario takes longer. */
const END_US = 12 * 3600 * SECOND;

export interface RunResult {
  seed: number;
  /** Undefined: everything held. */
  error?: unknown;
  virtualUs: number;
  frames: number;
  turns: number;
  bytes: number;
  hash: number;
  /** Of a failed run. */
  lastFrames: string[];
  flows: string[];
}

/** Everything there is in one run. */
export interface Run {
  readonly scenario: Scenario;
  readonly schedule: Schedule;
  readonly network: Network;
  readonly observer: Observer;
  readonly world: World;
  readonly hosts: Host[];
  readonly datagrams: readonly Datagrams[];
}

export class Simulator {
  readonly #pattern = makePattern();
  readonly #memories = new Memories();
  readonly #log = new FrameLog();

  /** Runs the scenario of a seed, or the one given. */
  run(seed: number, options: { pcap?: string; scenario?: Scenario } = {}): RunResult {
    const scenario = options.scenario ?? makeScenario(seed);
    if (options.pcap) this.#log.capture(options.pcap);
    const schedule = new Schedule();
    let run: Run | undefined;
    let error: unknown;
    try {
      run = this.#build(scenario, schedule);
      this.#simulate(run);
    } catch (caught) {
      error = caught;
    }
    const result: RunResult = {
      seed,
      virtualUs: schedule.now,
      frames: run?.network.sent ?? 0,
      turns: run?.hosts.reduce((sum, host) => sum + host.turns, 0) ?? 0,
      bytes: run?.observer.bytes ?? 0,
      hash: run?.network.hash ?? 0,
      lastFrames: error ? this.#log.last() : [],
      flows: error && run ? run.world.endpoints.map((e) => e.describe()) : [],
      ...(error === undefined ? {} : { error }),
    };
    this.#log.close();
    this.#memories.giveBack();
    return result;
  }

  #build(scenario: Scenario, schedule: Schedule): Run {
    const arena = this.#memories.take(NETWORK_ARENA_BYTES);
    const random = new Random(scenario.seed).fork(2);
    const pattern = this.#pattern;
    const observer = new Observer(arena, schedule, pattern);
    observer.checksBackOff = scenario.stalls.length === 0;
    const hosts: Host[] = [];
    observer.hasRuns = (host) => scenario.hosts[host]!.limits.sendSpans >= RUNS_ENOUGH;
    observer.mayHaveHeld = (host) => heldDropped(hosts[host]!) > 0;
    const network = new Network({
      ...{ schedule, arena, log: this.#log, observer, random: random.fork(1) },
      options: (from, to) => scenario.paths[from]![to]!,
      hosts: scenario.hosts.length,
      arrived: (host) => hosts[host]!.wake(schedule.now),
    });
    const world = new World(schedule, pattern);
    const boot = (index: number, plan: HostPlan, own: Random): void => {
      const parts = { index, plan, schedule, network, memories: this.#memories, pattern };
      const host = new Host(parts);
      hosts[index] = host;
      network.plug(index, host.nic);
      const Kind = plan.kind === 'ix' ? IxApplication : RawApplication;
      host.application = new Kind(host, world, own);
    };
    for (const [index, plan] of scenario.hosts.entries()) {
      boot(index, plan, random.fork(50 + index));
    }
    for (const { host, port, backlog } of scenario.listeners) {
      hosts[host]!.application.listen(port, backlog);
    }
    const datagrams = scenario.datagrams.map((plan) => new Datagrams(plan));
    for (const d of datagrams) {
      (hosts[d.plan.from]!.application as RawApplication).addDatagrams(d, true);
      (hosts[d.plan.to]!.application as RawApplication).addDatagrams(d, false);
    }
    const run: Run = { scenario, schedule, network, observer, world, hosts, datagrams };
    world.addFlow = (flow) => this.#addFlow(run, flow);
    for (const flow of scenario.flows) this.#addFlow(run, flow);
    this.#addAccidents(run);
    this.#addReboots(run, (index, plan) => boot(index, plan, random.fork(90 + index)));
    return run;
  }

  #addFlow({ world, hosts, scenario }: Run, given: Scenario['flows'][number]): void {
    const index = given.server;
    const isReborn = hosts[index]!.plan !== scenario.hosts[index]; // nobody listens there any more
    const flow = isReborn ? { ...given, isClean: false } : given;
    const client = new Endpoint(flow, 0, hosts[flow.client]!);
    const server = new Endpoint(flow, 1, hosts[flow.server]!);
    client.progressAt = server.progressAt = flow.startUs;
    world.add(client, server);
    for (const e of [client, server]) (e.host.application as Application).add(e);
  }

  #addAccidents({ scenario, schedule, network, hosts }: Run): void {
    for (const { atUs, us, a, b } of scenario.partitions) {
      const set = (by: number) => () => {
        network.paths[a]![b]!.downs += by;
        network.paths[b]![a]!.downs += by;
      };
      schedule.at(atUs, set(1));
      schedule.at(atUs + us, set(-1));
    }
    for (const { atUs, from, to, mtu, isSilent } of scenario.mtuChanges) {
      schedule.at(atUs, () => {
        network.paths[from]![to]!.mtu = mtu;
        network.paths[from]![to]!.isSilent = isSilent === true;
      });
    }
    for (const { atUs, forged } of scenario.forgeries) {
      schedule.at(atUs, () => network.forge(forged));
    }
    for (const { atUs, us, host } of scenario.stalls) {
      schedule.at(atUs, () => hosts[host]!.pause(atUs + us));
    }
    for (const { atUs, host } of scenario.deaths) {
      schedule.at(atUs, () => {
        hosts[host]!.die();
        network.plug(host, null);
      });
    }
  }

  /** A host that comes back knows nothing of what it had, and keeps its addresses. */
  #addReboots(run: Run, boot: (index: number, plan: HostPlan) => void): void {
    const { scenario, schedule, network, hosts, world } = run;
    for (const { atUs, us, host, reconnects } of scenario.reboots) {
      schedule.at(atUs, () => {
        hosts[host]!.die();
        network.plug(host, null);
        if (reconnects) world.pending++;
      });
      schedule.at(atUs + us, () => {
        const plan = hosts[host]!.plan;
        boot(host, { ...plan, startUs: plan.startUs + us, secret0: plan.secret0 ^ us });
        if (!reconnects) return;
        schedule.after(RECONNECT_US, () => {
          world.pending--;
          for (const flow of scenario.flows) {
            const isOld = flow.client === host && flow.startUs < atUs && flow.again === 0;
            if (isOld && !flow.isSimultaneous)
              world.addFlow({ ...flow, id: flow.id + 2000, again: 0, startUs: schedule.now });
          }
        });
      });
    }
  }

  #simulate(run: Run): void {
    const { schedule, world } = run;
    this.#watch(run);
    let doneAt = -1;
    for (;;) {
      this.#step(run);
      if (world.failure !== undefined) throw world.failure;
      if (doneAt < 0) {
        if (schedule.now > END_US) throw new Violation('the run does not end');
        const isDone = world.endpoints.every((e) => e.isDead || !e.host.isAlive || e.isAbsent);
        if (!isDone || world.pending > 0) continue;
        doneAt = schedule.now;
        checkOutcomes(run);
      }
      const isWaiting = run.hosts.some((host) => host.isAlive && host.timers.active > 0);
      if (schedule.now >= doneAt + (isWaiting ? TIMERS_US : DRAIN_US)) break;
    }
    checkEnd(run);
  }

  #watch(run: Run): void {
    watch(run);
    const pause =
      run.scenario.isPerfect && run.schedule.now < PERFECT_US ? WATCH_PERFECT_US : WATCH_US;
    run.schedule.after(pause, () => this.#watch(run));
  }

  /** What happens next: things that are scheduled before turns of the same time. */
  #step({ schedule, hosts }: Run): void {
    let at = schedule.next;
    let next: Host | undefined;
    for (const host of hosts) {
      if (host.turnAt < at) {
        at = host.turnAt;
        next = host;
      }
    }
    schedule.now = at;
    if (next) next.turn();
    else schedule.take()();
  }
}

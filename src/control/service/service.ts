/**
 * One running instance: what it holds, and the dataplane that lives on it, brought up in order and
 * taken down in reverse.
 *
 * - `startService` returns when the application serves. If it throws, nothing that was made is
 *   left.
 * - With `restarts`, a dataplane that dies is reported, what was its is cleaned up (its
 *   application, too), and another one starts on the same link, address and counters, after a while
 *   (control/children/backoff.ts): its peers see resets.
 * - A link that goes down is waited for; one that is gone ends it (link-care.ts).
 * - With a `wish`, dataplane and application go on when the control plane dies, by a signal or an
 *   exception that nobody caught, and `adoptService` goes on with them.
 * - Without them it ends with either: benchmarks, tests, `--tied`.
 * - `takeDown` is synchronous and may be called at any time, also from an exit handler: processes,
 *   links, XDP program, record.
 *
 * Called by cli/serve.ts and the benchmarks.
 */
import type { XdpState } from '../../child/config.ts';
import { planConfinement } from '../../confine/plan.ts';
import type { Supervised } from '../children/application-process.ts';
import { Backoff } from '../children/backoff.ts';
import { CaptureFiles } from '../children/capture-file.ts';
import {
  type DataplaneEnded,
  type DataplaneRestarted,
  describe as explain,
  type Incident,
} from '../children/incidents.ts';
import type { Dataplane, End, Ready } from '../children/launch.ts';
import { linkName } from '../link/network.ts';
import type { Instance } from '../record/instances.ts';
import type { Plan } from '../wish/plan.ts';
import { adoptHoldings, type Holdings, makeHoldings, noteEnd } from './holdings.ts';
import { adoptLife, type Life, type LifePlan, startLife } from './life.ts';
import { LinkCare } from './link-care.ts';
import { Undo } from './undo.ts';

export interface Service extends Ready {
  address: string;
  /** undefined: no IPv6. */
  address6: string | undefined;
  /** undefined: a tap. */
  xdp: XdpState | undefined;
  /** Of the life that it has now. */
  dataplane: Dataplane;
  /** Domain process only. */
  application: Supervised | undefined;
  /** The application has stopped itself: `ended` is on the way. */
  hasStopped: boolean;
  /**
   * Settles when it has ended although nobody asked it to: the application stopped itself; or the
   * dataplane died and is not, or cannot be, started again.
   */
  ended: Promise<End>;
  /** Stops application and dataplane in order; `takeDown` comes after it. */
  stop(): Promise<void>;
  takeDown(): void;
  /** Lines to say of its link (control/link/advice.ts). */
  readonly advice: readonly string[];
}

export interface LaunchOptions {
  /** The program to start as the dataplane, if not src/dataplane/main.ts. */
  main?: string | undefined;
  report?: (value: unknown) => void;
  /** Outlives its dataplane. */
  restarts?: boolean;
  /** Outlives its control plane, and is adopted by who wishes the same (adopt.ts `wishOf`). */
  wish?: string;
  /** What had to be dealt with; default: one line each on standard error. */
  incident?: (incident: Incident) => void;
}

const printIncident = (incident: Incident): void => console.error(`ix: ${explain(incident)}`);

export async function startService(plan: Plan, given: LaunchOptions = {}): Promise<Service> {
  const lives = livesOf(plan, given);
  const holdings = makeHoldings(plan.application.name, plan.network);
  const running = new Running(holdings, lives, given.restarts);
  return await running.begin((undo) => startLife(holdings, lives, undo, 0));
}

/** `instance` was claimed (adopt.ts). If it throws, what it was may be left: the caller ends it. */
export async function adoptService(
  instance: Instance,
  plan: Plan,
  given: LaunchOptions,
): Promise<Service> {
  const lives = livesOf(plan, given);
  const holdings = adoptHoldings(instance, plan.network);
  const running = new Running(holdings, lives, given.restarts);
  return await running.begin((undo) => adoptLife(holdings, lives, undo));
}

class Running implements Service {
  readonly #holdings: Holdings;
  readonly #plan: LifePlan;
  readonly #ended = Promise.withResolvers<End>();
  readonly #backoff = new Backoff();
  readonly #restartsLives: boolean;
  readonly #crashed = () => {
    this.#hasCrashed = true;
  };
  readonly #exit = () => {
    // It serves, and can be adopted: what is wrong with us is not wrong with it.
    if (!this.#hasCrashed || this.#holdings.instance.estate === undefined) this.takeDown();
  };
  #hasCrashed = false;
  #life: Life | undefined;
  #links: LinkCare | undefined;
  #undo = new Undo();
  #restarts = 0;
  #isStopping = false;

  constructor(holdings: Holdings, plan: LifePlan, restarts = false) {
    this.#holdings = holdings;
    this.#plan = plan;
    this.#restartsLives = restarts;
    process.on('exit', this.#exit);
    process.on('uncaughtExceptionMonitor', this.#crashed);
  }

  async begin(live: (undo: Undo) => Promise<Life>): Promise<this> {
    try {
      this.#life = await live(this.#undo);
    } catch (error) {
      this.takeDown();
      throw error;
    }
    this.#careForLinks();
    void this.#watch(this.#life);
    return this;
  }

  get address(): string {
    return this.#holdings.instance.address;
  }
  get address6(): string | undefined {
    return this.#holdings.instance.address6;
  }
  get xdp(): XdpState | undefined {
    return this.#holdings.instance.xdp;
  }
  get ports(): number[] {
    return this.#holdings.instance.ports;
  }
  get nic(): string {
    return this.#now().nic;
  }
  get dataplane(): Dataplane {
    return this.#now().dataplane;
  }
  get application(): Supervised | undefined {
    return this.#now().application;
  }
  get hasStopped(): boolean {
    return (this.application ?? this.dataplane).hasStopped;
  }
  get ended(): Promise<End> {
    return this.#ended.promise;
  }

  get advice(): readonly string[] {
    return this.#holdings.advice;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#links?.close();
    await this.#life?.stop();
  }

  takeDown(): void {
    this.#isStopping = true;
    this.#links?.close();
    process.off('exit', this.#exit);
    process.off('uncaughtExceptionMonitor', this.#crashed);
    try {
      this.#undo.run();
    } finally {
      this.#holdings.release();
    }
  }

  #now(): Life {
    if (!this.#life) throw new Error('it has begun');
    return this.#life;
  }

  #careForLinks(): void {
    const { application, incident } = this.#plan;
    this.#links = new LinkCare({
      holdings: this.#holdings,
      ...{ application: application.name, incident },
      wake: () => this.#life?.dataplane.linkUp(),
      gone: (why) => this.#linkGone(why),
    });
  }

  /** Nothing can bring it back: no other life is begun. */
  #linkGone(why: string): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#ended.resolve({ how: 'its link is gone', link: why });
  }

  /** From life to life, until one ends that is not followed by another. */
  async #watch(life: Life): Promise<void> {
    let current: Life | undefined = life;
    while (current) {
      const startedMs = Date.now();
      const end: End = await current.ended;
      if (this.#isStopping) return;
      if (end.stopped !== undefined || !this.#restartsLives) return this.#ended.resolve(end);
      current = await this.#again(end, Date.now() - startedMs);
    }
  }

  /** Undefined: stopped meanwhile, or it cannot be. */
  async #again(end: End, ranMs: number): Promise<Life | undefined> {
    const { network, instance } = this.#holdings;
    let { how, failure } = end;
    let pid: number | undefined = this.dataplane.pid;
    for (let aliveMs = ranMs; ; aliveMs = 0) {
      this.#undo.run();
      this.#undo = new Undo();
      noteEnd(instance);
      if (linkName(network.ifindex) === undefined) {
        this.#linkGone(`${network.ifname} was removed`);
        return undefined;
      }
      const delayMs = this.#backoff.delayAfter(aliveMs);
      this.#restarts += 1;
      const message = failure?.split('\n')[0];
      const why = { how, ...(message && { message }), restartInSeconds: delayMs / 1000 };
      this.#tell({ event: 'dataplane-ended', ...(pid && { pid }), ...why });
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      if (this.#isStopping) return undefined;
      try {
        const life = await startLife(this.#holdings, this.#plan, this.#undo, this.#restarts);
        if (this.#isStopping) return undefined;
        return this.#restarted(life);
      } catch (error) {
        if (this.#isStopping) return undefined;
        [how, failure] = ['could not start', error instanceof Error ? error.message : `${error}`];
        pid = undefined;
      }
    }
  }

  #restarted(life: Life): Life {
    this.#life = life;
    const { dataplane, application } = life;
    const also = application && { applicationPid: application.pid };
    this.#tell({ event: 'dataplane-restarted', pid: dataplane.pid, ...also });
    return life;
  }

  #tell(incident: Omit<DataplaneEnded, Told> | Omit<DataplaneRestarted, Told>): void {
    const application = this.#plan.application.name;
    const { address } = this;
    const restarts = this.#restarts;
    this.#plan.incident({ application, address, restarts, ...incident } as Incident);
  }
}

/** What all incidents of a service's dataplane have in common. */
type Told = 'application' | 'address' | 'restarts';

function livesOf(
  { confinement, output, ...parts }: Plan,
  { main, report = () => {}, wish, incident = printIncident }: LaunchOptions,
): LifePlan {
  const confinements = confinement && planConfinement(confinement);
  const captures = output.capture === undefined ? undefined : new CaptureFiles(output.capture);
  return { ...parts, confinements, captures, main, wish, report, incident };
}

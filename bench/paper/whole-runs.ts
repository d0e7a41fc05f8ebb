/**
 * The runs of a search by whole runs: in turn, counted, told of while they run, and kept as series.
 *
 * - What serves and what makes the load is given (`Service`): tests have one whose curve is known.
 * - A run that fails is run once more; failing again it has not held.
 *
 * Called by whole.ts.
 */
import type { LoadResult } from '../../src/load/result/result.ts';
import { peerNamed } from '../harness/peers.ts';
import { formatMetric, twice } from '../harness/rounds.ts';
import type { Context, Series } from './experiment.ts';
import { type Bracket, runsOf, searchTogether } from './halving.ts';
import type { HiccupsOfBoth } from './hiccups.ts';
import { hasSent, KV_NAMES, type KvName, LOW_RATE, OBJECTIVE_NS, WARMUP_MS } from './kv-load.ts';
import { addSample } from './sweep.ts';

/** Starting server and generator, storing the records, ending both. */
const AROUND_MS = 3000;
const PEAK_SECONDS = 2;
/** A closed loop is not quite the most that can be had. */
const BEYOND_PEAK = 1.1;

export interface Service {
  /** One run: requests a second (0: a closed loop), measured seconds. */
  load(name: KvName, rate: number, seconds: number): Promise<LoadResult>;
  hiccups(): Promise<HiccupsOfBoth>;
}

/** `halvings`: points after the first. */
export interface WholePlan {
  runs: number;
  seconds: number;
  halvings: number;
}

export class WholeRuns {
  readonly series: Series[] = KV_NAMES.map((name) => ({
    ...{ name, failures: [], points: [] },
    title: name === 'ours' ? 'ours, kv' : peerNamed(name).title,
  }));
  readonly looks: HiccupsOfBoth[] = [];
  readonly #context: Context;
  readonly #service: Service;
  readonly #plan: WholePlan;
  #point = 0;
  #run = 0;
  /** Of this point, by contender. */
  #runsOf: Record<KvName, number> = { ours: 0, memcached: 0 };

  constructor(context: Context, plan: WholePlan, service: Service) {
    this.#context = context;
    this.#plan = plan;
    this.#service = service;
  }

  async search(): Promise<Record<string, Bracket>> {
    this.#announce();
    const contenders: { name: KvName; limit: number }[] = [];
    for (const name of KV_NAMES) contenders.push({ name, limit: await this.#peak(name) });
    return searchTogether(contenders, {
      ...this.#plan,
      lowRate: LOW_RATE,
      reference: 'memcached',
      measure: (name, rate, point) => this.#measure(name as KvName, rate, point),
      mayGoOn: (point) => this.#mayGoOn(point),
    });
  }

  #announce(): void {
    const { runs, seconds, halvings } = this.#plan;
    const { most, least } = runsOf(this.#plan, KV_NAMES.length);
    const minutes = (count: number): string => (this.#secondsOf(count) / 60).toFixed(0);
    this.#context.progress(
      `${1 + halvings} points of ${runs} runs of ${seconds} s each for ` +
        `${KV_NAMES.length} contenders: ${minutes(least)} to ${minutes(most)} minutes`,
    );
  }

  #secondsOf(runs: number): number {
    return (runs * (this.#plan.seconds * 1000 + WARMUP_MS + AROUND_MS)) / 1000;
  }

  #mayGoOn(point: number): boolean {
    if (performance.now() < this.#context.deadlineMs) return true;
    this.#failed('ours', `no time left for point ${point} and those after it`);
    return false;
  }

  /** More than it can serve, requests a second. */
  async #peak(name: KvName): Promise<number> {
    const again = (reason: string): void => this.#failed(name, `closed loop: again: ${reason}`);
    const result = await twice(() => this.#service.load(name, 0, PEAK_SECONDS), again);
    const peak = result.messagesPerSecond;
    this.#context.progress(`  ${name}, closed loop: ${formatMetric('PerSecond', peak)}`);
    return peak * BEYOND_PEAK;
  }

  async #measure(name: KvName, rate: number, point: number): Promise<boolean> {
    if (point !== this.#point) await this.#begin(point);
    this.#run++;
    const round = ++this.#runsOf[name];
    const { halvings, runs } = this.#plan;
    const where = `point ${point} of ${1 + halvings}, run ${round} of ${runs}`;
    try {
      const again = (reason: string): void => this.#failed(name, `at ${rate}: again: ${reason}`);
      const result = await twice(() => this.#service.load(name, rate, this.#plan.seconds), again);
      const holds = keeps(result);
      addSample(this.#seriesOf(name), rate, sampleOf(result), round);
      this.#context.progress(`  ${where}: ${describe(name, rate, result, holds)}; ${this.#left()}`);
      return holds;
    } catch (error) {
      this.#failed(name, `at ${rate}: ${(error as Error).message.split('\n')[0]}`);
      return false;
    }
  }

  #left(): string {
    const { most } = runsOf(this.#plan, KV_NAMES.length);
    return `at most ${Math.ceil(this.#secondsOf(most - this.#run) / 60)} min left`;
  }

  async #begin(point: number): Promise<void> {
    const { runs } = this.#plan;
    this.#point = point;
    // What was decided early is not to come any more.
    this.#run = (point - 1) * runs * KV_NAMES.length;
    this.#runsOf = { ours: 0, memcached: 0 };
    this.looks.push(await this.#service.hiccups());
  }

  #seriesOf(name: KvName): Series {
    return this.series.find((each) => each.name === name)!;
  }

  #failed(name: KvName, text: string): void {
    this.#seriesOf(name).failures.push(text);
    this.#context.progress(`${name}: FAILED: ${text}`);
  }
}

export const keeps = (result: LoadResult): boolean =>
  hasSent(result) && result.latency.p99Ns <= OBJECTIVE_NS;

const sampleOf = (result: LoadResult) => ({
  wholeP99Ns: result.latency.p99Ns,
  p50Ns: result.latency.p50Ns,
  p999Ns: result.latency.p999Ns,
  messagesPerSecond: result.messagesPerSecond,
  keptRatio: keeps(result) ? 1 : 0,
  ...(result.lag === undefined ? {} : { lagP99Ns: result.lag.p99Ns }),
  ...(result.service === undefined ? {} : { serviceP99Ns: result.service.p99Ns }),
});

function describe(name: KvName, rate: number, result: LoadResult, holds: boolean): string {
  const p99 = formatMetric('Ns', result.latency.p99Ns);
  const verdict = holds ? 'holds' : hasSent(result) ? 'does not hold' : 'did not keep up';
  return `${name} at ${formatMetric('PerSecond', rate)}: p99 ${p99}, ${verdict}`;
}

/**
 * What a load generator measures: when every request was due, sent and answered.
 *
 * - The clock is read once a batch (`tick`), in milliseconds; requests answered in one batch get
 *   one time.
 * - `latency` counts from when a request was *due*: in an open loop a server (or a generator) that
 *   is late cannot hide it. `service` counts from when it was sent, as mutilate does: the
 *   difference is queueing. `lag` is how late it was sent. In a closed loop a request is due when
 *   it is sent, and only `latency` is kept.
 * - Requests that are due inside the measured time count, whenever they are answered. Those that
 *   never are count with the time they had waited when the run was given up.
 * - `messages` are the answers that came inside the measured time: the rate.
 * - Histograms are in units of 100 ns: their resolution is that or one part in 128, whichever is
 *   coarser.
 * - The warm-up is measured like the rest and forgotten: otherwise V8 would meet the code that
 *   measures when the measuring begins, and compile it for some milliseconds of every core that it
 *   may use.
 * - The measured time can be cut into windows of equal length, each with a histogram of its own:
 *   where a machine takes its cores away now and then, the quiet windows say what the server does,
 *   the whole what both do.
 * - Nothing is allocated per request.
 */
import { Histogram } from './histogram.ts';
import type { LatencyRecord } from './result.ts';
import { Worst } from './worst.ts';

export const UNIT_NS = 100;
const UNITS_PER_MS = 1e6 / UNIT_NS;
const INT32_MAX = 2 ** 31 - 1;

/** Cells of the times. */
const NOW = 0;
const START = 1;
export const END = 2;
export const RUSH_END = 3;

/** CLOCK_MONOTONIC, milliseconds, when performance.now() was 0 in this thread. */
const originMs = (): number => Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** A rush comes in pulses, so that what only the slow rate does is met as well. */
const PULSE_MS = 50;
const PULSE_RUSH_MS = 35;

export interface RecorderOptions {
  isOpen: boolean;
  /** So many latencies are kept as they are. */
  naive: number;
  windows: number;
  /** So many of the slowest requests are kept, of an open loop. */
  worst?: number;
}

export class Recorder {
  readonly latency = new Histogram(UNIT_NS);
  readonly service = new Histogram(UNIT_NS);
  readonly lag = new Histogram(UNIT_NS);
  /** [now, start, end of the measured time, end of the rush], milliseconds. */
  readonly times = new Float64Array([0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0]);
  /** Answers inside the measured time, answers in all, requests sent in all. */
  readonly counts = new Float64Array(3);
  readonly #windows: readonly Histogram[];
  /** Windows in a millisecond. */
  readonly #windowRate = new Float64Array(1);
  readonly #isOpen: boolean;
  readonly #readClock: () => number;
  /** Per slot: when it was due and sent. */
  readonly #dueMs: Float64Array;
  readonly #sentMs: Float64Array;
  readonly #worst: Worst;
  readonly #keepsWorst: boolean;
  /** The naive recorder: the first latencies as they are, in units. */
  readonly #naive: Int32Array;
  #naiveCount = 0;

  constructor(
    slots: number,
    { isOpen, naive, windows, worst = 0 }: RecorderOptions,
    readClock: () => number,
  ) {
    this.#isOpen = isOpen;
    this.#windows = Array.from({ length: windows }, () => new Histogram(UNIT_NS));
    this.#readClock = readClock;
    this.#dueMs = new Float64Array(slots);
    this.#sentMs = new Float64Array(isOpen ? slots : 0);
    this.#naive = new Int32Array(naive);
    this.#worst = new Worst(isOpen ? worst : 0);
    this.#keepsWorst = isOpen && worst > 0;
  }

  tick(): void {
    this.times[NOW] = this.#readClock();
  }

  get nowMs(): number {
    return this.times[NOW]!;
  }

  /**
   * The measured time begins, and what was measured before is forgotten: what is due in it counts.
   */
  measure(startMs: number, durationMs: number): void {
    for (const each of [this.latency, this.service, this.lag, ...this.#windows]) each.reset();
    this.#worst.reset();
    this.counts[0] = this.#naiveCount = 0;
    this.times[START] = startMs;
    this.times[END] = startMs + durationMs;
    this.#windowRate[0] = this.#windows.length / durationMs;
  }

  get isOver(): boolean {
    return this.times[NOW]! >= this.times[END]!;
  }

  /** Requests are due as fast as they are answered. */
  get isRushing(): boolean {
    const now = this.times[NOW]!;
    return now < this.times[RUSH_END]! && now % PULSE_MS < PULSE_RUSH_MS;
  }

  /**
   * The request that is due at cell 0 of `dueMs` shall go out: its time has come, and is not after
   * the end.
   */
  isDue(dueMs: Float64Array): boolean {
    return dueMs[0]! <= this.times[NOW]! && dueMs[0]! <= this.times[END]!;
  }

  /** Microseconds from now until cell 0 of `dueMs`, 0 when that has come. */
  untilUs(dueMs: Float64Array): number {
    return Math.max(0, Math.min(INT32_MAX, (dueMs[0]! - this.times[NOW]!) * 1000)) | 0;
  }

  get isMeasuring(): boolean {
    return this.times[NOW]! >= this.times[START]! && !this.isOver;
  }

  /** A request of the closed loop is due now. */
  sentNow(slot: number): void {
    this.#dueMs[slot] = this.times[NOW]!;
    this.counts[2] = this.counts[2]! + 1;
  }

  /** A request of the open loop, due at cell 0 of `dueMs`, is sent now. */
  sent(slot: number, dueMs: Float64Array): void {
    const due = dueMs[0]!;
    const times = this.times;
    this.#dueMs[slot] = due;
    this.#sentMs[slot] = times[NOW]!;
    this.counts[2] = this.counts[2]! + 1;
    if (this.#isCounted(due)) {
      this.lag.record(Math.min(INT32_MAX, (times[NOW]! - due) * UNITS_PER_MS) | 0);
    }
  }

  answered(slot: number): void {
    const times = this.times;
    const now = times[NOW]!;
    const due = this.#dueMs[slot]!;
    const counts = this.counts;
    counts[1] = counts[1]! + 1;
    if (this.isMeasuring) counts[0] = counts[0]! + 1;
    if (!this.#isCounted(due)) return;
    this.#record(due);
    if (this.#keepsWorst) this.#worst.offer(this.#dueMs, this.#sentMs, slot, times);
    if (this.#isOpen) {
      this.service.record(Math.min(INT32_MAX, (now - this.#sentMs[slot]!) * UNITS_PER_MS) | 0);
    }
  }

  /** What is due then is inside the measured time. */
  #isCounted(dueMs: number): boolean {
    return dueMs >= this.times[START]! && dueMs < this.times[END]!;
  }

  /**
   * The run is given up: a request in flight that counts, counts with its age. Returns whether it
   * does.
   */
  abandon(slot: number): boolean {
    return this.abandonDue(this.#dueMs, slot);
  }

  /** The same for a request that was never sent, due at cell `i` of `dueMs`. */
  abandonDue(dueMs: Float64Array, i: number): boolean {
    const due = dueMs[i]!;
    if (!this.#isCounted(due)) return false;
    this.#record(due);
    return true;
  }

  #record(dueMs: number): void {
    const units = Math.min(INT32_MAX, (this.times[NOW]! - dueMs) * UNITS_PER_MS) | 0;
    this.latency.record(units);
    const { length } = this.#windows;
    if (length > 0) {
      const window = ((dueMs - this.times[START]!) * this.#windowRate[0]!) | 0;
      this.#windows[Math.min(window, length - 1)]!.record(units); // the quotient may be rounded up
    }
    if (this.#naiveCount < this.#naive.length) {
      this.#naive[this.#naiveCount] = units;
      this.#naiveCount++;
    }
  }

  summary(): LatencyRecord {
    const latency = {
      latency: this.latency.summary(),
      histogram: this.latency.toJSON(),
      ...(this.#windows.length > 0 ? { windows: this.#windows.map((each) => each.summary()) } : {}),
    };
    const naive = this.#naive.length === 0 ? {} : { naive: this.#naivePercentiles() };
    const worst = this.#keepsWorst ? this.#worstAndWhen(originMs()) : {};
    if (!this.#isOpen) return { ...latency, ...naive };
    return {
      ...latency,
      ...naive,
      ...worst,
      service: this.service.summary(),
      serviceHistogram: this.service.toJSON(),
      lag: this.lag.summary(),
      lagHistogram: this.lag.toJSON(),
    };
  }

  #worstAndWhen(origin: number): Pick<LatencyRecord, 'worst' | 'measuredMs'> {
    const measuredMs: [number, number] = [origin + this.times[START]!, origin + this.times[END]!];
    return { worst: this.#worst.list(origin), measuredMs };
  }

  /** Percentiles by sorting everything, nanoseconds: what the histogram is checked against. */
  #naivePercentiles(): Record<string, number> {
    const sorted = this.#naive.slice(0, this.#naiveCount).sort();
    const at = (percent: number): number => {
      const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
      return (sorted[Math.min(rank, sorted.length) - 1] ?? 0) * UNIT_NS;
    };
    return {
      count: sorted.length,
      p50Ns: at(50),
      p90Ns: at(90),
      p99Ns: at(99),
      p999Ns: at(99.9),
      p9999Ns: at(99.99),
    };
  }
}

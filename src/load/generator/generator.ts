/**
 * The load generator: requests on many connections, in a closed or an open loop, and the time of
 * each.
 *
 * - Closed loop: every connection keeps `depth` requests in flight. Open loop: requests are due at
 *   times that do not depend on the server (arrivals.ts); each goes out on a connection drawn at
 *   random among those with fewer than `depth` in flight. When there is none it waits, and the wait
 *   is part of its latency.
 * - Phases: open all connections, store the keys, (wait for the others,) warm up, measure, drain.
 *   Requests that are due inside the measured time are waited for until `drainMs` after its end.
 * - `sleeps`, open loop: while nothing is due and no answer is there the thread sleeps, whoever
 *   serves; how late it wakes is part of the latency of what was due. One that spins leaves, on two
 *   cores, only the server's to everybody else who has something to do.
 * - Rush, open loop: so long of the warm-up requests go out as fast as they are answered, in
 *   pulses. What compiles itself by use, the generator and perhaps the server, is compiled before a
 *   slow rate is measured, which would never have done it.
 * - Churn: a connection that has had its number of requests is reset and opened again when it has
 *   been answered.
 * - Time is read once a batch; nothing is allocated per request.
 *
 * Application module: `app(ix, options)` on our dataplane, or on ordinary sockets by
 * kernel/main.ts. Reports progress, then one LoadReport. Options in options.ts.
 */
import { getHeapStatistics } from 'node:v8';
import type { Connection } from '../../libix/index.ts';
import { EchoExchange } from '../exchange/echo.ts';
import type { Exchange, FillingExchange, LoadHost } from '../exchange/exchange.ts';
import { MemcachedExchange } from '../exchange/memcached.ts';
import { END, Recorder, RUSH_END } from '../result/recorder.ts';
import type { LoadResult } from '../result/result.ts';
import { Arrivals } from '../workload/arrivals.ts';
import { Random } from '../workload/random.ts';
import { type GeneratorOptions, generatorOptions } from './options.ts';
import { ClientPool } from './pool.ts';
import { Roomy } from './roomy.ts';

/** Requests sent in one turn: answers must not wait longer than a batch. */
const ISSUE_MAX = 256;
/** SETs in flight per connection while keys are stored. */
const FILL_DEPTH = 16;

/** The end of a phase is looked for as often. */
const REST_MAX_US = 1000;
const NEVER_MS = new Float64Array([Number.POSITIVE_INFINITY]);

const OPENING = 0;
const FILLING = 1;
const WAITING = 2;
const RUNNING = 3;
const ENDED = 4;

const allocatedBytes = (): number => getHeapStatistics().total_allocated_bytes;

export default function app(host: LoadHost, options: Record<string, string>): void {
  new Generator(host, generatorOptions(options)).open();
}

export class Generator {
  readonly #host: LoadHost;
  readonly #options: GeneratorOptions;
  readonly #slots: number;
  readonly #exchange: Exchange;
  readonly #filling: FillingExchange | undefined;
  readonly #arrivals: Arrivals | undefined;
  readonly #recorder: Recorder;
  readonly #roomy: Roomy;
  readonly #sleeps: boolean;
  readonly #pool: ClientPool;
  /**
   * Per connection: turn of the slot that is answered next; requests in flight; requests until it
   * is reopened.
   */
  readonly #head: Int32Array;
  readonly #inFlight: Int32Array;
  readonly #untilChurn: Int32Array;
  #depth: number;
  #phase = OPENING;
  /**
   * The warm-up is measured as well, so that the code that measures is compiled; then all of it is
   * forgotten.
   */
  #isWarming = false;
  #outstanding = 0;
  /** The clock has been read in this batch. */
  #isTicked = false;
  #isCounting = false;
  readonly #heap = new Float64Array(2);
  #progress: number;
  #nextProgressMs = Number.POSITIVE_INFINITY;

  constructor(
    host: LoadHost,
    options: GeneratorOptions,
    readClock: () => number = () => performance.now(),
  ) {
    const { connections, depth, protocol, seed, index } = options;
    this.#host = host;
    this.#options = options;
    this.#depth = depth;
    this.#sleeps = options.sleeps === 'yes' && options.rate > 0;
    this.#slots = Math.max(depth, options.fill === 'no' ? 1 : FILL_DEPTH);
    const random = new Random(seed + 1_000_003 * (index + 1));
    if (protocol === 'echo') {
      this.#exchange = new EchoExchange(host, connections, this.#slots, options.size);
    } else {
      const requestSeed = random.bits();
      this.#filling = new MemcachedExchange(host, connections, this.#slots, {
        ...options,
        requestSeed,
      });
      this.#exchange = this.#filling;
    }
    const { rate, arrival } = options;
    if (rate > 0) this.#arrivals = new Arrivals(arrival, rate, random);
    const { naive, windows, worst } = options;
    const records = { isOpen: rate > 0, naive, windows, worst };
    this.#recorder = new Recorder(connections * this.#slots, records, readClock);
    this.#roomy = new Roomy(connections, random);
    this.#head = new Int32Array(connections);
    this.#inFlight = new Int32Array(connections);
    this.#untilChurn = new Int32Array(connections).fill(options.churn || 2 ** 31 - 1);
    this.#progress = options.progressMs;
    this.#pool = new ClientPool(
      host,
      options,
      {
        received: (c, offset, length) => this.#received(c, offset, length),
        drained: (c) => this.#drained(c),
      },
      () => this.#allOpen(),
      (k) => this.#reopened(k),
    );
    host.onBatchEnd(() => this.#batchEnd());
  }

  open(): void {
    this.#pool.open(() => this.#phase >= WAITING);
  }

  // --- phases ---

  #allOpen(): void {
    this.#recorder.tick();
    if (this.#options.progressMs > 0) this.#nextProgressMs = this.#recorder.nowMs + this.#progress;
    if (this.#filling === undefined || this.#options.fill === 'no') return this.#wait();
    this.#phase = FILLING;
    this.#depth = FILL_DEPTH;
    for (let k = 0; k < this.#options.connections; k++) this.#fillUp(k);
  }

  #filled(): void {
    if (this.#options.fill === 'only') return this.#finish();
    this.#wait();
  }

  /** Until `startAtMs` of the wall clock, so that several generators begin together. */
  #wait(): void {
    this.#phase = WAITING;
    this.#depth = this.#options.depth;
    this.#filling?.endFill();
    this.#host.keepTurning(true);
    const { startAtMs } = this.#options;
    const lateMs = startAtMs > 0 ? Date.now() - startAtMs : 0;
    if (lateMs > 0) {
      this.#pool.fail(`not ready ${lateMs} ms after the start; give more time with --prepare`);
    } else if (lateMs === 0) this.#begin();
    else this.#host.timer(-lateMs * 1000, () => this.#begin());
  }

  #begin(): void {
    const { warmupMs, durationMs, connections } = this.#options;
    this.#phase = RUNNING;
    this.#recorder.tick();
    const now = this.#recorder.nowMs;
    this.#isWarming = warmupMs > 0;
    this.#recorder.measure(now, this.#isWarming ? warmupMs : durationMs);
    for (let k = 0; k < connections; k++) this.#roomy.add(k);
    this.#recorder.times[RUSH_END] = now + this.#options.rushMs;
    if (this.#arrivals !== undefined) this.#arrivals.start(now);
    else for (let k = 0; k < connections; k++) this.#fillUp(k);
  }

  // --- requests ---

  /** After all events of a batch: what is due goes out, and time goes on. */
  #batchEnd(): void {
    this.#isTicked = false;
    if (this.#phase === OPENING || this.#phase === ENDED) return;
    const recorder = this.#recorder;
    this.#tick();
    if (recorder.nowMs >= this.#nextProgressMs) this.#reportProgress();
    if (this.#phase !== RUNNING) return;
    if (this.#arrivals !== undefined) this.#issueDue(this.#arrivals);
    if (recorder.isOver) this.#drainOrFinish();
    if (this.#sleeps) this.#rest();
  }

  /**
   * Until the next request is due, or an answer comes: somebody else may have the core. With all
   * connections full nothing is due.
   */
  #rest(): void {
    if (this.#phase !== RUNNING || this.#recorder.isRushing) return;
    const due = this.#roomy.count > 0 ? this.#arrivals!.nextMs : NEVER_MS;
    this.#host.rest(Math.min(REST_MAX_US, this.#recorder.untilUs(due)));
  }

  #tick(): void {
    const recorder = this.#recorder;
    recorder.tick();
    if (this.#isWarming && recorder.isOver) this.#measure();
    if (recorder.isMeasuring !== this.#isCounting) this.#setCounting();
  }

  /** The warm-up is over, and the measured time begins where it ended. */
  #measure(): void {
    this.#isWarming = false;
    if (this.#isCounting) this.#setCounting();
    this.#recorder.measure(this.#recorder.times[END]!, this.#options.durationMs);
  }

  #issueDue(arrivals: Arrivals): void {
    const recorder = this.#recorder;
    const next = arrivals.nextMs;
    const { isRushing } = recorder;
    if (isRushing) arrivals.hurry(recorder.times);
    for (let n = 0; n < ISSUE_MAX && this.#roomy.count > 0; n++) {
      if (!recorder.isDue(next)) return;
      const k = this.#roomy.draw();
      const slot = this.#nextSlot(k);
      if (!this.#exchange.request(this.#pool.connections[k]!, slot)) {
        this.#roomy.remove(k); // until it has drained
        continue;
      }
      recorder.sent(slot, next);
      arrivals.advance();
      if (isRushing) arrivals.hurry(recorder.times);
      this.#tookRequest(k);
    }
  }

  #nextSlot(k: number): number {
    let turn = this.#head[k]! + this.#inFlight[k]!;
    if (turn >= this.#slots) turn -= this.#slots;
    return k * this.#slots + turn;
  }

  #tookRequest(k: number): void {
    const inFlight = (this.#inFlight[k]! + 1) | 0;
    const left = (this.#untilChurn[k]! - (this.#phase === RUNNING ? 1 : 0)) | 0;
    this.#inFlight[k] = inFlight;
    this.#untilChurn[k] = left;
    this.#outstanding = (this.#outstanding + 1) | 0;
    if (inFlight >= this.#depth || left === 0) this.#roomy.remove(k);
  }

  /** Closed loop, and filling: as many requests as the connection may have in flight. */
  #fillUp(k: number): void {
    const isFilling = this.#phase === FILLING;
    if (!isFilling && (this.#phase !== RUNNING || this.#recorder.isOver)) return;
    const c = this.#pool.connections[k]!;
    while (this.#inFlight[k]! < this.#depth && this.#untilChurn[k]! > 0) {
      if (isFilling && !this.#filling!.mayStore()) return;
      const slot = this.#nextSlot(k);
      if (!this.#exchange.request(c, slot)) return; // again when it has drained
      this.#recorder.sentNow(slot);
      this.#tookRequest(k);
    }
  }

  #drained(c: Connection): void {
    const k = c.state as number;
    if (this.#pool.hasEnded || k < 0) return;
    if (this.#arrivals === undefined || this.#phase === FILLING) this.#fillUp(k);
    else this.#mayTake(k);
  }

  #mayTake(k: number): void {
    if (this.#inFlight[k]! < this.#depth && this.#untilChurn[k]! > 0) this.#roomy.add(k);
  }

  // --- answers ---

  #received(c: Connection, offset: number, length: number): number {
    const k = c.state as number;
    if (this.#pool.hasEnded || k < 0) return length;
    if (!this.#isTicked) {
      this.#isTicked = true;
      this.#tick();
    }
    const exchange = this.#exchange;
    let done = 0;
    let answers = 0;
    while (done < length) {
      const slot = k * this.#slots + this.#head[k]!;
      const isAwaited = this.#inFlight[k]! > 0;
      const used = isAwaited ? exchange.answer(k, slot, offset + done, length - done) : -1;
      if (used === 0) break;
      if (used < 0) return this.#wrong(k, offset + done, length);
      done += used;
      if (!exchange.isWhole) continue;
      answers++;
      this.#answered(k, slot);
    }
    if (answers > 0) this.#goOn(k);
    return done;
  }

  #answered(k: number, slot: number): void {
    this.#recorder.answered(slot);
    const head = this.#head[k]! + 1;
    this.#head[k] = head === this.#slots ? 0 : head;
    this.#inFlight[k] = (this.#inFlight[k]! - 1) | 0;
    this.#outstanding = (this.#outstanding - 1) | 0;
  }

  #goOn(k: number): void {
    if (this.#phase === FILLING && this.#filling!.isFilled()) return this.#filled();
    if (this.#untilChurn[k] === 0 && this.#phase === RUNNING) {
      if (this.#inFlight[k] === 0 && this.#hasMore()) this.#pool.reopen(k);
    } else if (this.#arrivals === undefined || this.#phase === FILLING) this.#fillUp(k);
    else this.#mayTake(k);
  }

  #reopened(k: number): void {
    this.#untilChurn[k] = this.#options.churn;
    this.#head[k] = 0;
    this.#exchange.reset(k);
    if (this.#arrivals === undefined) {
      this.#tick();
      this.#fillUp(k);
    } else this.#mayTake(k);
  }

  #wrong(k: number, offset: number, length: number): number {
    const text = Buffer.from(this.#host.u8.subarray(offset, offset + Math.min(length, 80)));
    const asked = this.#inFlight[k]! > 0 ? 'not the answer to what was asked' : 'not asked for';
    this.#pool.fail(`connection ${k}: ${JSON.stringify(text.toString('latin1'))} was ${asked}`);
    this.#phase = ENDED;
    return length;
  }

  // --- the end ---

  #setCounting(): void {
    this.#isCounting = !this.#isCounting;
    this.#exchange.count(this.#isCounting);
    const reading = allocatedBytes();
    // A reading itself counts about 100 KB (V8 closes its allocation buffers); the second one says
    // how much.
    if (this.#isCounting) this.#heap[0] = reading;
    else this.#heap[1] = Math.max(0, reading - this.#heap[0]! - (allocatedBytes() - reading));
  }

  #drainOrFinish(): void {
    const { nowMs, times } = this.#recorder;
    const isLate = nowMs >= times[2]! + this.#options.drainMs;
    if (isLate || (!this.#hasMore() && this.#outstanding === 0)) this.#finish();
  }

  /** Whether requests that count are still to be sent. */
  #hasMore(): boolean {
    if (this.#isWarming) return true; // the measured time comes
    if (this.#arrivals === undefined) return !this.#recorder.isOver;
    return this.#arrivals.nextMs[0]! < this.#recorder.times[2]!;
  }

  /** Requests that count and were never answered, or never sent. */
  #abandonRest(): number {
    let stalled = 0;
    for (let k = 0; k < this.#options.connections; k++) {
      for (let i = 0; i < this.#inFlight[k]!; i++) {
        const turn = (this.#head[k]! + i) % this.#slots;
        if (this.#recorder.abandon(k * this.#slots + turn)) stalled++;
      }
    }
    if (this.#arrivals === undefined) return stalled;
    const next = this.#arrivals.nextMs;
    for (; next[0]! < this.#recorder.times[2]!; this.#arrivals.advance()) {
      if (this.#recorder.abandonDue(next, 0)) stalled++;
    }
    return stalled;
  }

  #finish(): void {
    const wasRunning = this.#phase === RUNNING;
    this.#phase = ENDED;
    this.#host.keepTurning(false);
    const { connections, depth, durationMs, rate, arrival } = this.#options;
    const stalled = wasRunning ? this.#abandonRest() : 0;
    const messages = this.#recorder.counts[0]!;
    const seconds = wasRunning ? durationMs / 1000 : 0;
    const result: LoadResult = {
      kind: 'load',
      messages,
      seconds,
      messagesPerSecond: seconds > 0 ? messages / seconds : 0,
      connections,
      depth,
      ...(rate > 0 ? { offeredPerSecond: rate, arrival } : {}),
      ...this.#recorder.summary(),
      heapBytesPerMessage: messages === 0 ? 0 : this.#heap[1]! / messages,
      stalled,
      ...(this.#options.churn > 0 ? { reopened: this.#pool.reopenedCount } : {}),
      ...this.#exchange.summary(),
    };
    this.#pool.finish(result);
  }

  #reportProgress(): void {
    const { nowMs, counts, latency } = this.#recorder;
    this.#nextProgressMs = nowMs + this.#progress;
    const phase = this.#phase === FILLING ? 'storing' : this.#isWarming ? 'warming' : 'measuring';
    this.#host.report({
      kind: 'load-progress',
      phase: this.#recorder.isOver ? 'draining' : phase,
      answered: counts[1]!,
      sent: counts[2]!,
      p50Ns: latency.percentile(50) * latency.unitNs,
      p99Ns: latency.percentile(99) * latency.unitNs,
    });
  }
}

/**
 * One closed-loop measurement: warm-up, measured time, and the time of every message in flight.
 *
 * - A *slot* is one message in flight; in a closed loop every slot is always waiting for an answer.
 *   `sent` stamps it, `turn` records its round trip and stamps the next message, which leaves in
 *   the same batch.
 * - Clock `batch`: microseconds of the batch, no clock read. Clock `fine`: performance.now() once
 *   per message (about 50 ns, and no heap: a stored double is not boxed).
 * - Messages count when their answer arrives inside the measured time.
 * - Nothing is allocated per message.
 *
 * Called by echo-client.ts and kv-client.ts.
 */
import { getHeapStatistics } from 'node:v8';
import type { Ix } from '../../libix/index.ts';
import { Histogram } from '../result/histogram.ts';
import type { LoadResult } from '../result/result.ts';
import type { ClosedLoopOptions } from './options.ts';

const IDLE = 0;
const WARMING = 1;
const MEASURING = 2;
const ENDED = 3;

/** A message that waited this long at the end is counted as stalled. */
const STALLED_US = 500_000;

const allocatedBytes = (): number => getHeapStatistics().total_allocated_bytes;

export class Measurement {
  readonly histogram: Histogram;
  readonly #ix: Ix;
  readonly #options: ClosedLoopOptions;
  readonly #isFine: boolean;
  /**
   * When the message in each slot was sent: batch microseconds, or milliseconds of
   * performance.now().
   */
  readonly #sentUs: Int32Array;
  readonly #sentMs: Float64Array;
  #phase = IDLE;
  #startMs = 0;
  #startAllocated = 0;

  constructor(ix: Ix, options: ClosedLoopOptions) {
    const slots = options.connections * options.depth;
    this.#ix = ix;
    this.#options = options;
    this.#isFine = options.clock === 'fine';
    this.histogram = new Histogram(this.#isFine ? 1 : 1000);
    this.#sentUs = new Int32Array(this.#isFine ? 0 : slots);
    this.#sentMs = new Float64Array(this.#isFine ? slots : 0);
  }

  get isMeasuring(): boolean {
    return this.#phase === MEASURING;
  }

  /** Warm-up starts now; `onEnd` gets the result. The caller's messages are on their way. */
  begin(onEnd: (result: LoadResult) => void): void {
    this.#phase = WARMING;
    const end = () => onEnd(this.#end());
    this.#ix.timer(this.#options.warmupMs * 1000, () => {
      this.#start();
      this.#ix.timer(this.#options.durationMs * 1000, end);
    });
  }

  sent(slot: number): void {
    if (this.#isFine) this.#sentMs[slot] = performance.now();
    else this.#sentUs[slot] = this.#ix.nowUs();
  }

  /** The answer is here, and the next message leaves with this batch. */
  turn(slot: number): void {
    if (this.#isFine) {
      const nowMs = performance.now();
      if (this.#phase === MEASURING) {
        this.histogram.record(((nowMs - this.#sentMs[slot]!) * 1e6) | 0);
      }
      this.#sentMs[slot] = nowMs;
    } else {
      const nowUs = this.#ix.nowUs();
      if (this.#phase === MEASURING) this.histogram.record((nowUs - this.#sentUs[slot]!) | 0);
      this.#sentUs[slot] = nowUs;
    }
  }

  #start(): void {
    this.histogram.reset();
    this.#startAllocated = allocatedBytes();
    this.#startMs = performance.now();
    this.#phase = MEASURING;
  }

  #end(): LoadResult {
    const seconds = (performance.now() - this.#startMs) / 1000;
    const endAllocated = allocatedBytes();
    // A reading itself counts about 100 KB (V8 closes its allocation buffers); the second one says
    // how much.
    const reading = allocatedBytes() - endAllocated;
    const allocated = Math.max(0, endAllocated - this.#startAllocated - reading);
    this.#phase = ENDED;
    const messages = this.histogram.count;
    return {
      kind: 'load',
      messages,
      seconds,
      messagesPerSecond: messages / seconds,
      connections: this.#options.connections,
      depth: this.#options.depth,
      latency: this.histogram.summary(),
      histogram: this.histogram.toJSON(),
      heapBytesPerMessage: messages === 0 ? 0 : allocated / messages,
      stalled: this.#stalled(),
    };
  }

  #stalled(): number {
    const nowUs = this.#ix.nowUs();
    const nowMs = performance.now();
    let stalled = 0;
    for (const us of this.#sentUs) if (((nowUs - us) | 0) > STALLED_US) stalled++;
    for (const ms of this.#sentMs) if (nowMs - ms > STALLED_US / 1000) stalled++;
    return stalled;
  }
}

/**
 * Reports of an application (`ix.report`) between its thread and the channel: no more than
 * REPORTS_BYTES_MAX.
 *
 * - A thread that reports without a pause is faster than the main thread, and the main thread than
 *   a control plane that does not read, or has died: without a bound their queues would take all
 *   memory. So the thread counts what is under way, in a word that both see, and the main thread
 *   takes it off when the channel has it.
 *
 * Called by the threads (src/application/worker.ts, worker.ts) and the main threads that pass
 * reports on.
 */
import { REPORTS_BYTES_MAX } from '../limits.ts';

/** What a queued message takes beside its bytes, about. */
const MESSAGE_BYTES = 256;

/** From a thread to its main thread. */
export interface ReportMessage {
  type: 'report';
  json: string;
}

/** What a main thread gives each of its threads (`workerData`). */
export interface WorkerInput<Config> {
  config: Config;
  /** Number of the thread. */
  index: number;
  /** Bytes of reports under way. */
  reports: SharedArrayBuffer;
}

export const makeUnderWay = (): SharedArrayBuffer => new SharedArrayBuffer(4);

const sizeOf = (json: string): number => Buffer.byteLength(json) + MESSAGE_BYTES;

/** What sends a thread's reports; false: there is no room. */
export function reporter(
  underWay: SharedArrayBuffer,
  post: (message: ReportMessage) => void,
): (json: string) => boolean {
  const word = new Int32Array(underWay);
  return (json) => {
    const bytes = sizeOf(json);
    if (Atomics.load(word, 0) + bytes > REPORTS_BYTES_MAX) return false;
    Atomics.add(word, 0, bytes);
    post({ type: 'report', json });
    return true;
  };
}

/** The main thread has got rid of one. */
export function passedOn(underWay: SharedArrayBuffer, { json }: ReportMessage): void {
  Atomics.sub(new Int32Array(underWay), 0, sizeOf(json));
}

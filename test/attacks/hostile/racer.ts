/**
 * A second thread of the hostile application: writes into the shared arrays while the dataplane
 * reads them.
 *
 * - `words` are written over and over, each with its next value of `values`, until `stop`: no lock,
 *   no pause.
 */
import { Worker } from 'node:worker_threads';
import type { HostileGate } from './gate.ts';

const SOURCE = `
const { buffer, writes, control } = require('node:worker_threads').workerData;
const i32 = new Int32Array(buffer);
const flag = new Int32Array(control);
Atomics.store(flag, 0, 1);
Atomics.notify(flag, 0);
for (let n = 0; Atomics.load(flag, 1) === 0; n++) {
  for (const { word, values } of writes) i32[word] = values[n % values.length];
}
Atomics.store(flag, 2, 1);
Atomics.notify(flag, 2);
`;

export interface Write {
  word: number;
  values: number[];
}

/** Does `work` while another thread writes. */
export function raced<T>(gate: HostileGate, writes: readonly Write[], work: () => T): T {
  const control = new SharedArrayBuffer(12);
  const flag = new Int32Array(control);
  const workerData = { buffer: gate.i32.buffer, writes, control };
  const racer = new Worker(SOURCE, { eval: true, workerData });
  racer.unref();
  Atomics.wait(flag, 0, 0, 5000);
  try {
    return work();
  } finally {
    Atomics.store(flag, 1, 1);
    Atomics.wait(flag, 2, 0, 5000);
  }
}

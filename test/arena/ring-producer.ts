/** The other thread of ring.test.ts: produces `total` records in batches of random size. */
import { workerData } from 'node:worker_threads';
import { RingProducer } from '../../src/arena/ring.ts';
import { randomFrom } from './property.ts';

const { i32, wordOffset, entries, words, total, seed } = workerData as {
  i32: Int32Array<SharedArrayBuffer>;
  wordOffset: number;
  entries: number;
  words: number;
  total: number;
  seed: number;
};
const producer = new RingProducer(i32, wordOffset, entries, words);
const random = randomFrom(seed);
let sent = 0;
while (sent < total) {
  const wanted = 1 + (random() % entries);
  const batch = Math.min(producer.free(wanted), wanted, total - sent);
  for (let i = 0; i < batch; i++) {
    const at = producer.slot(i);
    for (let word = 0; word < words; word++) i32[at + word] = Math.imul(sent + i, 31) + word;
  }
  if (batch > 0) producer.publish(batch);
  sent += batch;
}

/** The ring against an array, over the wrap of its indexes, against liars, between two threads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { RingConsumer, RingProducer, ringBytes } from '../../src/arena/ring.ts';
import { InvariantError, VERIFY } from '../../src/verify.ts';
import { bytesPerOperation, holds, randomFrom, SEED } from './property.ts';

const WORDS = 4;
/** Words of the two indexes in a ring. */
const PRODUCER_INDEX = 0;
const CONSUMER_INDEX = 16;

interface Ends {
  i32: Int32Array<SharedArrayBuffer>;
  producer: RingProducer;
  consumer: RingConsumer;
}

/** A ring at word 16 of a memory, both indexes at `index`. */
function ringOf(entries: number, index = 0): Ends {
  const i32 = new Int32Array(new SharedArrayBuffer(64 + ringBytes(entries, WORDS)));
  i32[16 + PRODUCER_INDEX] = index;
  i32[16 + CONSUMER_INDEX] = index;
  return {
    i32,
    producer: new RingProducer(i32, 16, entries, WORDS),
    consumer: new RingConsumer(i32, 16, entries, WORDS),
  };
}

test('anySequence_publishRelease_asQueueOverIndexWrap', () => {
  const index = fc.constantFrom(0, 2 ** 31 - 1, -(2 ** 31), 2 ** 31 - 7, -3, -1);
  const entries = fc.constantFrom(1, 2, 4, 8);
  const step = fc.record({ publish: fc.boolean(), count: fc.integer({ min: 0, max: 8 }) });
  holds(
    fc.property(index, entries, fc.array(step, { maxLength: 60 }), (index, entries, steps) => {
      const { i32, producer, consumer } = ringOf(entries, index);
      const queue: number[] = [];
      let next = 0;
      for (const { publish, count } of steps) {
        if (publish) {
          const free = producer.free(entries);
          assert.equal(free, entries - queue.length);
          const batch = Math.min(count, free);
          for (let i = 0; i < batch; i++) {
            const at = producer.slot(i);
            for (let word = 0; word < WORDS; word++) i32[at + word] = next * WORDS + word;
            queue.push(next++);
          }
          producer.publish(batch);
        } else {
          const available = consumer.available(entries);
          assert.equal(available, queue.length);
          const batch = Math.min(count, available);
          for (let i = 0; i < batch; i++) {
            const at = consumer.slot(i);
            const record = queue.shift()!;
            for (let word = 0; word < WORDS; word++)
              assert.equal(i32[at + word], record * WORDS + word);
          }
          consumer.release(batch);
        }
      }
    }),
    1000,
  );
});

test('attachedAgain_bothEnds_goOnWhereTheyStopped', () => {
  const { i32, producer, consumer } = ringOf(4, 2 ** 31 - 2);
  i32[producer.slot(0)] = 7;
  i32[producer.slot(1)] = 8;
  i32[producer.slot(2)] = 9;
  producer.publish(3);
  assert.equal(consumer.available(), 3);
  consumer.release(1);
  const laterProducer = new RingProducer(i32, 16, 4, WORDS);
  const laterConsumer = new RingConsumer(i32, 16, 4, WORDS);
  assert.equal(laterProducer.free(4), 2);
  assert.equal(laterConsumer.available(4), 2);
  assert.equal(i32[laterConsumer.slot(0)], 8);
  assert.equal(i32[laterConsumer.slot(1)], 9);
});

test('published_cachedFree_looksAgainOnlyWhenLessThanWanted', () => {
  const { producer, consumer } = ringOf(4);
  assert.equal(producer.free(), 4);
  producer.publish(3);
  consumer.release(consumer.available());
  assert.equal(producer.free(), 1);
  assert.equal(producer.free(2), 4);
});

test('lyingConsumer_free_staysInRange', () => {
  for (const index of [0, 2 ** 31 - 1]) {
    const { i32, producer } = ringOf(4, index);
    producer.free();
    producer.publish(2);
    for (const lie of [3, -3, 100, -100, 2 ** 31 - 1, -(2 ** 31)]) {
      i32[16 + CONSUMER_INDEX] = index + lie;
      assert.equal(producer.free(4), 2, `index ${lie}`);
    }
    i32[16 + CONSUMER_INDEX] = index + 1;
    assert.equal(producer.free(4), 3);
  }
});

test('lyingProducer_available_staysInRange', () => {
  for (const index of [0, 2 ** 31 - 1]) {
    const { i32, consumer } = ringOf(4, index);
    i32[16 + PRODUCER_INDEX] = index + 2;
    assert.equal(consumer.available(), 2);
    for (const lie of [1, 5, -1, 100, 2 ** 31 - 1, -(2 ** 31)]) {
      i32[16 + PRODUCER_INDEX] = index + lie;
      assert.equal(consumer.available(4), 2, `index ${lie}`);
    }
    i32[16 + PRODUCER_INDEX] = index + 4;
    assert.equal(consumer.available(4), 4);
  }
});

test('tooMuch_publishOrRelease_isCaught', { skip: !VERIFY }, () => {
  const { producer, consumer } = ringOf(2);
  assert.throws(() => producer.publish(3), InvariantError);
  assert.throws(() => producer.slot(2), InvariantError);
  assert.throws(() => consumer.release(1), InvariantError);
  assert.throws(() => consumer.slot(0), InvariantError);
  assert.throws(() => ringOf(3), InvariantError);
});

test('twoThreads_300000Records_arriveInOrderAndWhole', { timeout: 60_000 }, async () => {
  const entries = 64;
  const total = 300_000;
  const { i32, consumer } = ringOf(entries, 2 ** 31 - 100_000);
  const worker = new Worker(new URL('ring-producer.ts', import.meta.url), {
    workerData: { i32, wordOffset: 16, entries, words: WORDS, total, seed: SEED },
  });
  const ended = new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', resolve);
  });
  await new Promise((resolve) => worker.once('online', resolve));
  const random = randomFrom(~SEED);
  let received = 0;
  while (received < total) {
    const batch = Math.min(consumer.available(), 1 + (random() % entries));
    for (let i = 0; i < batch; i++) {
      const at = consumer.slot(i);
      const expected = received + i;
      for (let word = 0; word < WORDS; word++) {
        if (i32[at + word] !== Math.imul(expected, 31) + word) {
          assert.fail(`record ${expected}, word ${word}: ${i32[at + word]}`);
        }
      }
    }
    if (batch > 0) consumer.release(batch);
    received += batch;
  }
  assert.equal(await ended, 0);
  assert.equal(consumer.available(), 0);
});

test('publishRelease_million_allocateNothing', () => {
  const { i32, producer, consumer } = ringOf(64, 2 ** 31 - 500_000);
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i += 8) {
      if (producer.free(8) < 8) throw new Error('the ring is full');
      for (let k = 0; k < 8; k++) i32[producer.slot(k)] = i + k;
      producer.publish(8);
      const available = consumer.available();
      for (let k = 0; k < available; k++)
        if (i32[consumer.slot(k)] !== i + k) throw new Error('lost');
      consumer.release(available);
    }
  });
  assert.ok(bytes < 0.1, `${bytes} bytes per operation`);
});

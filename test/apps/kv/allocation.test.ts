/**
 * Nothing is allocated per message, and what a message costs in the store's own code.
 *
 * The connection is the cheapest one that keeps the contract: it remembers the tags of what was
 * sent and releases them a batch later. Nanoseconds (of the best of ten rounds) are printed, and
 * bounded loosely: this is no benchmark.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import v8 from 'node:v8';
import type { KvConnection } from '../../../src/apps/kv/host.ts';
import { createKv } from '../../../src/apps/kv/kv.ts';
import { VERIFY } from '../../../src/verify.ts';
import { FakeIx } from './fake-ix.ts';

const MESSAGES = 1_000_000;
/** Bytes a message. */
const BYTES_MAX = 1;
const KEYS = 10_000;
/** Requests in one delivery. */
const PIPELINE = 4;

class QuietConnection implements KvConnection {
  midRequest = false;
  readonly id = 0;
  readonly tags = new Int32Array(4096);
  count = 0;
  queuedBytes = 0;
  get writable(): boolean {
    return this.queuedBytes < 262_144;
  }
  send(_offset: number, length: number, tag = 0): boolean {
    this.queuedBytes = (this.queuedBytes + length) | 0;
    if (tag > 0) {
      this.tags[this.count] = tag;
      this.count = (this.count + 1) | 0;
    }
    return true;
  }
  write(_offset: number, length: number): boolean {
    this.queuedBytes = (this.queuedBytes + length) | 0;
    return true;
  }
  close(): void {}
  pause(): void {}
  resume(): void {}
  abort(): void {}
}

const allocated = (): number =>
  (v8.getHeapStatistics() as unknown as { total_allocated_bytes: number }).total_allocated_bytes;

test('getAndSet_millionMessages_allocateNothing', () => {
  const ix = new FakeIx({ mebibytes: 80 });
  const kv = createKv(ix, { mebibytes: 64, port: 1 });
  const c = new QuietConnection();
  kv.handlers.opened(c);
  /** Requests of 22-byte keys and 32-byte values, one after the other; and where each begins. */
  const place = (request: (i: number) => string): Int32Array => {
    const starts = new Int32Array(KEYS + 1);
    for (let i = 0; i < KEYS; i++) {
      const bytes = Buffer.from(request(i));
      starts[i] = ix.alloc(bytes.length, 1);
      ix.u8.set(bytes, starts[i]!);
      starts[i + 1] = starts[i]! + bytes.length;
    }
    return starts;
  };
  const key = (i: number): string => `key:${`${i * 7919}`.padStart(18, '0')}`;
  const sets = place((i) => `set ${key(i)} 0 0 32\r\n${'v'.repeat(32)}\r\n`);
  const gets = place((i) => `get ${key(i)}\r\n`);
  const run = (requests: Int32Array, messages: number): void => {
    for (let n = 0; n < messages; n += PIPELINE) {
      const i = (n * 101) % (KEYS - PIPELINE);
      const offset = requests[i]!;
      const length = requests[i + PIPELINE]! - offset;
      assert.equal(kv.handlers.received(c, offset, length), length);
      for (let t = 0; t < c.count; t++) kv.handlers.released(c, c.tags[t]!);
      c.count = 0;
      c.queuedBytes = 0;
    }
  };
  const report = (name: string, requests: Int32Array): void => {
    run(requests, MESSAGES / 4);
    let ns = Number.POSITIVE_INFINITY;
    let bytes = Number.POSITIVE_INFINITY;
    // The compiler allocates too, at its own times: what messages allocate would show in every
    // attempt.
    for (let attempt = 0; attempt < 8 && bytes >= BYTES_MAX; attempt++) {
      const before = allocated();
      for (let round = 0; round < 10; round++) {
        const start = process.hrtime.bigint();
        run(requests, MESSAGES / 10);
        ns = Math.min(ns, Number(process.hrtime.bigint() - start) / (MESSAGES / 10));
      }
      bytes = (allocated() - before) / MESSAGES;
    }
    console.log(`# ${name}: ${ns.toFixed(0)} ns and ${bytes.toFixed(3)} bytes allocated a message`);
    assert.ok(bytes < BYTES_MAX, `${name}: ${bytes} bytes a message`);
    if (!VERIFY) assert.ok(ns < 5000, `${name}: ${ns} ns`);
  };
  run(sets, KEYS * PIPELINE);
  report('set, 22-byte key, 32-byte value', sets);
  report('get, 22-byte key, 32-byte value', gets);
  report('set again', sets);
  const metaSets = place((i) => `ms ${key(i)} 32 T0 c O${i}\r\n${'v'.repeat(32)}\r\n`);
  const metaGets = place((i) => `mg ${key(i)} v f t k O${i}\r\n`);
  report('ms, 22-byte key, 32-byte value', metaSets);
  report('mg, 22-byte key, 32-byte value', metaGets);
  assert.equal(kv.store.counts.get('get_misses'), 0);
  assert.ok(kv.store.counts.get('get_hits') >= 2 * MESSAGES);
});

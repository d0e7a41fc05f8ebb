/**
 * A store over the fake, and the check that ends every test: nothing is held when everything is
 * deleted.
 */
import assert from 'node:assert/strict';
import { createKv, type Kv } from '../../../src/apps/kv/kv.ts';
import { type FakeConnection, FakeIx, type FakeOptions } from './fake-ix.ts';

export interface Fixture extends Kv {
  ix: FakeIx;
  c: FakeConnection;
}

export function startKv(m = 2, options: FakeOptions & { idleSeconds?: number } = {}): Fixture {
  const ix = new FakeIx({ mebibytes: m + 2 + Math.ceil(m / 3), ...options });
  const { idleSeconds = 0 } = options;
  const kv = createKv(ix, { mebibytes: m, port: 11211, idleSeconds });
  ix.listen(11211, kv.handlers);
  ix.every(1_000_000, kv.tick);
  return { ...kv, ix, c: ix.connect() };
}

/** Ends all connections and deletes all items: then every chunk and every count is back. */
export function assertAllHome({ ix, store, held, stats }: Fixture): void {
  ix.endAll();
  store.purge(true);
  assert.ok(store.slabs.allHome(), 'a chunk is still in use');
  assert.equal(store.pinnedBytes, 0);
  assert.equal(store.counts.get('upload_bytes'), 0);
  assert.ok(held.allHome(), 'a block of keys is still in use');
  assert.equal(store.counts.get('curr_items'), 0);
  assert.equal(store.counts.get('bytes'), 0);
  assert.equal(stats.connections, 0);
}

export interface Random {
  next(): number;
  below(n: number): number;
}

/**
 * A seeded generator (mulberry32); the seed comes from the environment or the clock and is printed.
 */
export function seeded(name: string): Random {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  console.log(`# ${name}: SEED=${seed}`);
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, below: (n) => Math.floor(next() * n) };
}

/** Equality of long answers; a failure shows the surroundings of the first difference only. */
export function assertSame(actual: string, expected: string, message = ''): void {
  if (actual === expected) return;
  let at = 0;
  while (actual[at] === expected[at] && at < actual.length) at++;
  const from = Math.max(0, at - 60);
  const show = (text: string): string => JSON.stringify(text.slice(from, at + 60));
  assert.fail(
    `${message} differs at ${at}:\n  actual   ${show(actual)}\n  expected ${show(expected)}`,
  );
}

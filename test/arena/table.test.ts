/** The hash table against a Map, and full, under churn of its keys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arena } from '../../src/arena/arena.ts';
import { Table } from '../../src/arena/table.ts';
import { InvariantError, VERIFY } from '../../src/verify.ts';
import { bytesPerOperation, holds, randomFrom, SEED } from './property.ts';

const tableOf = (capacity: number, secret0 = 1, secret1 = 2): Table =>
  new Table(new Arena(2 ** 20), 'table', capacity, secret0, secret1);

/** Few enough keys that clusters collide, run over the table's end and fill it up. */
const KEYS = [...Array(24).keys()].map(
  (i) => [0x0a4d0002, i & 1 ? -1 : i, (i << 27) | 80] as const,
);

type Step = { insert: boolean; key: number };
const steps = fc.array(
  fc.record({ insert: fc.boolean(), key: fc.integer({ min: 0, max: KEYS.length - 1 }) }),
  { minLength: 20, maxLength: 200 },
);

function agrees(table: Table, model: Map<number, number>): void {
  assert.equal(table.count, model.size);
  for (let key = 0; key < KEYS.length; key++) {
    assert.equal(table.find(...KEYS[key]!), model.get(key) ?? -1);
  }
}

test('anySequence_insertRemove_asMap', () => {
  const secret = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const capacity = fc.integer({ min: 1, max: 16 });
  holds(
    fc.property(capacity, secret, secret, steps, (capacity, secret0, secret1, steps: Step[]) => {
      const table = tableOf(capacity, secret0, secret1);
      const model = new Map<number, number>();
      let value = 0;
      for (const { insert, key } of steps) {
        if (!insert) assert.equal(table.remove(...KEYS[key]!), model.delete(key));
        else if (!model.has(key)) {
          const isRoom = model.size < capacity;
          assert.equal(table.insert(...KEYS[key]!, value), isRoom);
          if (isRoom) model.set(key, value++);
        }
        agrees(table, model);
      }
      for (const key of [...model.keys()]) {
        assert.ok(table.remove(...KEYS[key]!));
        model.delete(key);
        agrees(table, model);
      }
    }),
    1000,
  );
});

test('full_churnOfKeys_keepsEveryKey', () => {
  const capacity = 4096;
  const table = tableOf(capacity, SEED, ~SEED);
  const random = randomFrom(SEED);
  const keys: [number, number, number][] = [];
  const fresh = (): [number, number, number] => [random() | 0, random() | 0, random() | 0];
  for (let value = 0; value < capacity; value++) {
    keys.push(fresh());
    assert.ok(table.insert(...keys[value]!, value));
  }
  assert.equal(table.insert(...fresh(), 1), false);
  for (let round = 0; round < 200_000; round++) {
    const value = random() % capacity;
    assert.ok(table.remove(...keys[value]!));
    assert.equal(table.find(...keys[value]!), -1);
    keys[value] = fresh();
    assert.ok(table.insert(...keys[value]!, value));
  }
  for (let value = 0; value < capacity; value++) {
    assert.equal(table.find(...keys[value]!), value);
    assert.ok(table.remove(...keys[value]!));
  }
  assert.equal(table.count, 0);
});

test('maximumValue_find_isReturned', () => {
  const table = tableOf(1);
  assert.ok(table.insert(0, 0, 0, 2 ** 31 - 1));
  assert.equal(table.find(0, 0, 0), 2 ** 31 - 1);
});

test('sameKeyTwice_insert_isCaught', { skip: !VERIFY }, () => {
  const table = tableOf(4);
  table.insert(1, 2, 3, 4);
  assert.throws(() => table.insert(1, 2, 3, 5), InvariantError);
  assert.throws(() => table.insert(1, 2, 4, -1), InvariantError);
  assert.throws(() => table.insert(0xffffffff, 2, 4, 1), InvariantError);
});

test('findInsertRemove_million_allocateNothing', () => {
  const table = tableOf(1024);
  for (let i = 0; i < 1000; i++) table.insert(i, 2, 3, i);
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) {
      table.find(i & 2047, 2, 3);
      if ((i & 3) === 0) {
        table.remove(i % 1000, 2, 3);
        table.insert(i % 1000, 2, 3, i);
      }
    }
  });
  assert.ok(bytes < 0.1, `${bytes} bytes per operation`);
});

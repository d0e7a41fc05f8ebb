/** Free lists and linked lists against sets and arrays, in any order of calls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arena } from '../../src/arena/arena.ts';
import { FreeList, IndexList } from '../../src/arena/list.ts';
import { InvariantError, VERIFY } from '../../src/verify.ts';
import { bytesPerOperation, holds } from './property.ts';

const arenaOf = (): Arena => new Arena(2 ** 18);

test('anySequence_takeGive_handsOutEachIndexOnce', () => {
  const count = fc.integer({ min: 1, max: 12 });
  holds(
    fc.property(count, fc.array(fc.nat()), (count, steps) => {
      const list = new FreeList(arenaOf(), 'free', count);
      const taken: number[] = [];
      for (const step of steps) {
        if (step % 2 === 0) {
          const index = list.take();
          if (taken.length === count) assert.equal(index, -1);
          else {
            assert.ok(index >= 0 && index < count && !taken.includes(index));
            taken.push(index);
          }
        } else if (taken.length > 0) {
          list.give(taken.splice(step % taken.length, 1)[0]!);
        }
        assert.equal(list.free, count - taken.length);
        assert.equal(list.allHome(), taken.length === 0);
      }
      for (const index of taken) list.give(index);
      assert.ok(list.allHome());
    }),
  );
});

test('new_take_startsAtZeroAndReusesTheWarmest', () => {
  const list = new FreeList(arenaOf(), 'free', 3);
  assert.deepEqual([list.take(), list.take(), list.take(), list.take()], [0, 1, 2, -1]);
  list.give(1);
  list.give(0);
  assert.deepEqual([list.take(), list.take(), list.take()], [0, 1, -1]);
});

test('sameIndexTwice_give_isCaught', { skip: !VERIFY }, () => {
  const list = new FreeList(arenaOf(), 'free', 3);
  const index = list.take();
  list.give(index);
  assert.throws(() => list.give(index), InvariantError);
  assert.throws(() => list.give(3), InvariantError);
  assert.throws(() => list.give(-1), InvariantError);
});

const NODES = 10;
const LISTS = 3;

function contents(links: IndexList, list: number): number[] {
  const nodes: number[] = [];
  for (let node = links.first(list); node >= 0; node = links.next(node)) nodes.push(node);
  return nodes;
}

test('anySequence_linkUnlink_asArrays', () => {
  const step = fc.record({
    kind: fc.constantFrom('push', 'unshift', 'remove', 'shift'),
    node: fc.integer({ min: 0, max: NODES - 1 }),
    list: fc.integer({ min: 0, max: LISTS - 1 }),
  });
  holds(
    fc.property(fc.array(step), (steps) => {
      const links = new IndexList(arenaOf(), 'links', NODES, LISTS);
      const model: number[][] = [[], [], []];
      for (const { kind, node, list } of steps) {
        const owner = model.find((nodes) => nodes.includes(node));
        assert.equal(links.isLinked(node), owner !== undefined);
        if (kind === 'shift') assert.equal(links.shift(list), model[list]!.shift() ?? -1);
        else if (kind === 'remove') {
          if (!owner) continue;
          links.remove(node);
          owner.splice(owner.indexOf(node), 1);
        } else if (!owner) {
          links[kind as 'push' | 'unshift'](node, list);
          model[list]![kind as 'push' | 'unshift'](node);
        }
        for (let l = 0; l < LISTS; l++) {
          assert.deepEqual(contents(links, l), model[l]);
          assert.equal(links.last(l), model[l]!.at(-1) ?? -1);
          assert.equal(links.isEmpty(l), model[l]!.length === 0);
        }
      }
    }),
    1000,
  );
});

test('linkedNode_insertedAgain_isCaught', { skip: !VERIFY }, () => {
  const links = new IndexList(arenaOf(), 'links', 4, 2);
  links.push(1, 0);
  assert.throws(() => links.push(1, 1), InvariantError);
  assert.throws(() => links.unshift(1, 0), InvariantError);
  assert.throws(() => links.remove(2), InvariantError);
  assert.throws(() => links.push(4, 0), InvariantError);
  assert.throws(() => links.push(2, 2), InvariantError);
  links.remove(1);
  assert.throws(() => links.remove(1), InvariantError);
});

test('takeGivePushShift_million_allocateNothing', () => {
  const arena = arenaOf();
  const free = new FreeList(arena, 'free', 100);
  const links = new IndexList(arena, 'links', 100, 2);
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) {
      links.push(free.take(), i & 1);
      if (free.free === 0) {
        for (let node = links.shift(0); node >= 0; node = links.shift(0)) free.give(node);
        for (let node = links.shift(1); node >= 0; node = links.shift(1)) free.give(node);
      }
    }
  });
  assert.ok(bytes < 0.1, `${bytes} bytes per operation`);
});

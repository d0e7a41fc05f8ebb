/**
 * Virtual time, paths and the small containers of the simulator.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Intervals } from '../../sim/intervals.ts';
import { FATE, Path, type PathOptions } from '../../sim/path.ts';
import { Random } from '../../sim/random.ts';
import { Schedule } from '../../sim/schedule.ts';

const SEED = Number(process.env['SEED'] ?? 1);

test('schedule_manyActions_inOrderOfTimeThenOfArrival', () => {
  const random = new Random(SEED);
  const schedule = new Schedule();
  const planned: { at: number; i: number }[] = [];
  const done: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const at = random.below(300);
    planned.push({ at, i });
    schedule.at(at, () => done.push(i));
  }
  while (schedule.count > 0) {
    assert.ok(schedule.next >= schedule.now);
    schedule.now = schedule.next;
    schedule.take()();
  }
  planned.sort((a, b) => a.at - b.at || a.i - b.i);
  assert.deepEqual(
    done,
    planned.map(({ i }) => i),
    `SEED=${SEED}`,
  );
  assert.equal(schedule.next, Number.POSITIVE_INFINITY);
});

test('intervals_randomPieces_sameAsASet', () => {
  const random = new Random(SEED);
  for (let round = 0; round < 200; round++) {
    const intervals = new Intervals();
    const set = new Set<number>();
    for (let i = 0; i < 40; i++) {
      const start = random.below(100);
      const end = start + random.between(1, 8);
      intervals.add(start, end);
      for (let n = start; n < end; n++) set.add(n);
      let next = 0;
      while (set.has(next)) next++;
      assert.equal(intervals.next, next, `SEED=${SEED}`);
      const from = random.below(100);
      const to = from + random.between(1, 6);
      const isThere = Array.from({ length: to - from }, (_, k) => from + k).every((n) =>
        set.has(n),
      );
      assert.equal(intervals.has(from, to), isThere, `SEED=${SEED} [${from}, ${to})`);
    }
  }
});

/** Arrival times of `count` frames of 1000 bytes, sent `gapUs` apart. */
function arrivals(options: PathOptions, count: number, gapUs: number): number[] {
  const path = new Path(options, new Random(SEED));
  return Array.from({ length: count }, (_, i) => path.send(i * gapUs, 1000, true));
}

test('path_plain_delaysOnly', () => {
  assert.deepEqual(arrivals({ delayUs: 100 }, 3, 10), [100, 110, 120]);
});

test('path_rate_serialisesAndDropsBehindAFullQueue', () => {
  // 10 bytes a microsecond: 100 us a frame; three frames fit the queue
  const at = arrivals({ rate: 10, queueBytes: 3000 }, 5, 0);
  assert.deepEqual(at, [100, 200, 300, FATE.queueFull, FATE.queueFull]);
});

test('path_loss_happensAsOftenAsAsked', () => {
  const lost = arrivals({ loss: 0.1 }, 20_000, 1).filter((at) => at === FATE.lost).length;
  assert.ok(lost > 1700 && lost < 2300, `${lost} of 20000, SEED=${SEED}`);
});

test('path_burst_losesRunsOfTheAskedLength', () => {
  const fates = arrivals({ burst: { enter: 0.01, exit: 0.2 } }, 50_000, 1).map((at) => at < 0);
  const runs = fates.filter((isLost, i) => isLost && !fates[i - 1]).length;
  const mean = fates.filter(Boolean).length / runs;
  assert.ok(mean > 4 && mean < 6, `mean ${mean}, SEED=${SEED}`);
});

test('path_jitterInOrder_neverOvertakes', () => {
  const at = arrivals({ jitterUs: 1000, inOrder: true }, 500, 1);
  assert.ok(at.every((time, i) => i === 0 || time >= at[i - 1]!));
  const free = arrivals({ jitterUs: 1000 }, 500, 1);
  assert.ok(free.some((time, i) => i > 0 && time < free[i - 1]!));
});

test('path_down_losesEverything', () => {
  const path = new Path({}, new Random(SEED));
  path.downs = 1;
  assert.equal(path.send(0, 100, true), FATE.down);
  path.downs = 0;
  assert.equal(path.send(0, 100, true), 0);
});

test('path_corruption_neverTouchesTheEthernetHeader', () => {
  const path = new Path({ corrupt: 1 }, new Random(SEED));
  for (let i = 0; i < 2000; i++) {
    path.send(i, 60, true);
    assert.ok(path.corruptBit >= 112 && path.corruptBit < 480);
  }
  assert.equal(path.send(0, 60, false), FATE.lost, 'ARP: the frame check drops it');
});

test('random_sameSeed_sameStream_andForksDiffer', () => {
  const a = new Random(SEED);
  const b = new Random(SEED);
  assert.deepEqual([a.word(), a.word()], [b.word(), b.word()]);
  assert.notEqual(new Random(SEED).fork(1).word(), new Random(SEED).fork(2).word());
});

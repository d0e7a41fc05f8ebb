/** When an elastic thread's loop runs, sleeps and wakes: real descriptors, a time of its own. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import type { IdlePolicy } from '../../src/child/config.ts';
import { COUNTER } from '../../src/counters.ts';
import { BY_BELL, BY_LOOP, BY_NIC } from '../../src/dataplane/nap.ts';
import { Runner, type RunnerParts } from '../../src/dataplane/runner.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';

const allocatedBytes = (): number => getHeapStatistics().total_allocated_bytes;

const EFD_NONBLOCK = 0o4000;
const FAR_US = 60_000_000;
const rung = new BigUint64Array([1n]);
const taken = new Uint8Array(8);

/** A runner whose thread takes 50 us a turn and has work for as many turns as a test says. */
function make(policy: IdlePolicy) {
  const bell = must(sys.syscall(SYS.eventfd2, 0, EFD_NONBLOCK), 'eventfd2');
  const frame = must(sys.syscall(SYS.eventfd2, 0, EFD_NONBLOCK), 'eventfd2');
  const r = {
    ...{ us: 0x7fff_ff00 | 0, turns: 0, work: 0, sleeps: 0, wakes: 0, dueUs: FAR_US },
    ...{ maySleep: true, isGone: false, failures: [] as unknown[], drained: 0 },
    /** Naps, and what ends each: by default its time. */
    ...{ naps: [] as number[], by: (_us: number): number => 0, lateUs: 0, rest: -1 },
    onTurn: (): void => {},
    ring: () => void sys.syscall(SYS.write, bell, rung, 8),
    arrive: () => void sys.syscall(SYS.write, frame, rung, 8),
    close: () => {
      r.runner.stop();
      for (const fd of [bell, frame]) sys.syscall(SYS.close, fd);
    },
    runner: undefined as unknown as Runner,
  };
  const take = (fd: number): void => void sys.syscall(SYS.read, fd, taken, 8);
  const parts = {
    policy,
    thread: {
      get us() {
        return r.us;
      },
      readClock: () => r.us,
      turn: () => {
        take(frame);
        r.us = (r.us + 50) | 0;
        r.turns++;
        r.onTurn();
        return r.work > 0 ? r.work-- : 0;
      },
    },
    nic: {
      fds: [frame],
      prepareSleep: () => r.maySleep,
      isGone: () => r.isGone,
      wake: () => r.wakes++,
    },
    wheel: { untilNext: (_now: number, cap: number) => Math.min(r.dueUs, cap) },
    counters: { bump: (counter: number) => (r.sleeps += counter === COUNTER.sleeps ? 1 : 0) },
    nap: {
      get lateUs() {
        return r.lateUs;
      },
      take: (us: number) => {
        const by = r.by(us);
        r.us = (r.us + (by === 0 ? us : 1)) | 0;
        r.naps.push(us);
        return by;
      },
      ended: () => {},
    },
    restUs: () => r.rest,
    doorbell: {
      fd: bell,
      drain: () => {
        r.drained++;
        take(bell);
      },
    },
    failed: (error: unknown) => r.failures.push(error),
  };
  r.runner = new Runner(parts as unknown as RunnerParts);
  return r;
}

describe('runner', () => {
  let r: ReturnType<typeof make>;
  afterEach(() => r.close());

  async function until(isSo: () => boolean): Promise<void> {
    for (let i = 0; i < 1000 && !isSo(); i++) await pause(5);
    assert.ok(isSo(), 'in five seconds');
  }

  /** Asleep: it has slept, and no turn comes. */
  async function rests(sleepsBefore = 0): Promise<number> {
    await until(() => r.sleeps > sleepsBefore);
    const { turns } = r;
    await pause(30);
    assert.equal(r.turns, turns, 'no turn while it sleeps');
    return turns;
  }

  const turnsOn = (from: number): Promise<void> => until(() => r.turns > from);

  test('sleepPolicy_noWork_sleepsAfterOneTurn', async () => {
    r = make('sleep');
    r.runner.start();
    assert.equal(await rests(), 1);
    assert.equal(r.sleeps, 1);
  });

  test('adaptivePolicy_noWork_spinsAWhile_naps_thenSleeps', async () => {
    r = make('adaptive');
    r.work = 3;
    r.runner.start();
    // Three turns of work, one of spinning, a nap of what is left of a millisecond, and a turn that
    // finds nothing.
    assert.equal(await rests(), 3 + 1 + 1);
    assert.deepEqual(r.naps, [1000 - 50]);
  });

  test('napping_anOldSlice_goesAroundTheEventLoopFirst', async () => {
    r = make('adaptive');
    r.work = 25; // more than a millisecond
    r.runner.start();
    assert.equal(
      await rests(),
      25 + 1 + 1 + 1,
      'a turn before the loop, one after it, and the last',
    );
    assert.deepEqual(r.naps, [1000 - 100]);
  });

  test('adaptivePolicy_afterLongLulls_hardlySpins', async () => {
    r = make('adaptive');
    r.runner.start();
    await rests();
    // Work every 300 us, found by naps.
    let lulls = 40;
    r.by = (us) => {
      r.us = (r.us + 299) | 0;
      if (lulls-- > 0) r.work = 1;
      return lulls > 0 && us > 0 ? BY_NIC : 0;
    };
    r.naps.length = 0;
    const { turns } = r;
    r.work = 1;
    r.runner.wake();
    await rests(1);
    // Each lull: the turn that finds nothing, the nap, the turn with work; and event loops between.
    assert.equal(r.naps.length, 41);
    assert.ok(r.turns - turns <= 3 * 41 + 3, `${r.turns - turns} turns: none is spun`);
  });

  test('napping_frame_goesOn_bellIsDrained_eventLoopIsGoneAround', async () => {
    r = make('adaptive');
    const ends = [BY_NIC, BY_BELL, BY_LOOP];
    const seen: number[] = [];
    r.by = () => ends.shift() ?? 0;
    let rounds = 0;
    const count = (): void => {
      rounds++;
      seen.push(r.naps.length);
      if (rounds < 8) setImmediate(count);
    };
    r.runner.start();
    setImmediate(count);
    await rests();
    assert.equal(r.drained, 1);
    assert.equal(r.naps.length, 4);
    assert.ok(seen.includes(3), `after the nap that it ended the loop went around: ${seen}`);
    assert.equal(r.wakes >= 4, true, 'the driver is told each time');
  });

  test('napping_timerOfTheWheel_endsItInTime', async () => {
    r = make('adaptive');
    [r.dueUs, r.lateUs] = [400, 30];
    r.by = () => {
      r.dueUs = FAR_US;
      return 0;
    };
    r.runner.start();
    await rests();
    assert.deepEqual(r.naps.slice(0, 1), [370], 'as much earlier as naps end late');
  });

  test('driverThatMayNotSleep_spinsInsteadOfNapping', async () => {
    r = make('adaptive');
    r.maySleep = false;
    r.runner.start();
    await turnsOn(1000 / 50);
    assert.deepEqual(r.naps, []);
  });

  test('restingApplication_isNappedFor_underEveryPolicy_andSpunForWhenItIsDue', async () => {
    for (const policy of ['spin', 'adaptive', 'sleep'] as const) {
      r?.close();
      r = make(policy);
      r.rest = 500;
      const rests = [500, 5, 0, 700];
      r.onTurn = () => (r.rest = rests[r.turns - 1] ?? 4000);
      r.runner.start();
      await until(() => r.naps.length > 2);
      assert.deepEqual(r.naps.slice(0, 2), [500, 700], policy);
      assert.equal(r.sleeps, 0);
    }
  });

  test('spinPolicy_noWork_neverSleeps_andLetsTheEventLoopTurn', async () => {
    r = make('spin');
    r.runner.start();
    await until(() => r.turns > 4000 / 50); // more than a slice
    assert.equal(r.sleeps, 0);
  });

  test('yielding_immediatesRunBehindEachTurnThatDidSomething', async () => {
    for (const [yields, behind] of [
      [true, 1],
      [false, 3],
    ] as const) {
      r = make('sleep');
      r.work = 3;
      r.runner.yields = yields;
      let turnsBefore = 0;
      r.onTurn = () => {
        if (r.turns === 1) setImmediate(() => (turnsBefore = r.turns));
      };
      r.runner.start();
      await until(() => turnsBefore > 0);
      assert.equal(turnsBefore >= 3, behind === 3, `after ${turnsBefore} turns`);
      await rests();
      r.close();
    }
    r = make('sleep');
  });

  test('wokenFromAnAsyncContext_turnsAreInNone', async () => {
    r = make('sleep');
    const context = new AsyncLocalStorage<string>();
    const seen = new Set<string | undefined>();
    r.onTurn = () => void seen.add(context.getStore());
    r.runner.start();
    await rests();
    context.run("an application's", () => r.runner.wake());
    await rests(1);
    assert.deepEqual([...seen], [undefined]);
  });

  test('wokenInsideATurnWithoutWork_doesNotSleepBeforeAnotherOne', async () => {
    r = make('sleep');
    r.onTurn = () => {
      if (r.turns === 1) r.runner.wake();
    };
    r.runner.start();
    assert.equal(await rests(), 2);
  });

  test('aRoundOfTheEventLoop_makesNoGarbage', async () => {
    r = make('adaptive');
    r.runner.yields = true; // a round after each turn
    let before = 0;
    let bytes = 0;
    r.work = 30_000;
    r.onTurn = () => {
      if (r.work === 25_000) before = allocatedBytes();
      if (r.work !== 5000) return;
      const reading = allocatedBytes();
      // A reading itself counts; the second one says how much.
      bytes = reading - before - (allocatedBytes() - reading);
    };
    r.runner.start();
    await until(() => bytes > 0 || r.work === 0);
    // 18 are Node's, the rest the test's own; an immediate and its context are 700.
    assert.ok(bytes < 300 * 20_000, `${Math.round(bytes / 20_000)} bytes a round`);
  });

  test('asleep_frameOrBell_wakes', async () => {
    r = make('sleep');
    r.runner.start();
    const asleep = await rests();
    r.arrive();
    await turnsOn(asleep);
    assert.equal(r.wakes, 1, 'the driver has been told');
    const again = await rests(1);
    r.ring();
    await turnsOn(again);
    assert.equal(r.drained, 1);
  });

  test('rungWhileAwake_isHeardWhenItSleeps', async () => {
    r = make('sleep');
    r.onTurn = () => {
      if (r.turns === 1) r.ring();
    };
    r.runner.start();
    await rests(1);
    assert.equal(r.drained, 1);
    assert.equal(r.turns, 2);
  });

  test('timerNearerThanTheLoopCounts_isNotSleptFor', async () => {
    r = make('sleep');
    r.dueUs = 1499;
    r.runner.start();
    await turnsOn(3);
    assert.equal(r.sleeps, 0);
    assert.equal(r.naps[0], 1499);
    r.dueUs = FAR_US;
    await rests();
  });

  test('timerFarther_wakesInTime', async () => {
    r = make('sleep');
    r.dueUs = 20_000;
    r.onTurn = () => {
      if (r.turns === 2) r.dueUs = FAR_US;
    };
    r.runner.start();
    await turnsOn(0);
    await turnsOn(1);
    assert.equal(await rests(1), 2);
  });

  test('driverThatMayNotSleep_isAskedAgain', async () => {
    r = make('sleep');
    r.maySleep = false;
    r.runner.start();
    await turnsOn(3);
    assert.equal(r.sleeps, 0);
  });

  test('linkGone_itsDescriptorIsNotWatched', async () => {
    r = make('sleep');
    r.isGone = true;
    r.runner.start();
    const asleep = await rests();
    r.arrive();
    await pause(30);
    assert.equal(r.turns, asleep);
    r.runner.wake();
    await turnsOn(asleep);
  });

  test('stopped_wake_doesNothing', async () => {
    r = make('adaptive');
    r.work = Number.POSITIVE_INFINITY;
    r.onTurn = () => {
      if (r.turns === 5) r.runner.stop();
    };
    r.runner.start();
    await turnsOn(4);
    assert.equal(r.turns, 5, 'the slice ended at once');
    r.runner.wake();
    r.ring();
    await pause(20);
    assert.equal(r.turns, 5);
  });

  test('turnThatThrows_stopsAndIsTold', async () => {
    r = make('sleep');
    r.onTurn = () => {
      throw new Error('an invariant');
    };
    r.runner.start();
    await until(() => r.failures.length > 0);
    assert.match(`${r.failures}`, /an invariant/);
    r.runner.wake();
    await pause(20);
    assert.equal(r.failures.length, 1);
  });
});

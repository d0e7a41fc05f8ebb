/** The timing wheel against a sorted list, under virtual time that runs over 2^31 and 2^32. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arena } from '../../src/arena/arena.ts';
import { Wheel } from '../../src/arena/wheel.ts';
import { InvariantError, VERIFY } from '../../src/verify.ts';
import { bytesPerOperation, holds, randomFrom, SEED } from './property.ts';

const TIMERS = 40;
const TICK_US = 16;
const CAP_US = 2 ** 31 - 1;

const wheelOf = (timers: number): Wheel => new Wheel(new Arena(2 ** 20), timers);

/** The wheel's meaning, in exact numbers that never wrap. */
class Model {
  now: number;
  /** Timer -> the tick in which it fires and when it was armed. */
  readonly armed = new Map<number, { tick: number; order: number }>();
  #order = 0;

  constructor(now: number) {
    this.now = now;
  }

  arm(timer: number, deadlineUs: number): void {
    const tick = Math.max(Math.ceil(deadlineUs / TICK_US), Math.floor(this.now / TICK_US));
    this.armed.set(timer, { tick, order: this.#order++ });
  }

  /** What is due now, in order; no longer armed afterwards. */
  expire(): number[] {
    const due = [...this.armed]
      .filter(([, t]) => t.tick * TICK_US <= this.now)
      .sort(([, a], [, b]) => a.tick - b.tick || a.order - b.order)
      .map(([timer]) => timer);
    for (const timer of due) this.armed.delete(timer);
    return due;
  }

  /** Microseconds until the first timer is due. */
  untilNext(): number {
    const first = Math.min(...[...this.armed.values()].map((t) => t.tick * TICK_US));
    return Math.max(0, first - this.now);
  }
}

function expireAll(wheel: Wheel, nowUs: number): number[] {
  const due: number[] = [];
  for (let timer = wheel.expire(nowUs); timer >= 0; timer = wheel.expire(nowUs)) due.push(timer);
  return due;
}

/** Mostly short, but every power of two is as likely as any other. */
const span = (bits: number): fc.Arbitrary<number> =>
  fc
    .tuple(fc.integer({ min: 0, max: bits }), fc.double({ min: 0, max: 1, noNaN: true }))
    .map(([power, part]) => Math.floor(2 ** power * (1 + part)) - 1);

/** Only every other step looks at `untilNext`, which also puts the wheel's lower bound right. */
type Step = { kind: 'arm' | 'cancel' | 'advance' | 'jump'; timer: number; us: number };

const steps = (weight: number, kind: Step['kind'], us: fc.Arbitrary<number>) => ({
  weight,
  arbitrary: fc.record({
    kind: fc.constant(kind),
    timer: fc.integer({ min: 0, max: TIMERS - 1 }),
    us,
  }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  steps(6, 'arm', span(29)),
  steps(1, 'arm', fc.integer({ min: 2 ** 30, max: 2 ** 31 - 1 })),
  steps(
    1,
    'arm',
    span(28).map((us) => -us),
  ),
  steps(2, 'cancel', fc.nat(1)),
  steps(6, 'advance', span(28)),
  steps(1, 'jump', fc.integer({ min: 0, max: 40 * 3600 * 1_000_000 })),
);

const start = fc.oneof(
  span(7).map((us) => 2 ** 31 - us),
  span(20).map((us) => 2 ** 31 - us),
  span(7).map((us) => 2 ** 32 - us),
  span(28).map((us) => 2 ** 32 - us),
  fc.integer({ min: 0, max: 2 ** 32 }),
);

function agrees(wheel: Wheel, model: Model): void {
  assert.equal(wheel.armed, model.armed.size);
  const until = wheel.untilNext(model.now | 0, CAP_US);
  assert.ok(until >= 0 && until <= Math.min(CAP_US, model.untilNext()), `sleeps ${until} us`);
}

function run(startUs: number, steps: Step[]): void {
  const wheel = wheelOf(TIMERS);
  const model = new Model(startUs);
  assert.deepEqual(expireAll(wheel, model.now | 0), []);
  for (const { kind, timer, us } of steps) {
    if (kind === 'arm') {
      wheel.arm(timer, (model.now + us) | 0);
      model.arm(timer, model.now + us);
    } else if (kind === 'cancel') {
      wheel.cancel(timer);
      model.armed.delete(timer);
    } else {
      if (kind === 'jump' && model.armed.size > 0) continue;
      model.now += us;
      assert.deepEqual(expireAll(wheel, model.now | 0), model.expire());
    }
    assert.equal(wheel.isArmed(timer), model.armed.has(timer));
    if (us % 2 === 0) agrees(wheel, model);
  }
  while (model.armed.size > 0) {
    model.now += Math.min(model.untilNext(), 2 ** 29);
    assert.deepEqual(expireAll(wheel, model.now | 0), model.expire());
  }
  agrees(wheel, model);
}

test('anySequence_expires_asSortedListUnderWrap', () => {
  holds(fc.property(start, fc.array(step, { maxLength: 120 }), run), 3000);
});

test('armed_everyMicrosecondAroundDeadline_neverEarlyAtMostOneTickLate', () => {
  for (const base of [0, 2 ** 31 - 300, 2 ** 32 - 300]) {
    for (let delay = 0; delay < 600; delay += 7) {
      const wheel = wheelOf(1);
      expireAll(wheel, base | 0);
      wheel.arm(0, (base + delay) | 0);
      let now = base;
      while (wheel.expire(now | 0) < 0) now++;
      assert.ok(now - base >= delay && now - base < delay + TICK_US, `${delay}: ${now - base}`);
    }
  }
});

test('armed_sleepingUntilNext_wakesAtMostFiveTimes', () => {
  const random = randomFrom(SEED);
  for (let round = 0; round < 2000; round++) {
    const wheel = wheelOf(1);
    let now = random();
    expireAll(wheel, now | 0);
    const deadline = now + (random() % (2 ** 31 - 1)) / 2 ** (random() % 24);
    wheel.arm(0, Math.floor(deadline) | 0);
    let wakes = 0;
    while (wheel.isArmed(0)) {
      now += wheel.untilNext(now | 0, CAP_US);
      expireAll(wheel, now | 0);
      wakes++;
    }
    assert.ok(wakes <= 5, `${wakes} wakes`);
    assert.ok(now >= Math.floor(deadline) && now < deadline + TICK_US);
  }
});

test('farTimer_presentMovesOn_nextFarTimerIsNotTakenForPast', () => {
  const wheel = wheelOf(2);
  expireAll(wheel, 0);
  wheel.arm(0, (2 ** 31 - 1) | 0);
  for (let now = 0; now < 2 ** 31 - 2 ** 20; now += 2 ** 29)
    assert.equal(wheel.expire(now | 0), -1);
  const now = 2 ** 31 - 2 ** 20;
  wheel.arm(1, (now + 2 ** 31 - 1) | 0);
  assert.equal(wheel.expire(now | 0), -1);
  assert.deepEqual(expireAll(wheel, (2 ** 31) | 0), [0]);
  assert.ok(wheel.isArmed(1));
});

test('clockGoesBack_expire_firesNothing', () => {
  const wheel = wheelOf(1);
  expireAll(wheel, 1_000_000);
  wheel.arm(0, 1_000_100);
  assert.equal(wheel.expire(999_000), -1);
  assert.equal(wheel.untilNext(999_000, 10_000), 1_112);
  assert.equal(wheel.expire(1_000_112), 0);
});

test('empty_untilNext_isCap', () => {
  const wheel = wheelOf(1);
  assert.equal(wheel.untilNext(123, 10_000), 10_000);
  wheel.arm(0, 50_000);
  assert.equal(wheel.untilNext(123, 10_000), 10_000);
  wheel.cancel(0);
  wheel.cancel(0);
  assert.equal(wheel.armed, 0);
});

test('timerOutOfRange_arm_isCaught', { skip: !VERIFY }, () => {
  const wheel = wheelOf(4);
  assert.throws(() => wheel.arm(4, 0), InvariantError);
  assert.throws(() => wheel.arm(-1, 0), InvariantError);
  assert.throws(() => wheel.cancel(4), InvariantError);
});

test('armExpireCancel_million_allocateNothing', () => {
  const wheel = wheelOf(1000);
  const random = randomFrom(SEED);
  const delays = Int32Array.from({ length: 1024 }, () => random() % 2 ** (random() % 24));
  let now = 0x7fffffff - 10_000_000;
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) {
      wheel.arm(i % 1000, (now + delays[i & 1023]!) | 0);
      if ((i & 7) === 0) wheel.cancel((i * 7) % 1000);
      if ((i & 15) === 0) {
        now = (now + 20) | 0;
        while (wheel.expire(now) >= 0);
        wheel.untilNext(now, 1000);
      }
    }
  });
  assert.ok(bytes < 0.1, `${bytes} bytes per operation`);
});

/**
 * The two sides of domain process as programs (side.ts): all that stands between them is ours and
 * real, all that the machine does is a step.
 *
 * - Dataplane: `Runner`, `ElasticThread`, `EventSink`, `Gate` and `ProcessDomain`. Its stack turns
 *   every frame into one event.
 * - Application: `Turns` and `RawGate`. Its own work asks for turns from the event loop.
 * - `Atomics`, `sys` and the event loop's functions are replaced while a side runs (`withKernel`).
 */
import type { Arena } from '../../src/arena/arena.ts';
import type { Clock } from '../../src/arena/clock.ts';
import type { Placement } from '../../src/child/config.ts';
import { COUNTER } from '../../src/counters.ts';
import { ElasticThread } from '../../src/dataplane/elastic-thread.ts';
import { Gate } from '../../src/dataplane/gate.ts';
import { Runner } from '../../src/dataplane/runner.ts';
import { ProcessDomain } from '../../src/domain/process.ts';
import { Turns } from '../../src/domain/turns.ts';
import * as arrays from '../../src/gate/arrays.ts';
import type { Ix } from '../../src/libix/ix.ts';
import { RawGate } from '../../src/libix/raw.ts';
import { SYS, sys } from '../../src/native/sys.ts';
import { FD, LOOP, type Program, type Side, STEP } from './side.ts';

/** Where the two arrays are, and a word for the application's clock. */
const EVENTS = 0;
const CALLS = 4096;
const CLOCK = 8192;
const BYTES = 3 * 4096;
const at = (array: number, word: number): number => (array >> 2) + word;

/** The words of the arrays' headers by which the sides deal with each other. */
export const WORD = {
  events: at(EVENTS, arrays.GATE_COUNT),
  turn: at(EVENTS, arrays.GATE_TURN),
  away: at(EVENTS, arrays.GATE_AWAY),
  waited: at(EVENTS, arrays.GATE_WAITED),
  calls: at(CALLS, arrays.GATE_COUNT),
  again: at(CALLS, arrays.GATE_AGAIN),
  done: at(CALLS, arrays.GATE_DONE),
  waiting: at(CALLS, arrays.GATE_WAITING),
};
const SHARED = new Set(Object.values(WORD).map(String));
/** More than any of the waits that it ends: a slice, a watchdog. */
const JUMP_US = 5000;

/** An arena that is the side's own but for the words that both see. */
function arenaOf(side: Side): Arena {
  const own = new Int32Array(BYTES >> 2);
  const i32 = new Proxy(own, {
    get: (target, name) => {
      if (SHARED.has(name as string)) return side.step(STEP.load, Number(name));
      return Reflect.get(target, name, target);
    },
    set: (target, name, value) => {
      if (SHARED.has(name as string)) side.step(STEP.store, Number(name), value);
      else target[Number(name)] = value;
      return true;
    },
  });
  return { i32, carve: () => CLOCK } as unknown as Arena;
}

/** What a side's event loop holds. */
interface Loop {
  readonly immediates: (() => void)[];
  readonly watches: { fd: number; callback: () => void; isArmed: boolean }[];
  /** What comes in each round while it is armed. */
  readonly rounds: { callback: () => void; isArmed: boolean }[];
}

let running: { side: Side; loop: Loop; own: Int32Array; us: number };

/** Runs `explore` with a kernel that does nothing by itself. */
export function withKernel(explore: () => void): void {
  const real = {
    ...{ load: Atomics.load, store: Atomics.store },
    ...{ setImmediate, setTimeout, clearTimeout },
  };
  const realSys = { ...sys };
  const step = (kind: number, a = 0, b = 0): number => running.side.step(kind, a, b);
  Object.assign(Atomics, {
    load: (_words: unknown, word: number) => step(STEP.load, word),
    store: (_words: unknown, word: number, value: number) => step(STEP.store, word, value),
  });
  Object.assign(globalThis, {
    setImmediate: (callback: () => void) => void running.loop.immediates.push(callback),
    setTimeout: () => 0, // its time never comes
    clearTimeout: () => {},
  });
  Object.assign(sys, {
    futexWait: (offset: number, expected: number) => step(STEP.futexWait, offset >> 2, expected),
    futexWake: (offset: number) => step(STEP.futexWake, offset >> 2),
    syscall: (nr: number, fd: number) => step(nr === SYS.write ? STEP.ring : STEP.drain, fd),
    clock: (offset: number) => {
      running.us += step(STEP.clock) * JUMP_US;
      running.own[offset >> 2] = running.us;
    },
    watch: (fd: number, callback: () => void) => {
      const watch = { fd, callback, isArmed: false };
      running.loop.watches.push(watch);
      return watch;
    },
    armWatch: (watch: { isArmed: boolean }, on: boolean) => {
      watch.isArmed = on;
    },
    rounds: (callback: () => void) => {
      const each = { callback, isArmed: false };
      running.loop.rounds.push(each);
      return each;
    },
    // In so many milliseconds: its time never comes.
    armRounds: (each: { isArmed: boolean }, ms: number) => {
      each.isArmed = ms === 0;
    },
  });
  try {
    explore();
  } finally {
    Object.assign(Atomics, { load: real.load, store: real.store });
    const { setImmediate, setTimeout, clearTimeout } = real;
    Object.assign(globalThis, { setImmediate, setTimeout, clearTimeout });
    Object.assign(sys, realSys);
  }
}

function begin(side: Side): Arena {
  const arena = arenaOf(side);
  const loop = { immediates: [], watches: [], rounds: [] };
  running = { side, loop, own: arena.i32, us: 0x7fff_f000 };
  return arena;
}

/** Goes around the event loop for good; `others` hears of what is neither fd's nor immediate's. */
function goAround(side: Side, others: (what: number) => void): void {
  const { immediates, watches, rounds } = running.loop;
  for (;;) {
    const isBusy = immediates.length > 0 || rounds.some(({ isArmed }) => isArmed);
    const armed = watches.reduce((bits, watch) => bits | (watch.isArmed ? watch.fd : 0), 0);
    const what = side.step(STEP.loop, isBusy ? 1 : 0, armed);
    const watch = watches.find(({ fd }) => fd === what);
    if (what === LOOP.immediate) {
      for (const immediate of immediates.splice(0)) immediate();
      for (const { callback, isArmed } of rounds) if (isArmed) callback();
    } else if (watch) watch.callback();
    else others(what);
  }
}

/** The stack of a dataplane whose frames are events. */
function stackOf() {
  let waiting = 0;
  return {
    tcp: { openFlows: 0 },
    advance: () => {},
    receive: () => {
      waiting++;
    },
    emit: (sink: arrays.EventSink) => {
      for (; waiting > 0; waiting--) sink.push(1, 0, 0);
    },
    flush: () => {},
    // In truth it does not sleep while events wait. Asleep it depends on being woken.
    hasPending: () => false,
  };
}

function nicOf(side: Side) {
  return {
    fds: [FD.nic],
    rxOffsets: [0, 0, 0, 0],
    rxLengths: [0, 0, 0, 0],
    receive: () => side.step(STEP.frames),
    reclaim: () => {},
    kick: () => {},
  };
}

export function dataplane(placement: Placement): Program {
  return (side) => {
    const arena = begin(side);
    const domain = new ProcessDomain({
      ...{ arena, placement },
      ...{ eventArray: EVENTS, callArray: CALLS, wakeFd: FD.wake },
    });
    const told: number[] = [COUNTER.applicationLate, COUNTER.applicationBack];
    const counters = {
      bump: (counter: number) => {
        if (told.includes(counter)) side.step(STEP.count, counter);
      },
      add: () => {},
      set: () => {},
      took: () => {},
    };
    const readTime = (clock: Clock): void => {
      running.us += side.step(STEP.clock) * JUMP_US;
      clock.us = running.us | 0;
    };
    const memory = { offset: 0, bytes: 0 };
    const nic = nicOf(side);
    const parts = {
      ...{ arena, counters, clock: { us: 0, ms: 0 }, nic, stack: stackOf(), domain, readTime },
      sink: new arrays.EventSink(arena, EVENTS),
      gate: new Gate({ arena, counters } as never, CALLS, memory),
      timers: { emit: () => {} },
    };
    side.step(STEP.vacant);
    const thread = new ElasticThread(parts as never);
    const runner = new Runner({
      ...({
        thread,
        nic,
        counters,
        wheel: { untilNext: (_: number, most: number) => most },
      } as never as object),
      policy: 'sleep',
      doorbell: { fd: FD.bell, drain: () => void side.step(STEP.drain, FD.bell) },
      failed: (error: unknown) => {
        throw error;
      },
    } as never);
    runner.start();
    goAround(side, () => {
      // as `dropApplication` does it (src/dataplane/thread.ts)
      domain.leave();
      thread.readClock();
      thread.drain();
      side.step(STEP.vacant, 1);
    });
  };
}

export function application(placement: Placement): Program {
  return (side) => {
    const arena = begin(side);
    const raw = new RawGate(arena.i32, EVENTS, CALLS);
    const ix = {
      dispatch: () => {
        side.step(STEP.enter);
        raw.begin();
        const count = raw.eventCount;
        raw.submit();
        side.step(STEP.leave, count);
      },
    } as unknown as Ix;
    const turns = new Turns({
      ...{ arena, ix, eventArray: EVENTS, callArray: CALLS },
      ...{ wakeFd: FD.wake, dataplaneFd: FD.bell },
      ...(placement === 'split' && { polls: 'sleep' }),
    });
    turns.start();
    goAround(side, () => turns.askTurn());
  };
}

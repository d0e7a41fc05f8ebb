/** The order of one iteration, and what the thread does when its application does not come back. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { Arena } from '../../src/arena/arena.ts';
import { Counters, LATENCY_CELL } from '../../src/counters.ts';
import { carveSink } from '../../src/dataplane/assembly.ts';
import { ElasticThread, type ElasticThreadParts } from '../../src/dataplane/elastic-thread.ts';
import type { EventSink } from '../../src/gate/arrays.ts';
import { LATENCY_CELLS, LatencyCells } from '../../src/latency.ts';

const ORDER = [
  'reclaim',
  'advance',
  'receive',
  'timers',
  'emit',
  'enter',
  'execute',
  'flush',
  'kick',
];

/** A thread all of whose parts write down that they were called. */
function make(isApart: boolean) {
  const arena = new Arena(2 ** 20);
  const counters = new Counters(arena);
  const log: string[] = [];
  const note = (name: string, result = 0) => {
    log.push(name);
    return result;
  };
  const m = {
    ...{ log, counters, frames: [] as number[], events: 0, wants: false, calls: 0 },
    ...{
      comesBack: true,
      isBack: false,
      seen: [] as number[],
      us: 0x7fff_ffff | 0,
      pending: false,
    },
    thread: undefined as unknown as ElasticThread,
  };
  const sink = carveSink(arena);
  const nic = {
    ...{ rxOffsets: [7, 8, 9, 10], rxLengths: [60, 60, 60, 60] },
    reclaim: () => note('reclaim'),
    kick: () => note('kick'),
    receive: (max: number) => Math.min(max, note('receive', m.frames.shift() ?? 0)),
  };
  const stack = {
    advance: () => note('advance'),
    receive: (offset: number) => note(`frame ${offset}`),
    emit: (to: EventSink) => {
      note('emit');
      for (; m.events > 0; m.events--) to.push(1, 2, 3);
    },
    flush: () => note('flush'),
    hasPending: () => m.pending,
    tcp: { openFlows: 0 },
  };
  const domain = {
    ...{ isApart, patienceUs: 100 },
    enter: () => {
      note('enter');
      m.seen.push(arena.i32[sink.header]!);
      return m.comesBack;
    },
    goOn: () => {
      note('goOn');
      return m.isBack;
    },
    isBack: () => m.isBack,
  };
  const parts = {
    ...{ arena, counters, nic, stack, sink, domain, clock: { us: 0, ms: 0 }, batchMax: 4 },
    gate: { wantsTurn: () => m.wants, execute: () => note('execute', m.calls) },
    timers: { emit: () => note('timers') },
    readTime: (clock: { us: number }) => {
      clock.us = m.us;
    },
  };
  m.thread = new ElasticThread(parts as unknown as ElasticThreadParts);
  return m;
}

describe('elastic thread', () => {
  let m: ReturnType<typeof make>;
  beforeEach(() => {
    m = make(false);
  });
  const steps = (): string[] => m.log.splice(0).filter((name) => !name.startsWith('frame'));

  test('turn_withAnEvent_goesInThePapersOrder', () => {
    m.frames = [2];
    m.events = 1;
    assert.ok(m.thread.turn() > 0);
    assert.deepEqual(m.log, [
      ...['reclaim', 'advance', 'receive', 'frame 7', 'frame 8'],
      ...['timers', 'emit', 'enter', 'execute', 'flush', 'kick'],
    ]);
    assert.deepEqual(m.seen, [1], 'the event was published');
    assert.deepEqual([m.counters.get('batches'), m.counters.get('events')], [1, 1]);
    assert.equal(m.counters.get('frameBatches'), 1);
  });

  test('turn_busyTimeIsFromOneThatHadWorkToTheNext', () => {
    const busy = (frames: number[], us: number): number => {
      m.frames.push(...frames);
      m.us = (m.us + us) | 0;
      m.thread.turn();
      return m.counters.get('busyUs');
    };
    assert.equal(busy([0], 10), 0);
    assert.equal(busy([1], 10), 0);
    assert.equal(busy([1], 7), 7, 'over the wrap of time, too');
    assert.equal(busy([0], 5), 12);
    assert.equal(busy([0], 1000), 12);
  });

  const took = (): [batches: number, sumUs: number] => {
    const { base, f64 } = m.counters;
    const at = base + LATENCY_CELL;
    const cells = new LatencyCells(f64.subarray(at, at + LATENCY_CELLS));
    return [cells.count, cells.sumUs];
  };
  /** One turn, so much later. */
  const turnAfter = (us: number, frames = 0): void => {
    m.frames.push(frames);
    m.us = (m.us + us) | 0;
    m.thread.turn();
  };

  test('turn_withWork_isCountedOnceWithItsTime_whenTheNextBegins', () => {
    turnAfter(10, 1);
    assert.deepEqual(took(), [0, 0], 'it is not over');
    turnAfter(7, 1);
    assert.deepEqual(took(), [1, 7]);
    turnAfter(5);
    assert.deepEqual(took(), [2, 12]);
    turnAfter(1000);
    assert.deepEqual(took(), [2, 12], 'there was nothing to do');
  });

  test('turn_applicationComesBackLater_countsFromWhenItWasEntered', () => {
    m = make(true);
    m.comesBack = false;
    m.events = 1;
    turnAfter(10, 1);
    m.events = 0;
    turnAfter(20);
    turnAfter(20, 1);
    assert.deepEqual(took(), [0, 0], 'nothing is answered');
    m.isBack = true;
    turnAfter(20);
    turnAfter(3);
    assert.deepEqual(took(), [1, 63]);
  });

  test('turn_withoutAnEvent_doesNotEnter_unlessATurnIsWanted', () => {
    const entering = ['enter', 'execute'];
    assert.equal(m.thread.turn(), 0);
    assert.deepEqual(
      steps(),
      ORDER.filter((step) => !entering.includes(step)),
    );
    assert.equal(m.counters.get('idleIterations'), 1);
    m.wants = true;
    m.thread.turn();
    assert.deepEqual(steps(), ORDER);
    assert.deepEqual(m.seen, [0]);
  });

  test('turn_withSomethingLeftToSend_isNotIdle', () => {
    m.pending = true;
    assert.ok(m.thread.turn() > 0);
    assert.equal(m.counters.get('idleIterations'), 0);
  });

  test('applicationApart_whatCameMeanwhileIsTakenAlong_upToTheBatch', () => {
    m = make(true);
    m.frames = [1, 2, 3, 1];
    m.thread.turn();
    assert.equal(m.log.filter((name) => name.startsWith('frame')).length, 4);
    assert.deepEqual(m.frames, [1]);
    m.frames = [1, 0, 1];
    m.thread.turn();
    assert.deepEqual(m.frames, [1], 'nothing came: it goes on');
  });

  test('applicationAway_threadGoesOn_tellsLateOnce_andTakesItsCallsWhenItIsBack', () => {
    m.comesBack = false;
    m.events = 2;
    assert.ok(m.thread.turn() > 0, 'it polls');
    m.us = (m.us + 99) | 0;
    m.events = 1;
    assert.ok(m.thread.turn() > 0, 'still patient');
    assert.ok(!m.log.includes('goOn'));
    for (const late of [1, 1]) {
      m.us = (m.us + 1) | 0;
      assert.equal(m.thread.turn(), 0, 'it may sleep');
      assert.equal(m.counters.get('applicationLate'), late);
    }
    assert.deepEqual(m.seen, [2], 'entered once');
    assert.ok(!m.log.includes('execute'));
    m.log.length = 0;
    m.isBack = true;
    assert.ok(m.thread.turn() > 0);
    assert.deepEqual(m.log, ['reclaim', 'advance', 'receive', 'execute', 'flush', 'kick']);
    assert.equal(m.counters.get('applicationBack'), 1);
    m.comesBack = true;
    m.thread.turn();
    assert.deepEqual(m.seen, [2, 1], 'what came meanwhile is told now');
  });

  test('applicationBackWithNothing_isNotIdle_soThatWhatItAsksForIsSeen', () => {
    m.comesBack = false;
    m.wants = true;
    m.thread.turn();
    m.us = (m.us + 100) | 0;
    assert.equal(m.thread.turn(), 0);
    m.isBack = true;
    assert.ok(m.thread.turn() > 0);
  });

  test('applicationGone_drain_dropsWhatIsToBeTold', () => {
    m.comesBack = false;
    m.events = 1;
    m.thread.turn();
    m.us = (m.us + 100) | 0;
    m.thread.turn();
    m.events = 3;
    m.log.length = 0;
    m.thread.drain();
    assert.deepEqual(m.log, ['timers', 'emit', 'timers', 'emit', 'flush', 'kick']);
    assert.equal(m.counters.get('applicationBack'), 1);
    m.comesBack = true;
    m.events = 1;
    m.thread.turn();
    assert.deepEqual(m.seen, [1, 1]);
  });
});

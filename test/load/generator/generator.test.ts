/**
 * The generator under virtual time, against small servers that are honest, slow, silent or lie.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Generator } from '../../../src/load/generator/generator.ts';
import { generatorOptions } from '../../../src/load/generator/options.ts';
import type { LoadFailure, LoadResult } from '../../../src/load/result/result.ts';
import { holds, randomFrom, SEED } from '../../arena/property.ts';
import { FakeIx, type FakeOptions, type FakeServer } from '../fake-ix.ts';
import { memcachedServer } from '../fake-memcached.ts';

const TIMES = { warmupMs: '5', durationMs: '100', drainMs: '50' };
const ADDRESS = { host: '10.0.0.1', port: '11211' };

function runWith(
  server: FakeServer,
  options: Record<string, string | number>,
  fakeOptions: Partial<FakeOptions> = {},
) {
  const random = randomFrom(SEED);
  const fake = new FakeIx({ random, server, pieceBytes: 3000, ...fakeOptions });
  const text = Object.entries(options).map(([name, value]) => [name, String(value)]);
  const all = { ...ADDRESS, ...TIMES, ...Object.fromEntries(text) };
  new Generator(fake.ix, generatorOptions(all), fake.clockMs).open();
  fake.run();
  return { fake, report: fake.reports.at(-1) as LoadResult };
}

const honestEcho: FakeServer = () => (bytes) => bytes;
const failureOf = (report: LoadResult): string => {
  assert.equal(report.kind, 'load-failed', JSON.stringify(report));
  return (report as unknown as LoadFailure).message;
};

test('any_shape_of_load_is_answered_and_counted', () => {
  holds(
    fc.property(
      fc.record({
        protocol: fc.constantFrom('echo', 'memcached'),
        connections: fc.integer({ min: 1, max: 9 }),
        depth: fc.integer({ min: 1, max: 20 }),
        rate: fc.constantFrom(0, 200, 1500),
        arrival: fc.constantFrom('poisson', 'pareto', 'fixed'),
        workload: fc.constantFrom('etc', 'usr', 'fixed'),
        multiGet: fc.constantFrom(1, 1, 3),
        hitRatio: fc.constantFrom(1, 0.7),
        popularity: fc.constantFrom('uniform', 'zipf'),
        churn: fc.constantFrom(0, 0, 7),
        size: fc.integer({ min: 4, max: 5000 }),
        refuse: fc.constantFrom(0, 0.3),
        records: fc.integer({ min: 1, max: 300 }),
      }),
      ({ refuse, ...options }) => {
        const server = options.protocol === 'echo' ? honestEcho : memcachedServer();
        const { report, fake } = runWith(server, options, { refuse });
        assert.equal(report.kind, 'load', JSON.stringify(report));
        assert.ok(report.messages > 0);
        assert.equal(report.seconds, 0.1);
        assert.equal(report.messagesPerSecond, report.messages * 10);
        assert.equal(report.stalled, 0);
        if (options.protocol === 'memcached') {
          assert.equal(report.lost, 0);
          const keys = (report.messages - report.sets!) * options.multiGet;
          // A value may come before the measured time ends and its END after it.
          const edge = options.connections * options.multiGet;
          assert.ok(Math.abs(report.hits! + report.misses! - keys) <= edge);
          if (options.hitRatio === 1) assert.equal(report.misses, 0);
        }
        if (options.churn > 0) {
          assert.ok(report.reopened! >= report.messages / options.churn - options.connections);
          assert.equal(fake.connections.length, options.connections + report.reopened!);
        }
        assert.ok(fake.connections.every((c) => c.isClosed));
      },
    ),
    80,
  );
});

test('open_loop_sends_at_its_rate_whatever_the_server_does', () => {
  for (const arrival of ['poisson', 'pareto', 'fixed']) {
    const { report } = runWith(honestEcho, {
      ...{ protocol: 'echo', connections: 50, depth: 4, rate: 50_000, arrival },
      durationMs: 1000,
    });
    // 50,000 arrivals: five standard deviations are 5 * sqrt(50,000) * CV, 2.7 % for the widest.
    assert.ok(Math.abs(report.messages / 50_000 - 1) < 0.03, `${arrival}: ${report.messages}`);
    assert.ok(Math.abs(report.latency.count / 50_000 - 1) < 0.03);
    assert.equal(report.offeredPerSecond, 50_000);
  }
});

test('a_server_that_pauses_is_seen_by_every_request_that_was_due_meanwhile', () => {
  // It hears nothing for 20 of the measured 100 ms, which begin at about 55 ms.
  let fake: FakeIx | undefined;
  const pausing: FakeServer = () => {
    let waiting = Buffer.alloc(0);
    return (bytes) => {
      waiting = Buffer.concat([waiting, bytes]);
      const ms = fake!.clockMs();
      if (ms >= 100 && ms < 120) return Buffer.alloc(0);
      const answer = waiting;
      waiting = Buffer.alloc(0);
      return answer;
    };
  };
  const options = { protocol: 'echo', connections: 4, rate: 5000, arrival: 'fixed', warmupMs: 5 };
  fake = new FakeIx({ random: randomFrom(SEED), server: pausing });
  const text = Object.entries(options).map(([name, value]) => [name, String(value)]);
  const all = { ...ADDRESS, ...TIMES, ...Object.fromEntries(text) };
  new Generator(fake.ix, generatorOptions(all), fake.clockMs).open();
  fake.run();
  const report = fake.reports[0] as LoadResult;
  assert.ok([500, 501].includes(report.latency.count), `${report.latency.count} were due`);
  // 500 requests in 100 ms; those due in the pause waited 20 ms at most, their median 10 ms.
  assert.ok(report.latency.maxNs >= 19e6 && report.latency.maxNs < 22e6, `${report.latency.maxNs}`);
  assert.ok(report.latency.p90Ns >= 9e6 && report.latency.p90Ns <= 12e6, `${report.latency.p90Ns}`);
  // Timed from sending, only the four that were on the way show it: that is what mutilate would
  // say.
  assert.ok(report.service!.p90Ns < 1e6, `${report.service!.p90Ns}`);
  assert.ok(report.lag!.p90Ns > 5e6);
});

test('a_rush_is_part_of_the_warm_up_and_of_no_result', () => {
  // The connections are open after about 50 ms.
  let early = 0;
  let all = 0;
  let fake: FakeIx | undefined;
  const counting: FakeServer = () => (bytes) => {
    if (fake!.clockMs() < 81) early += bytes.length / 64;
    all += bytes.length / 64;
    return bytes;
  };
  const options = { protocol: 'echo', connections: 4, rate: 1000, arrival: 'fixed', warmupMs: 60 };
  fake = new FakeIx({ random: randomFrom(SEED), server: counting });
  const text = Object.entries({ ...options, rushMs: 30 }).map(([k, value]) => [k, String(value)]);
  const given = { ...ADDRESS, ...TIMES, ...Object.fromEntries(text) };
  new Generator(fake.ix, generatorOptions(given), fake.clockMs).open();
  fake.run();
  const report = fake.reports.at(-1) as LoadResult;
  assert.ok(early > 100, `${early} in the rush, where 30 would have been due`);
  assert.ok([100, 101].includes(report.latency.count), `${report.latency.count} were due`);
  assert.ok(all - early <= 135, `${all - early} after it`);
  assert.throws(() => generatorOptions({ ...given, rushMs: '61' }), /rushMs/);
});

test('a_generator_that_sleeps_is_awake_when_a_request_is_due_and_otherwise_rarely', () => {
  const options = { protocol: 'echo', connections: 4, rate: 1000, arrival: 'fixed' };
  const spinning = runWith(honestEcho, options);
  const sleeping = runWith(honestEcho, { ...options, sleeps: 'yes' });
  assert.deepEqual(spinning.fake.rests, []);
  for (const { report } of [spinning, sleeping]) {
    assert.ok([100, 101].includes(report.latency.count), `${report.latency.count} were due`);
    assert.ok(report.lag!.maxNs <= 100_000, `${report.lag!.maxNs} late, of steps of 100 us`);
  }
  const { fake } = sleeping;
  assert.ok(fake.steps < spinning.fake.steps / 2, `${fake.steps} of ${spinning.fake.steps} turns`);
  assert.ok(fake.rests.every((us) => us >= 0 && us <= 1000));
});

test('a_generator_whose_connections_are_full_sleeps_until_an_answer_comes', () => {
  const options = { protocol: 'echo', connections: 2, rate: 5000, sleeps: 'yes' };
  const { fake, report } = runWith(() => () => Buffer.alloc(0), options);
  assert.ok(report.stalled > 400, `${report.stalled}`);
  const full = fake.rests.filter((us) => us === 1000).length;
  assert.ok(full > 100, `${full} rests as long as they may be`);
});

test('windows_are_equal_parts_of_the_measured_time_and_of_nothing_else', () => {
  const { report } = runWith(honestEcho, {
    ...{ protocol: 'echo', connections: 8, rate: 10_000, arrival: 'fixed', windows: 4 },
    ...{ warmupMs: 30, rushMs: 10 },
  });
  const counts = report.windows!.map(({ count }) => count);
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    report.latency.count,
  );
  for (const count of counts) assert.ok(Math.abs(count - 250) <= 1, `${counts}`);
  assert.equal(runWith(honestEcho, { protocol: 'echo' }).report.windows, undefined);
});

test('percentiles_agree_with_a_recorder_that_keeps_everything', () => {
  const { report } = runWith(
    honestEcho,
    { protocol: 'echo', connections: 5, rate: 30_000, naive: 100_000, durationMs: 500 },
    { pieceBytes: 40 },
  );
  const { latency, naive } = report;
  assert.equal(naive!['count'], latency.count);
  for (const name of ['p50Ns', 'p90Ns', 'p99Ns', 'p999Ns', 'p9999Ns'] as const) {
    const exact = naive![name]!;
    assert.ok(latency[name] >= exact && latency[name] <= exact * (1 + 1 / 128), name);
  }
});

test('requests_that_are_never_answered_count_with_the_time_they_waited', () => {
  const mute: FakeServer = () => {
    let left = 20 * 64;
    return (bytes) => {
      left -= bytes.length;
      return left < 0 ? Buffer.alloc(0) : bytes;
    };
  };
  const open = runWith(mute, { protocol: 'echo', connections: 2, rate: 5000, arrival: 'fixed' });
  // All 500 that were due in 100 ms, few of them answered; the last was given up after 50 ms.
  assert.ok(
    [500, 501].includes(open.report.latency.count),
    `${open.report.latency.count} were due`,
  );
  assert.ok(open.report.stalled > 450);
  assert.ok(open.report.latency.maxNs >= 100e6);
  const closed = runWith(mute, { protocol: 'echo', connections: 2, depth: 3, warmupMs: 0 });
  assert.equal(closed.report.stalled, 6);
});

test('overload_is_seen_as_latency_and_as_a_rate_below_the_offered_one', () => {
  // One request a connection and step of 100 us: 4 connections serve 40,000 a second at most.
  const { report } = runWith(honestEcho, { protocol: 'echo', connections: 4, rate: 100_000 });
  assert.ok(report.messagesPerSecond < 42_000, `${report.messagesPerSecond}`);
  assert.ok(report.latency.p99Ns > 50e6);
  assert.ok(report.latency.count > 9000, 'every request that was due counts');
});

test('keys_that_are_missing_from_an_answer_do_not_hold_it_up', () => {
  // A long key that is missing before a short one that is there: the whole answer may be shorter
  // than the long line.
  const options = { workload: 'etc', multiGet: 8, hitRatio: 0.5, connections: 8, records: 100 };
  const { report } = runWith(memcachedServer(), options);
  assert.equal(report.stalled, 0);
  assert.ok(report.hits! > 100 && report.misses! > 100 && report.lost === 0);
});

test('sets_have_their_share_and_the_sizes_of_the_workload', () => {
  const values = new Map<string, string>();
  const { report } = runWith(memcachedServer(values), {
    ...{ workload: 'etc', update: 0.3, records: 200, connections: 8, depth: 4, durationMs: 400 },
  });
  assert.equal(values.size, 200);
  const share = report.sets! / report.messages;
  assert.ok(Math.abs(share - 0.3) <= 5 * Math.sqrt(0.21 / report.messages), `${share}`);
  const keys = [...values.keys()];
  assert.ok(new Set(keys.map((key) => key.length)).size > 5, 'keys of many sizes');
  assert.ok(Math.max(...[...values.values()].map((value) => value.length)) > 500);
});

test('the_same_seed_asks_for_the_same_keys_and_another_generator_for_others', () => {
  const asked = (options: Record<string, string | number>): string[] => {
    const lines: string[] = [];
    const noting: FakeServer = () => {
      const answer = memcachedServer()();
      return (bytes) => {
        lines.push(...(bytes.toString('latin1').match(/get \S+/g) ?? []));
        return answer(bytes);
      };
    };
    runWith(noting, { records: 100, connections: 1, hitRatio: 0.5, fill: 'no', ...options });
    return lines.slice(0, 50);
  };
  assert.deepEqual(asked({ seed: 3 }), asked({ seed: 3 }));
  assert.notDeepEqual(asked({ seed: 3 }), asked({ seed: 3, index: 1 }));
});

test('fill_only_stores_the_keys_and_nothing_else', () => {
  const values = new Map<string, string>();
  const { report } = runWith(memcachedServer(values), { fill: 'only', records: 50 });
  assert.equal(report.kind, 'load');
  assert.equal(report.messages, 0);
  assert.equal(values.size, 50);
});

test('a_stored_key_that_is_gone_counts_as_lost', () => {
  let gets = 0;
  const forgetful = memcachedServer(undefined, (a) => (++gets % 10 === 0 ? 'END\r\n' : a));
  const { report } = runWith(forgetful, { records: 20 });
  assert.ok(report.lost! > 0 && report.lost === report.misses);
});

test('a_wrong_key_size_value_or_ending_and_an_error_line_end_the_run', () => {
  const lies: ((answer: string) => string)[] = [
    (a) => a.replace(/VALUE 0/, 'VALUE 1'),
    (a) => a.replace(/VALUE \d+ /, 'VALUE '),
    (a) => a.replace(/ 200\r\n/, ' 199\r\n'),
    (a) => a.replace(/ 0 200/, ' 1 200'),
    (a) => a.replace(/(.)\r\nEND/s, '~~~~\r\nEND').replace(/ 200\r\n..../s, ' 200\r\n~'),
    (a) => a.replace(/END\r\n$/, 'END\n\r'),
    (a) => a.replace(/\r\nEND/, '\n\nEND'),
    (a) => a + a,
    () => 'SERVER_ERROR out of memory\r\n',
  ];
  for (const [i, lie] of lies.entries()) {
    const { report } = runWith(memcachedServer(undefined, lie), { records: 5, fill: 'yes' });
    assert.match(failureOf(report), /was not (the answer|asked for)/, `lie ${i}`);
  }
  const refusing: FakeServer = () => (bytes) =>
    Buffer.from(bytes.length > 0 ? 'SERVER_ERR\r\n' : '');
  assert.match(failureOf(runWith(refusing, {}).report), /"SERVER_ERR.*not the answer/);
  const twice: FakeServer = () => (bytes) => Buffer.concat([bytes, bytes]);
  assert.match(
    failureOf(runWith(twice, { protocol: 'echo' }).report),
    /not asked for|not the answer/,
  );
});

test('keys_that_are_not_stored_in_time_and_a_start_that_is_missed_end_the_run', () => {
  const mute: FakeServer = () => () => Buffer.alloc(0);
  const late = runWith(mute, { openMs: 200, connections: 4 });
  assert.match(failureOf(late.report), /not ready after 200 ms: 4 of 4/);
  const missed = runWith(memcachedServer(), { startAtMs: Date.now() - 1000 });
  assert.match(failureOf(missed.report), /not ready \d+ ms after the start; .*--prepare/);
});

test('progress_is_told_while_it_runs', () => {
  const { fake } = runWith(memcachedServer(), { progressMs: 20 });
  const told = fake.reports.filter((r) => (r as { kind: string }).kind === 'load-progress');
  const phases = new Set(told.map((r) => (r as { phase: string }).phase));
  assert.ok(told.length >= 4 && phases.has('measuring'), JSON.stringify(told));
});

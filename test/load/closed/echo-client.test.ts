import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import echoClient from '../../../src/load/closed/echo-client.ts';
import type { LoadFailure, LoadResult } from '../../../src/load/result/result.ts';
import { holds, randomFrom } from '../../arena/property.ts';
import { FakeIx, type FakeServer } from '../fake-ix.ts';

const OPTIONS = { host: '10.0.0.1', port: '7', warmupMs: '2', durationMs: '20' };
const honest: FakeServer = () => (bytes) => bytes;

const runWith = (server: FakeServer, options: Record<string, string>, seed = 1, refuse = 0) => {
  const fake = new FakeIx({ random: randomFrom(seed), server, refuse, pieceBytes: 3000 });
  echoClient(fake.ix, { ...OPTIONS, ...options });
  fake.run();
  return { fake, report: fake.reports[0] as LoadResult };
};

test('any_shape_of_load_is_answered_and_counted', () => {
  holds(
    fc.property(
      fc.record({
        connections: fc.integer({ min: 1, max: 9 }),
        depth: fc.integer({ min: 1, max: 40 }),
        size: fc.oneof(fc.integer({ min: 4, max: 80 }), fc.integer({ min: 4, max: 9000 })),
        clock: fc.constantFrom('batch', 'fine'),
        refuse: fc.constantFrom(0, 0.3),
        seed: fc.integer(),
      }),
      ({ connections, depth, size, clock, refuse, seed }) => {
        let echoed = 0;
        const counting: FakeServer = () => (bytes) => {
          echoed += bytes.length;
          return bytes;
        };
        const shape = { connections, depth, size };
        const options = Object.fromEntries(Object.entries(shape).map(([k, v]) => [k, String(v)]));
        const { report } = runWith(counting, { ...options, clock }, seed, refuse);
        assert.equal(report.kind, 'load', JSON.stringify(report));
        assert.deepEqual(
          { connections: report.connections, depth: report.depth, size: report.size },
          shape,
        );
        assert.ok(report.messages > 0 && report.messages <= echoed / size);
        assert.equal(report.latency.count, report.messages);
        assert.equal(report.stalled, 0);
      },
    ),
    60,
  );
});

test('round_trips_in_batch_time_are_those_of_the_virtual_clock', () => {
  const { report } = runWith(honest, { connections: '4' });
  // The fake delivers in 7 of 8 steps of 100 us: most answers take one step.
  assert.equal(report.latency.p50Ns, 100_000);
  assert.ok(report.latency.maxNs >= 200_000);
});

test('a_connection_that_refuses_to_send_is_served_when_it_has_drained', () => {
  const { fake, report } = runWith(honest, { connections: '3', depth: '8' }, 7, 0.5);
  assert.equal(report.kind, 'load');
  assert.ok(fake.refusals > 0);
});

test('a_wrong_byte_at_either_end_of_an_answer_ends_the_run', () => {
  for (const at of [0, 63]) {
    let messages = 0;
    const liar: FakeServer = () => (bytes) => {
      const answer = Buffer.from(bytes);
      if (bytes.length > 0 && ++messages === 20) answer[at] = answer[at]! ^ 1;
      return answer;
    };
    const fake = new FakeIx({ random: randomFrom(1), server: liar });
    echoClient(fake.ix, OPTIONS);
    fake.run();
    const [failure] = fake.reports as [LoadFailure];
    assert.equal(failure.kind, 'load-failed');
    assert.match(failure.message, /not what was sent/);
    assert.ok(fake.connections.every((c) => c.isClosed));
    assert.equal(fake.reports.length, 1);
  }
});

test('an_answer_of_another_message_ends_the_run', () => {
  const replaying: FakeServer = () => {
    let first: Buffer | undefined;
    return (bytes) => {
      if (bytes.length > 0) first ??= bytes;
      return bytes.length > 0 ? first! : bytes;
    };
  };
  assert.equal((runWith(replaying, {}).report as { kind: string }).kind, 'load-failed');
});

test('a_server_that_says_more_than_it_was_told_ends_the_run', () => {
  const twice: FakeServer = () => (bytes) => Buffer.concat([bytes, bytes]);
  assert.equal((runWith(twice, {}).report as { kind: string }).kind, 'load-failed');
});

test('a_server_that_stops_answering_shows_as_stalled', () => {
  const mute: FakeServer = () => {
    let left = 10;
    return (bytes) => (bytes.length > 0 && left-- <= 0 ? Buffer.alloc(0) : bytes);
  };
  const { report } = runWith(mute, { connections: '5', durationMs: '1000' });
  assert.equal(report.stalled, 5);
});

test('a_closed_connection_is_named_and_ends_the_run', () => {
  const fake = new FakeIx({ random: randomFrom(1), server: honest });
  echoClient(fake.ix, { ...OPTIONS, connections: '2' });
  while (fake.connections.length < 2) fake.step();
  const [, second] = fake.connections;
  second!.handlers.closed?.(second as never, 1);
  fake.run();
  const [failure] = fake.reports as [LoadFailure];
  assert.equal(failure.message, '10.0.0.1:7: connection 1 ended: reset');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import kvClient from '../../../src/load/closed/kv-client.ts';
import type { LoadFailure, LoadResult } from '../../../src/load/result/result.ts';
import { randomFrom, SEED } from '../../arena/property.ts';
import { FakeIx, type FakeServer } from '../fake-ix.ts';

const OPTIONS = {
  host: '10.0.0.1',
  port: '11211',
  warmupMs: '2',
  durationMs: '40',
  keys: '500',
  connections: '4',
  depth: '3',
};

/**
 * Enough of memcached: set and get, requests in any pieces. `get` may be told to answer otherwise.
 */
const store =
  (values = new Map<string, string>(), distort = (answer: string) => answer): FakeServer =>
  () => {
    let text = '';
    return (bytes) => {
      text += bytes.toString('latin1');
      let answer = '';
      for (;;) {
        const set = /^set (\S+) (\d+) (\d+) (\d+)\r\n/.exec(text);
        const get = /^get (\S+)\r\n/.exec(text);
        if (set) {
          const end = set[0].length + Number(set[4]);
          if (text.length < end + 2) break;
          assert.equal(text.slice(end, end + 2), '\r\n');
          values.set(set[1]!, text.slice(set[0].length, end));
          text = text.slice(end + 2);
          answer += 'STORED\r\n';
        } else if (get) {
          const value = values.get(get[1]!);
          text = text.slice(get[0].length);
          const line =
            value === undefined ? '' : `VALUE ${get[1]} 0 ${value.length}\r\n${value}\r\n`;
          answer += distort(`${line}END\r\n`);
        } else break;
      }
      return Buffer.from(answer, 'latin1');
    };
  };

function runWith(server: FakeServer, options: Record<string, string> = {}, refuse = 0) {
  const random = randomFrom(SEED);
  const fake = new FakeIx({ random, server, refuse, pieceBytes: 90 });
  kvClient(fake.ix, { ...OPTIONS, ...options });
  fake.run();
  return fake.reports[0] as LoadResult;
}

const failureOf = (report: LoadResult): string => {
  assert.equal((report as { kind: string }).kind, 'load-failed');
  return (report as unknown as LoadFailure).message;
};

test('every_key_is_stored_once_with_its_value_and_then_asked_for', () => {
  const values = new Map<string, string>();
  const report = runWith(store(values));
  assert.equal(report.kind, 'load', JSON.stringify(report));
  assert.equal(values.size, 500);
  for (const [key, value] of values) assert.equal(value, key + key);
  assert.ok(report.messages > 100);
  assert.equal(report.hits! + report.misses!, report.messages);
  assert.equal(report.lost, 0);
  assert.equal(report.stalled, 0);
});

test('the_share_of_hits_is_the_one_asked_for', () => {
  for (const hitRatio of ['0.95', '0.5', '1']) {
    const { hits, messages } = runWith(store(), { hitRatio, durationMs: '400' });
    // Five standard deviations of a binomial share.
    const p = Number(hitRatio);
    assert.ok(Math.abs(hits! / messages - p) <= 5 * Math.sqrt((p * (1 - p)) / messages));
  }
});

test('the_same_seed_asks_for_the_same_keys_and_another_for_others', () => {
  const asked = (seed: string): string[] => {
    const keys: string[] = [];
    const noting: FakeServer = () => {
      const answer = store()();
      return (bytes) => {
        keys.push(...(bytes.toString('latin1').match(/get \S+/g) ?? []));
        return answer(bytes);
      };
    };
    runWith(noting, { seed, connections: '1', depth: '1' });
    return keys.slice(0, 50);
  };
  assert.deepEqual(asked('3'), asked('3'));
  assert.notDeepEqual(asked('3'), asked('4'));
});

test('refused_sends_are_made_up_for', () => {
  const report = runWith(store(), {}, 0.4);
  assert.equal(report.kind, 'load', JSON.stringify(report));
  assert.equal(report.stalled, 0);
});

test('a_stored_key_that_is_gone_counts_as_lost', () => {
  let gets = 0;
  const forgetful = store(undefined, (answer) => (++gets % 10 === 0 ? 'END\r\n' : answer));
  const report = runWith(forgetful, { hitRatio: '1' });
  assert.ok(report.lost! > 0 && report.lost === report.misses);
});

test('a_wrong_value_key_or_ending_and_an_error_line_end_the_run', () => {
  const lies: ((answer: string) => string)[] = [
    (answer) => answer.replace(/key-(.{27})/, 'kex-$1'),
    (answer) => answer.replace(/(.)\r\nEND/, '~\r\nEND'),
    (answer) => answer.replace(/END\r\n$/, 'END\n\r'),
    () => 'SERVER_ERROR out of memory\r\n',
  ];
  for (const lie of lies) {
    assert.match(failureOf(runWith(store(undefined, lie), { hitRatio: '1' })), /GET was answered/);
  }
  const refusing: FakeServer = () => (bytes) =>
    Buffer.from(bytes.length > 0 ? 'SERVER_ERROR out of memory storing object\r\n' : '');
  assert.match(failureOf(runWith(refusing)), /SET was answered "SERVER/);
});

test('answers_nobody_asked_for_end_the_run', () => {
  const twice = store(undefined, (answer) => answer + answer);
  assert.match(failureOf(runWith(twice, { depth: '1' })), /GET was answered/);
});

test('keys_that_are_not_stored_in_time_end_the_run', () => {
  const mute: FakeServer = () => () => Buffer.alloc(0);
  assert.match(failureOf(runWith(mute, { openMs: '200' })), /not ready after 200 ms: 4 of 4/);
});

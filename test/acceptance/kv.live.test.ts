/**
 * kv as its users' clients meet it, through our own TCP: libmemcached's conformance suite, the npm
 * client `memcached` with 100,000 values, and a parser that gets its requests cut anywhere.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { enterNamespace } from '../control/namespace.ts';
import { Random } from '../net/random.ts';
import { Client } from './client.ts';
import { needs, run } from './programs.ts';
import { DOMAINS, Serving } from './serving.ts';

enterNamespace();

const VALUES = 100_000;
/** Connections of the npm client, and its requests in flight: it refuses more of them. */
const IN_FLIGHT = 32;
const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

type Done = (error: unknown, data: unknown) => void;
/** What is used of the npm client, which has no types. */
interface NpmClient {
  set(key: string, value: string, seconds: number, done: Done): void;
  get(key: string, done: Done): void;
  end(): void;
}
type NpmOptions = { poolSize: number; timeout: number; retries: number };
const Memcached = createRequire(import.meta.url)('memcached') as new (
  server: string,
  options: NpmOptions,
) => NpmClient;

/** What a conversation must be, word for word; it leaves the store as it found it. */
const CONVERSATION: readonly [request: string, answer: string][] = [
  ['set torture 7 0 5\r\nhe\r\nl\r\n', 'STORED\r\n'],
  ['get torture\r\n', 'VALUE torture 7 5\r\nhe\r\nl\r\nEND\r\n'],
  ['append torture 0 0 2\r\n!!\r\n', 'STORED\r\n'],
  ['get none torture none\r\n', 'VALUE torture 7 7\r\nhe\r\nl!!\r\nEND\r\n'],
  ['add torture 0 0 1\r\nx\r\n', 'NOT_STORED\r\n'],
  ['set count 0 0 2 noreply\r\n41\r\n', ''],
  ['incr count 1\r\n', '42\r\n'],
  ['decr count 50\r\n', '0\r\n'],
  ['bogus\r\n', 'ERROR\r\n'],
  ['get\r\n', 'ERROR\r\n'],
  ['touch none 0\r\n', 'NOT_FOUND\r\n'],
  ['delete torture\r\n', 'DELETED\r\n'],
  ['delete count noreply\r\n', ''],
  ['get torture count\r\n', 'END\r\n'],
];
const ASKED = Buffer.from(CONVERSATION.map(([request]) => request).join(''));
const ANSWERED = CONVERSATION.map(([, answer]) => answer).join('');

/** Calls `one` for 0..count-1, `IN_FLIGHT` at a time. */
async function each(count: number, one: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

const storedUnder = (index: number): string => `value ${index} ${'x'.repeat(index % 97)}`;

for (const domain of DOMAINS) {
  describe(`kv ${domain}`, { skip: needs('memccapable'), timeout: 180_000 }, () => {
    let serving: Serving;
    before(async () => {
      serving = await Serving.start(['kv', '--domain', domain, '-m', '128']);
    });
    after(async () => {
      await serving.stop();
    });

    test(`${domain}_memccapableAsciiSuite_passes`, async () => {
      const command = ['memccapable', '-h', serving.address, '-p', `${serving.port}`, '-a'];
      const { exitCode, output, errors } = await run(command);
      const told = output.toString() + errors;
      assert.equal(exitCode, 0, told);
      assert.match(told, /All tests passed/, told);
      assert.doesNotMatch(told, /\[FAIL\]/);
    });

    test(`${domain}_npmClient_stores100000ValuesAndReadsThem`, async (t) => {
      const options = { poolSize: IN_FLIGHT, timeout: 20_000, retries: 0 };
      const client = new Memcached(`${serving.address}:${serving.port}`, options);
      const start = performance.now();
      const call = <T>(ask: (done: Done) => void): Promise<T> =>
        new Promise((resolve, reject) => {
          ask((error, data) => (error ? reject(error) : resolve(data as T)));
        });
      await each(VALUES, async (i) => {
        assert.equal(await call((done) => client.set(`key-${i}`, storedUnder(i), 0, done)), true);
      });
      await each(VALUES, async (i) => {
        assert.equal(await call((done) => client.get(`key-${i}`, done)), storedUnder(i));
      });
      client.end();
      t.diagnostic(`${((performance.now() - start) / 1000).toFixed(1)} s`);
    });

    test(`${domain}_requestsSplitAtEveryByte_answeredAsWhole`, async () => {
      const client = await Client.open(serving.address, serving.port);
      for (let cut = 1; cut < ASKED.length; cut++) {
        await client.write(ASKED.subarray(0, cut));
        await client.write(ASKED.subarray(cut));
        assert.equal(await client.text(ANSWERED.length), ANSWERED, `cut after ${cut} bytes`);
      }
      for (let i = 0; i < ASKED.length; i++) await client.write(ASKED.subarray(i, i + 1));
      assert.equal(await client.text(ANSWERED.length), ANSWERED, 'byte by byte');
      await client.close();
    });

    test(`${domain}_requestsSplitAtRandom_answeredAsWhole`, async (t) => {
      t.diagnostic(`SEED=${SEED}`);
      const random = new Random(SEED);
      const client = await Client.open(serving.address, serving.port);
      const ROUNDS = 20;
      const asked = Buffer.concat(Array.from({ length: ROUNDS }, () => ASKED));
      for (let at = 0; at < asked.length; ) {
        const length = 1 + random.below(random.pick([3, 60, 1500]));
        await client.write(asked.subarray(at, at + length));
        at += length;
      }
      assert.equal(await client.text(ANSWERED.length * ROUNDS), ANSWERED.repeat(ROUNDS));
      await client.close();
    });

    test(`${domain}_64RequestsInOneSegment_64Answers`, async () => {
      const client = await Client.open(serving.address, serving.port);
      const COUNT = 64;
      const numbers = Array.from({ length: COUNT }, (_, i) => `${10 + i}`);
      const sets = numbers.map((n) => `set p${n} 0 0 2\r\n${n}\r\n`).join('');
      const gets = numbers.map((n) => `get p${n}\r\n`).join('');
      assert.ok(sets.length < 1448 && gets.length < 1448, 'each fits one segment');
      const segments = serving.counters()['tcpHeaderPredicted']!;
      await client.write(sets);
      const stored = 'STORED\r\n'.repeat(COUNT);
      assert.equal(await client.text(stored.length), stored);
      await client.write(gets);
      const values = numbers.map((n) => `VALUE p${n} 0 2\r\n${n}\r\nEND\r\n`).join('');
      assert.equal(await client.text(values.length), values);
      // Two segments of data, and at most a few acknowledgements of the answers.
      const came = serving.counters()['tcpHeaderPredicted']! - segments;
      assert.ok(came >= 2 && came < 12, `${came} segments`);
      await client.close();
    });
  });
}

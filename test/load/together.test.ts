/**
 * Several generators as one, and agents: on the loopback, with members that measure nothing.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { test } from 'node:test';
import { parseAgentAddress, remoteMember, serveAgent } from '../../src/load/agent.ts';
import type { GeneratorSettings } from '../../src/load/generator/options.ts';
import { mergeResults } from '../../src/load/result/merge.ts';
import { divide, type Member, together } from '../../src/load/together.ts';
import { resultOf } from './fake-result.ts';

const HERE = { host: '127.0.0.1', port: 0 };
const TARGET = { host: '10.0.0.1', port: 11_211 };

interface Asked {
  settings: GeneratorSettings;
  startInMs: number | undefined;
}

function noting(latencyNs = 1000): { member: Member; asked: Asked[] } {
  const asked: Asked[] = [];
  const run: Member['run'] = async (settings, startInMs) => {
    asked.push({ settings, startInMs });
    return resultOf([latencyNs], { connections: Number(settings.connections) });
  };
  return { member: { name: 'noting', run }, asked };
}

test('merged_results_are_sums_and_percentiles_of_all', () => {
  const [fast, slow] = [Array(90).fill(1000), Array(10).fill(50_000)];
  const extra = { service: resultOf(fast).latency, serviceHistogram: resultOf(fast).histogram };
  const merged = mergeResults([
    resultOf(fast, { hits: 5, offeredPerSecond: 100, ...extra }),
    resultOf(slow, { hits: 7, offeredPerSecond: 100, stalled: 1, ...extra }),
  ]);
  assert.equal(merged.messages, 100);
  assert.equal(merged.messagesPerSecond, 100);
  assert.equal(merged.connections, 4);
  assert.deepEqual([merged.hits, merged.offeredPerSecond, merged.stalled], [12, 200, 1]);
  assert.equal(merged.latency.p90Ns, 1000);
  assert.ok(merged.latency.p99Ns >= 50_000 && merged.latency.p99Ns < 50_500);
  assert.equal(merged.service!.count, 180);
  assert.equal(merged.lag, undefined);
});

test('connections_and_rate_are_divided_among_generators', () => {
  const shares = divide({ ...TARGET, connections: 10, rate: 900 }, 3);
  assert.deepEqual(
    shares.map((share) => share.connections),
    [3, 3, 4],
  );
  assert.deepEqual(
    shares.map((share) => [share.rate, share.index]),
    [
      [300, 0],
      [300, 1],
      [300, 2],
    ],
  );
  assert.throws(() => divide({ ...TARGET, connections: 2 }, 3), /3 generators cannot share 2/);
});

test('the_first_generator_stores_the_keys_and_then_all_begin_together', async () => {
  const [one, other] = [noting(), noting(3000)];
  const run = together([one.member, other.member], 700);
  const result = await run({ ...TARGET, connections: 4, rate: 100 });
  assert.deepEqual(
    one.asked.map(({ settings, startInMs }) => [settings.fill, settings.rate, startInMs]),
    [
      ['only', 0, undefined],
      ['no', 50, 700],
    ],
  );
  assert.deepEqual(
    other.asked.map(({ settings, startInMs }) => [settings.fill, startInMs]),
    [['no', 700]],
  );
  assert.deepEqual([result.messages, result.connections, result.latency.maxNs], [2, 4, 3000]);
});

test('a_generator_that_fails_is_named_when_all_have_ended', async () => {
  let hasEnded = false;
  const failing: Member = { name: 'agent x:1', run: () => Promise.reject(new Error('no way')) };
  const slow: Member = {
    name: 'slow',
    run: async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      hasEnded = true;
      return resultOf([1]);
    },
  };
  const run = together([slow, failing], 0);
  await assert.rejects(run({ ...TARGET, fill: 'no' }), /agent x:1: no way/);
  assert.ok(hasEnded);
});

async function agentWith(member: Member, token = 'secret') {
  const server = await serveAgent(HERE, token, member);
  const { port } = server.address() as AddressInfo;
  return { server, address: { host: HERE.host, port } };
}

test('an_agent_runs_what_it_is_asked_and_returns_the_result_whole', async () => {
  const { member, asked } = noting();
  const { server, address } = await agentWith(member);
  const settings = { ...TARGET, rate: 100, workload: 'etc', connections: 3 } as const;
  const result = await remoteMember(address, 'secret').run(settings, 300);
  assert.deepEqual(asked, [{ settings, startInMs: 300 }]);
  assert.deepEqual(result, resultOf([1000], { connections: 3 }));
  server.close();
});

test('an_agent_refuses_a_wrong_token_a_second_load_and_what_it_does_not_understand', async () => {
  const release = Promise.withResolvers<void>();
  const { member, asked } = noting();
  const slow: Member = {
    name: 'slow',
    run: async (settings, startInMs) => {
      await release.promise;
      return member.run(settings, startInMs);
    },
  };
  const { server, address } = await agentWith(slow);
  await assert.rejects(remoteMember(address, 'guess').run(TARGET, undefined), /token is not/);
  const first = remoteMember(address, 'secret').run(TARGET, undefined);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await assert.rejects(remoteMember(address, 'secret').run(TARGET, undefined), /another load/);
  release.resolve();
  await first;
  assert.equal(asked.length, 1);
  for (const line of ['', '{', '{"version":2,"token":"","settings":{},"startInMs":null}', '[]']) {
    const socket = connect(address.port, address.host);
    socket.write(`${line}\n`);
    const [reply] = await once(socket, 'data');
    assert.match(String(reply), /^\{"error":/, line);
  }
  server.close();
});

test('an_agent_whose_caller_goes_away_gives_its_load_up', async () => {
  const started = Promise.withResolvers<void>();
  const givenUp = Promise.withResolvers<void>();
  const endless: Member = {
    name: 'endless',
    run: (_settings, _startInMs, signal) =>
      new Promise((_resolve, reject) => {
        started.resolve();
        signal?.addEventListener('abort', () => {
          reject(new Error('given up'));
          givenUp.resolve();
        });
      }),
  };
  const { server, address } = await agentWith(endless);
  const socket = connect(address.port, address.host);
  const request = { version: 1, token: 'secret', settings: TARGET, startInMs: null };
  socket.write(`${JSON.stringify(request)}\n`);
  await started.promise;
  socket.destroy();
  await givenUp.promise;
  server.close();
});

test('an_agent_that_fails_says_why_and_one_that_is_not_there_is_named', async () => {
  const failing: Member = { name: 'x', run: () => Promise.reject(new Error('no interface')) };
  const { server, address } = await agentWith(failing);
  const remote = remoteMember(address, 'secret');
  await assert.rejects(remote.run(TARGET, undefined), /no interface/);
  server.close();
  await once(server, 'close');
  await assert.rejects(remote.run(TARGET, undefined), /ECONNREFUSED/);
});

test('an_agent_that_others_can_reach_needs_a_token', async () => {
  const { member } = noting();
  assert.throws(() => serveAgent({ host: '0.0.0.0', port: 0 }, '', member), /needs a token/);
  const server = await serveAgent(HERE, '', member);
  server.close();
});

test('addresses_of_agents_are_hosts_and_ports', () => {
  assert.deepEqual(parseAgentAddress('5000'), { host: '127.0.0.1', port: 5000 });
  assert.deepEqual(parseAgentAddress('loader-2:5000'), { host: 'loader-2', port: 5000 });
  for (const text of ['', 'x', 'x:', 'x:0', 'x:70000', 'a:b:1']) {
    assert.throws(() => parseAgentAddress(text), /not the address of an agent/, text);
  }
});

/**
 * The clients that only the paper's figures need, over the cable: what they count is what they were
 * asked for.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CABLE_SERVER_ADDRESS, onCable, oursOnCable } from '../../bench/harness/cable.ts';
import type { NetpipeSize } from '../../bench/load/netpipe-client.ts';
import type { LoadResult } from '../../src/load/result/result.ts';

const appPath = (name: string): string =>
  fileURLToPath(new URL(`../../bench/apps/${name}.ts`, import.meta.url));

const run = async <T>(
  app: string,
  module: string,
  options: Record<string, string | number>,
): Promise<LoadResult & T> => {
  const settings = { ports: '2' };
  const server = oursOnCable({ app, settings, cpu: 1, idle: 'adaptive' });
  const where = { host: CABLE_SERVER_ADDRESS, port: 7 };
  const client = { module, cpu: 0, options: { ...where, ...options } };
  return (await onCable(server, client)) as LoadResult & T;
};

const TIMES = { warmupMs: 50, durationMs: 300, openMs: 20_000 };

test('many_everyConnection_answersBeforeTheRunEnds', async () => {
  const options = { connections: 3000, window: 16, size: 64, ...TIMES };
  const { answered, connections, messages } = await run<{ answered: number }>(
    ...([appPath('ports'), 'many-client', options] as const),
  );
  assert.deepEqual([answered, connections], [3000, 3000]);
  assert.ok(messages > 0);
});

test('churn_connections_endAfterTheirMessages', async () => {
  const options = { connections: 8, messages: 4, size: 64, ...TIMES };
  const { opened, messages } = await run<{ opened: number }>('echo', 'churn-client', options);
  assert.ok(messages > 0 && opened > 0);
  // Every fourth message opens a connection; eight may be under way at either end.
  assert.ok(Math.abs(opened - messages / 4) <= 8, `${opened} connections, ${messages} messages`);
});

test('netpipe_everySize_isMeasuredInOrder', async () => {
  const options = { sizes: '64 4096 100000', msPerSize: 30, durationMs: 1000 };
  const { sizes } = await run<{ sizes: NetpipeSize[] }>(
    ...([appPath('netpipe'), 'netpipe-client', options] as const),
  );
  assert.deepEqual(
    sizes.map(({ size }) => size),
    [64, 4096, 100_000],
  );
  for (const { rttNs, exchanges } of sizes) assert.ok(rttNs > 0 && exchanges >= 3);
});

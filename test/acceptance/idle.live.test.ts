/**
 * An idle server: less than 2 % of a core over 10 s, all its processes together, and the first request after that is
 * answered within 1 ms.
 *
 * - The best of the silences must be below 1 ms; all are printed. On a machine that others use, the rest say more of
 *   them than of us.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { compilePeer } from '../../bench/harness/compile.ts';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs, run } from './programs.ts';
import { cpuSeconds, DOMAINS, Serving } from './serving.ts';

enterNamespace();

const IDLE_SECONDS = 10;
const CORE_SHARE_MAX = 0.02;
/** Compilation and collection after the start are not idleness. */
const SETTLE_MS = 1000;
const ANSWER_MS_MAX = 1;
const SILENCES_MS = [1000, 500, 300, 200, 100];

describe('idle', { skip: needs('cc'), timeout: 120_000 }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_idleWithConnection_under2PercentThenAnswersWithin1ms`, async (t) => {
      await using serving = await Serving.start(['echo', '--domain', domain]);
      const client = await Client.open(serving.address, 7);
      await sleep(SETTLE_MS);
      const before = cpuSeconds(serving.pids);
      await sleep(IDLE_SECONDS * 1000);
      const share = (cpuSeconds(serving.pids) - before) / IDLE_SECONDS;
      t.diagnostic(`${(share * 100).toFixed(2)} % of a core over ${IDLE_SECONDS} s`);
      await client.write('first');
      assert.equal(await client.text(5), 'first');
      await client.close();
      const words = [serving.address, '7', ...SILENCES_MS.map(String)];
      const { exitCode, output, errors } = await run([compilePeer('first-request'), ...words]);
      assert.equal(exitCode, 0, errors);
      const answersMs = (JSON.parse(output.toString()) as number[]).map((ns) => ns / 1e6);
      const shown = answersMs.map((ms, i) => `${SILENCES_MS[i]} ms: ${ms.toFixed(3)}`);
      t.diagnostic(`first answer, ms, after a silence of ${shown.join(', ')}`);
      assert.ok(share < CORE_SHARE_MAX, `${share * 100} % of a core`);
      assert.ok(Math.min(...answersMs) < ANSWER_MS_MAX, `${answersMs} ms`);
      await serving.stop();
    });
  }
});

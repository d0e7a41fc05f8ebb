/**
 * Timers, promises and files of an application go on between batches, in both domains and
 * placements, while clients keep it busy, and also while nobody does.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs } from './programs.ts';
import { Serving } from './serving.ts';

enterNamespace();

const APP = fileURLToPath(new URL('apps/asynchronous.ts', import.meta.url));
const KINDS = ['timer', 'file', 'promise'];
const ROUNDS = 100;
/** Requests in a round; the answer to the last says that the service is alive. */
const LATE = 9;

/** Echoes without a pause until `isOver`: there is always a batch to run. */
async function keepBusy(serving: Serving, isOver: () => boolean): Promise<number> {
  const client = await Client.open(serving.address, serving.port);
  const lines = 'echo 0123456789\n'.repeat(50);
  let echoed = 0;
  while (!isOver()) {
    await client.write(lines);
    assert.equal(await client.text(lines.length), lines);
    echoed += 50;
  }
  await client.close();
  return echoed;
}

/** Asks for late answers; all must come, each once. Returns how many came. */
async function askLate(serving: Serving, name: string): Promise<number> {
  const client = await Client.open(serving.address, serving.port);
  for (let round = 0; round < ROUNDS; round++) {
    const lines = Array.from({ length: LATE }, (_, i) => `${KINDS[i % 3]} ${name}${round}.${i}`);
    const asked = `${lines.join('\n')}\n`;
    await client.write(asked);
    const answers = (await client.text(asked.length)).split('\n').slice(0, -1);
    assert.deepEqual(answers.sort(), lines.sort());
  }
  await client.close();
  return ROUNDS * LATE;
}

describe('asynchronous code', { skip: needs(), timeout: 120_000 }, () => {
  for (const words of ['--domain inline', '--domain process', '--placement split']) {
    test(`${words.replaceAll(' ', '_')}_underTraffic_everyLateAnswerComes`, async () => {
      await using serving = await Serving.start([APP, ...words.split(' ')], { verify: true });
      let isOver = false;
      const busy = [0, 1].map(() => keepBusy(serving, () => isOver));
      const asking = ['a', 'b', 'c'].map((name) => askLate(serving, name));
      const counts = await Promise.all(asking).finally(() => {
        isOver = true;
      });
      assert.deepEqual(counts, [900, 900, 900]);
      for (const echoed of await Promise.all(busy)) assert.ok(echoed >= 100, `${echoed} echoed`);
      await serving.stop();
    });

    test(`${words.replaceAll(' ', '_')}_nobodyElse_aLateAnswerWakesIt`, async () => {
      await using serving = await Serving.start([APP, ...words.split(' ')]);
      const client = await Client.open(serving.address, serving.port);
      for (const kind of KINDS) {
        await sleep(50); // it sleeps by now
        await client.write(`${kind} 1\n`);
        assert.equal(await client.text(kind.length + 3), `${kind} 1\n`);
      }
      await client.close();
      await serving.stop();
    });
  }
});

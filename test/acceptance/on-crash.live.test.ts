/**
 * `--on-crash`: what clients on the kernel's TCP see when an application is killed, crashes or
 * hangs. With rst every one a reset; with fin the end of the stream, except where bytes are lost:
 * those are told by a reset.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { Client } from './client.ts';
import { Serving } from './serving.ts';

enterNamespace();

const MISBEHAVING = fileURLToPath(new URL('apps/misbehaving.ts', import.meta.url));
const EXCHANGES = {
  echo: ['still there', 'still there'],
  kv: ['set a 0 0 5\r\nhello\r\n', 'STORED\r\n'],
} as const;
const AGAIN = /ready again\n$/;
/** Acknowledgements are delayed by this at most; then a quiet flow has nothing in its queues. */
const QUIET_MS = 100;
/** More than the kernel's receive buffer takes. */
const VALUE_BYTES = 1_000_000;
const VALUES = 20;

/** How a connection ends: 'end' of the stream, or the error's code. */
async function ending(client: Client): Promise<string> {
  try {
    await once(client.socket, 'end', { signal: AbortSignal.timeout(15_000) });
    return 'end';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? `${error}`;
  }
}

async function exchange(client: Client, app: keyof typeof EXCHANGES): Promise<void> {
  const [request, answer] = EXCHANGES[app];
  await client.write(request);
  assert.equal(await client.text(answer.length), answer);
}

/** Clients that have had their answers. */
async function quietClients(
  { address, port }: Serving,
  app: keyof typeof EXCHANGES,
  count: number,
): Promise<Client[]> {
  const clients = await Promise.all(
    Array.from({ length: count }, () => Client.open(address, port)),
  );
  for (const client of clients) await exchange(client, app);
  await sleep(QUIET_MS);
  return clients;
}

async function servesAgain(serving: Serving, app: keyof typeof EXCHANGES): Promise<void> {
  while (JSON.parse(await serving.line()).event !== 'restarted');
  const [client] = await quietClients(serving, app, 1);
  await client!.close();
}

describe('onCrash', { skip: needsRoot, timeout: 120_000 }, () => {
  for (const app of ['echo', 'kv'] as const) {
    for (const [how, seen] of [
      ['rst', 'ECONNRESET'],
      ['fin', 'end'],
    ] as const) {
      test(`${app}_${how}_applicationKilled_clientsSee_${seen}`, async () => {
        await using serving = await Serving.start([app, '--on-crash', how], { verify: true });
        const clients = await quietClients(serving, app, 20);
        const endings = clients.map(ending);
        process.kill(serving.facts.application!, 'SIGKILL');
        assert.deepEqual(await Promise.all(endings), Array(20).fill(seen));
        await servesAgain(serving, app);
        process.kill(serving.facts.dataplane, 0);
        assert.equal(serving.counters()['tcpResetsOut'], how === 'rst' ? 20 : 0);
        await serving.stop(AGAIN);
      });
    }
  }

  for (const misdeed of ['crash', 'hang'] as const) {
    test(`fin_${misdeed}_everyClientSeesTheEnd`, async () => {
      const words = [MISBEHAVING, '--on-crash', 'fin', '--hang-timeout', '1.5'];
      await using serving = await Serving.start(words);
      const clients = await quietClients(serving, 'echo', 2);
      const endings = clients.map(ending);
      await clients[0]!.write(misdeed);
      assert.deepEqual(await Promise.all(endings), ['end', 'end']);
      await servesAgain(serving, 'echo');
      await serving.stop(AGAIN);
    });
  }

  test('fin_requestThatNobodyWasGiven_resetTheOthersSeeTheEnd', async () => {
    await using serving = await Serving.start(['echo', '--on-crash', 'fin']);
    const clients = await quietClients(serving, 'echo', 3);
    const endings = clients.map(ending);
    process.kill(serving.facts.application!, 'SIGSTOP');
    await clients[0]!.write('given to it');
    await sleep(QUIET_MS);
    await clients[1]!.write('given to nobody');
    await sleep(QUIET_MS);
    process.kill(serving.facts.application!, 'SIGKILL');
    assert.deepEqual(await Promise.all(endings), ['end', 'ECONNRESET', 'end']);
    await servesAgain(serving, 'echo');
    await serving.stop(AGAIN);
  });

  test('fin_answersThatAreNotAcknowledged_reset', async () => {
    await using serving = await Serving.start(['kv', '--on-crash', 'fin']);
    const [reader, other] = await quietClients(serving, 'kv', 2);
    await reader!.write(`set big 0 0 ${VALUE_BYTES}\r\n${'x'.repeat(VALUE_BYTES)}\r\n`);
    assert.equal(await reader!.text(8), 'STORED\r\n');
    reader!.socket.pause();
    await reader!.write('get big\r\n'.repeat(VALUES));
    await sleep(500);
    const endings = [reader!, other!].map(ending);
    process.kill(serving.facts.application!, 'SIGKILL');
    assert.equal(await endings[1], 'end');
    reader!.socket.resume();
    assert.equal(await endings[0], 'ECONNRESET');
    await servesAgain(serving, 'kv');
    await serving.stop(AGAIN);
  });

  test('fin_adopted_isStillFin_andRstIsSomethingElse', async () => {
    const words = ['echo', '--on-crash', 'fin'];
    await using first = await Serving.start(words);
    const clients = await quietClients(first, 'echo', 2);
    await first.kill9();
    await using second = await Serving.start(words);
    assert.equal(second.facts.adoptedFrom, first.facts.pid);
    const endings = clients.map(ending);
    process.kill(second.facts.application!, 'SIGKILL');
    assert.deepEqual(await Promise.all(endings), ['end', 'end']);
    await servesAgain(second, 'echo');
    await second.kill9();
    await using third = await Serving.start(['echo']);
    assert.equal(third.facts.adoptedFrom, undefined);
    await third.stop(/not adopted \(what is asked for now is something else\)/);
  });
});

/** What signals do to the command that serves. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { Client } from './client.ts';
import { Serving } from './serving.ts';

enterNamespace();

/** Where Node's inspector listens, if it does. */
const INSPECTOR_PORT = 9229;

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.unref();
  });

test('serve_hangUpAndUserSignals_goesOnWithoutADebugger', { skip: needsRoot }, async () => {
  await using serving = await Serving.start(['echo']);
  const client = await Client.open(serving.address, serving.port);
  for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) {
    serving.child.kill(signal);
    await sleep(200);
    assert.equal(await answers(INSPECTOR_PORT), false, signal);
    await client.write(signal);
    assert.equal(await client.text(signal.length), signal);
  }
  await client.close();
  assert.equal(serving.errors, '');
  await serving.stop();
});

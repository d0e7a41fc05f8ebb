/**
 * The cable as a bench: ours and lwIP behind the same rings answer the same client, which checks
 * every byte.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CABLE_SERVER_ADDRESS,
  type CableServer,
  lwipMissing,
  lwipOnCable,
  onCable,
  oursOnCable,
} from '../../bench/harness/cable.ts';
import { findProgram } from '../../bench/harness/process.ts';

const noTaskset = !findProgram('taskset') && 'taskset is missing: apt-get install util-linux';

async function echoed(server: CableServer, size: number): Promise<number> {
  const options = { host: CABLE_SERVER_ADDRESS, port: 7, size, connections: 8, depth: 2 };
  const times = { warmupMs: 50, durationMs: 200 };
  const result = await onCable(server, {
    module: 'echo-client',
    cpu: 0,
    options: { ...options, ...times },
  });
  assert.equal(result.stalled, 0);
  return result.messages;
}

test('ours_on_the_cable_answers_every_message', { skip: noTaskset }, async () => {
  for (const size of [4, 1448, 5000]) {
    assert.ok((await echoed(oursOnCable({ app: 'echo', cpu: 1, idle: 'adaptive' }), size)) > 100);
  }
});

test('lwip_on_the_cable_answers_every_message', {
  skip: noTaskset || (lwipMissing() ?? false),
}, async () => {
  for (const size of [4, 1448, 5000]) assert.ok((await echoed(lwipOnCable(1, 7), size)) > 100);
});

/** `--connect`: whom an application may speak to first, on a real link. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { DOMAINS, Serving } from './serving.ts';

enterNamespace();

const CALLER = fileURLToPath(new URL('./apps/caller.ts', import.meta.url));
const HOST = '10.77.0.1';
const PORT = 4000;

async function hostServer(): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  server.listen(PORT);
  await once(server, 'listening');
  return server;
}

/** The first that is said of each. */
async function outcomes(domain: string, ...rule: string[]) {
  const words = [CALLER, `host=${HOST}`, `port=${PORT}`, '--domain', domain, ...rule];
  await using serving = await Serving.start(words);
  const said: Record<string, string> = {};
  while (said['tcp'] === undefined || said['udp'] === undefined) {
    for (const [key, value] of Object.entries(JSON.parse(await serving.line()))) {
      said[key] ??= String(value);
    }
  }
  const { egressDenied } = serving.counters();
  await serving.stop(rule.includes('none') ? /allow the address with --connect/ : /^$/);
  return { ...said, denied: egressDenied };
}

for (const domain of DOMAINS) {
  test(`connect_${domain}_asTheRuleSays`, { skip: needsRoot }, async () => {
    const server = await hostServer();
    const free = { tcp: 'opened', udp: 'OK', denied: 0 };
    assert.deepEqual(await outcomes(domain), free, 'a module of the user may');
    assert.deepEqual(await outcomes(domain, '--connect', 'fd00::/8,10.77.0.0/30'), free);
    const not = { tcp: 'denied', udp: 'DENIED', denied: 2 };
    assert.deepEqual(await outcomes(domain, '--connect', 'none'), not);
    server.close();
  });
}

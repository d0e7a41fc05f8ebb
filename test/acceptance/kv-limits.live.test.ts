/**
 * kv at its limits, over our own TCP with the kernel's at the other end: more connections than it has control blocks.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { DOMAINS, Serving } from './serving.ts';

enterNamespace();

const TOO_MANY = 'ERROR Too many open connections\r\n';
const VERSION = 'VERSION 1.6.18\r\n';

const statsOf = async (client: Client, name = ''): Promise<Map<string, string>> => {
  await client.write(`stats${name}\r\n`);
  let told = '';
  while (!told.endsWith('END\r\n')) told += await client.text(1);
  const rows = told.split('\r\n').filter((row) => row.startsWith('STAT '));
  return new Map(rows.map((row) => row.split(' ').slice(1) as [string, string]));
};

for (const domain of DOMAINS) {
  describe(`kv ${domain}, 40 flows`, { timeout: 60_000 }, () => {
    let serving: Serving;
    before(async () => {
      serving = await Serving.start(['kv', '--domain', domain, '--flows', '40']);
    });
    after(async () => {
      await serving.stop();
    });

    test(`${domain}_allConnectionsInUse_nextOneIsToldAndClosed`, async () => {
      const open = (): Promise<Client> => Client.open(serving.address, serving.port);
      const served: Client[] = [];
      for (let i = 0; i < 38; i++) {
        const client = await open();
        await client.write('version\r\n');
        assert.equal(await client.text(VERSION.length), VERSION);
        served.push(client);
      }
      // More of them than rows are kept: a closed one gives its row back.
      for (let i = 0; i < 20; i++) {
        const client = await open();
        const ended = once(client.socket, 'close');
        assert.equal(await client.text(TOO_MANY.length), TOO_MANY);
        await ended;
      }
      const told = await statsOf(served[0]!);
      assert.equal(told.get('max_connections'), '38');
      assert.equal(told.get('curr_connections'), '38');
      assert.equal(told.get('rejected_connections'), '20');
      assert.equal((await statsOf(served[0]!, ' settings')).get('maxconns'), '38');
      assert.equal(serving.counters()['tcpFlowsFull'], 0);
      const pid = serving.facts.application ?? serving.facts.dataplane;
      assert.equal(Number(told.get('pid')), pid, 'the number by which others know it');
      await served.pop()!.close();
      const next = await open();
      await next.write('version\r\n');
      assert.equal(await next.text(VERSION.length), VERSION);
      for (const client of [next, ...served]) await client.close();
    });
  });
}

/**
 * kv at its limits, over our own TCP with the kernel's at the other end: more connections than it
 * has control blocks, and get lines of any length from clients that write all before they read.
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

const VALUE = 'v'.repeat(1024);
/** Written to the end before a byte of the answer is read. */
const TAKEN_MS = 60_000;

async function writeUnread(client: Client, text: string): Promise<void> {
  client.socket.pause();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('the request is not read')), TAKEN_MS);
  });
  await Promise.race([client.write(text), late]);
  clearTimeout(timer);
}

for (const domain of DOMAINS) {
  describe(`kv ${domain}, long lines`, { timeout: 300_000 }, () => {
    let serving: Serving;
    let client: Client;
    const keys = Array.from({ length: 20_000 }, (_, i) => `key${i}`.padEnd(10, '_'));
    before(async () => {
      serving = await Serving.start(['kv', '--domain', domain, '-m', '64']);
      client = await Client.open(serving.address, serving.port);
      for (const key of keys) {
        await client.write(`set ${key} 0 0 ${VALUE.length} noreply\r\n${VALUE}\r\n`);
      }
      await client.write('version\r\n');
      assert.equal(await client.text(VERSION.length), VERSION);
    });
    after(async () => {
      await serving.stop();
    });

    test(`${domain}_getOf100000Keys_writtenBeforeAnythingIsRead_answered`, async () => {
      const asked = Array.from({ length: 100_000 }, (_, i) =>
        i % 5 < 2 ? keys[(i * 7) % keys.length]! : `none${i}`.padEnd(10, '_'),
      );
      await writeUnread(client, `get ${asked.join(' ')}\r\nversion\r\n`);
      client.socket.resume();
      for (const [i, key] of asked.entries()) {
        if (i % 5 >= 2) continue;
        const hit = `VALUE ${key} 0 1024\r\n${VALUE}\r\n`;
        assert.equal(await client.text(hit.length), hit);
      }
      assert.equal(await client.text(5), 'END\r\n');
      assert.equal(await client.text(VERSION.length), VERSION);
      assert.equal((await statsOf(client)).get('long_lines_refused'), '0');
    });

    test(`${domain}_endlessGets_neverRead_areRefusedAndOthersGoOn`, async () => {
      const line = `get ${Array.from({ length: 600_000 }, () => keys[0]!).join(' ')}`;
      const hostile: Client[] = [];
      for (let i = 0; i < 8; i++) {
        const one = await Client.open(serving.address, serving.port);
        one.socket.pause();
        one.write(line).catch(() => {});
        hostile.push(one);
      }
      const deadline = Date.now() + 90_000;
      let refused = 0;
      while (refused < hostile.length && Date.now() < deadline) {
        const told = await statsOf(client);
        refused = Number(told.get('long_lines_refused'));
        await client.write(`get ${keys[1]}\r\n`);
        const hit = `VALUE ${keys[1]} 0 1024\r\n${VALUE}\r\nEND\r\n`;
        assert.equal(await client.text(hit.length), hit);
      }
      assert.equal(refused, hostile.length);
      for (const one of hostile) one.socket.destroy();
      await client.close();
    });
  });
}

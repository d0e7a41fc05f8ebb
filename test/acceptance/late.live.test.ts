/**
 * What an application does late reaches nobody else, and what it reports ends nobody: in both
 * domains, over real connections.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs } from './programs.ts';
import { DOMAINS, Serving } from './serving.ts';

enterNamespace();

const APP = fileURLToPath(new URL('apps/late.ts', import.meta.url));
const ROUNDS = 3;
const CLIENTS = 12;
const LATE_MS = 500;
const DEEDS = ['write for-another', 'close', 'abort'];

const many = <T>(make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: CLIENTS }, (_, i) => make(i)));

/** Clients that ask and leave; then as many that ask nothing, and hear nothing. */
async function round(serving: Serving): Promise<void> {
  const open = () => Client.open(serving.address, serving.port);
  const asking = await many(open);
  for (const [i, client] of asking.entries()) await client.write(`${DEEDS[i % 3]}\n`);
  await sleep(LATE_MS / 5);
  for (const client of asking) client.socket.resetAndDestroy();
  await sleep(LATE_MS / 5);
  const silent = await many(open);
  await sleep(LATE_MS * 1.5);
  for (const client of silent) {
    assert.equal(client.socket.bytesRead, 0, 'what another client asked for');
    assert.equal(client.socket.readyState, 'open');
    await client.write('write mine\n');
  }
  for (const client of silent) {
    assert.equal(await client.text(11), 'write mine\n');
    await client.close();
  }
}

/** Bytes of memory that a process holds. */
function residentBytes(pid: number): number {
  const [, kiB] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))!;
  return Number(kiB) * 1024;
}

describe('late', { skip: needs(), timeout: 120_000 }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_clientsGoAndOthersCome_lateDeedsReachNobody`, async () => {
      await using serving = await Serving.start([APP, '--domain', domain], { verify: true });
      const steady = await Client.open(serving.address, serving.port);
      for (let i = 0; i < ROUNDS; i++) {
        await steady.write('write steady\n');
        await round(serving);
        assert.equal(await steady.text(13), 'write steady\n');
      }
      await steady.close();
      await serving.stop();
    });

    test(`${domain}_reportsThatCannotBe_areRefusedInALineAndTheServiceGoesOn`, async () => {
      await using serving = await Serving.start([APP, '--domain', domain]);
      const client = await Client.open(serving.address, serving.port);
      for (const kind of ['big', 'circle', 'bigint']) {
        await client.write(`report ${kind}\n`);
        assert.equal(await client.text(kind.length + 8), `report ${kind}\n`);
      }
      const { application, dataplane } = serving.facts;
      const before = residentBytes(application ?? dataplane);
      await client.write('report flood\n');
      assert.equal(await client.text(13), 'report flood\n');
      const grown = residentBytes(application ?? dataplane) - before;
      assert.ok(grown < 100 * 2 ** 20, `${grown >> 20} MiB more`);
      assert.equal(await serving.line(), 'flood'.repeat(200));
      await client.close();
      for (const pid of serving.pids) process.kill(pid, 0);
      serving.discard();
      // On a slow machine it is late as well, which the control plane says when it sees it.
      const late = '(ix: application late .* has not returned from a batch .*\\n)?';
      const refused = (why: string) =>
        `${late}ix: application error: a report was not sent: ${why}\\n`;
      const lines = ['\\d+ bytes of JSON, .*', '.*circular.*', '.*BigInt.*', 'earlier ones .*'];
      await serving.stop(
        new RegExp(`^${lines.map(refused).join('')}(${refused('earlier.*')})*${late}$`),
      );
    });
  }
});

/**
 * Packages that Node programs are made of, unmodified, on their own stack, confined, in both
 * domains: servers that the kernel's TCP asks, and clients that ask servers on the kernel's TCP.
 *
 * - The same programs stand on either side (test/node/packages): `servers/` and `clients/`, each
 *   client asking its server everything that its head comment says; `caches/` ask Debian's
 *   memcached, and our own kv.
 * - One service a domain runs all of them.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { enterNamespace } from '../control/namespace.ts';
import { CERTIFICATE, KEY } from '../node/certificate.ts';
import { installPackages } from './packages.ts';
import { needs } from './programs.ts';
import { DOMAINS, Serving } from './serving.ts';

const missing = needs('memcached');
const place = missing === false ? installPackages() : '';
enterNamespace();

process.env['CERTIFICATE'] = CERTIFICATE;
const PIPED = ['ignore', 'ignore', 'pipe'] as const;
/** Where the kernel's TCP is, as the service sees it. */
const KERNEL = '10.77.0.1';
const CONTROL_PORT = 3000;
/** Two thousand files are read. */
const START_MS = 90_000;
const LIMIT = { timeout: 60_000 };
const namesIn = (folder: string): string[] =>
  missing === false ? readdirSync(`${place}/${folder}`).sort() : [];

async function askFromHere(program: string, host: string): Promise<void> {
  const { ask } = (await import(`${place}/${program}`)) as { ask(host: string): Promise<void> };
  await ask(host);
}

describe('packages', { skip: missing, timeout: 600_000 }, () => {
  const kernels: ChildProcess[] = [];

  before(async () => {
    const env = { ...process.env, KEY };
    const servers = spawn(process.execPath, [`${place}/all.mjs`], { env, stdio: [...PIPED] });
    kernels.push(servers, spawn('memcached', ['-u', 'root'], { stdio: 'ignore' }));
    await once(servers.stderr!, 'data');
  });
  after(() => kernels.forEach((each) => void each.kill()));

  for (const domain of DOMAINS) {
    describe(domain, () => {
      let serving: Serving;
      before(async () => {
        const patience = ['--start-timeout', `${START_MS / 1000}`];
        const words = [`${place}/all.mjs`, '--domain', domain, ...patience];
        const env = ['--env', `KEY=${KEY}`, '--env', `CERTIFICATE=${CERTIFICATE}`];
        serving = await Serving.start([...words, ...env], { startMs: START_MS });
      });
      after(() => serving?.[Symbol.asyncDispose]());

      const asks = (folder: string, file: string) => {
        const [name = ''] = file.split('.');
        test(`${domain}_${name}_asks`, LIMIT, async () => {
          const path = `${folder}/${name}?host=${KERNEL}`;
          const answer = await fetch(`http://${serving.address}:${CONTROL_PORT}/${path}`);
          assert.equal(await answer.text(), 'ok');
        });
      };
      for (const file of namesIn('clients')) {
        const [name = ''] = file.split('.');
        test(`${domain}_${name}_serves`, LIMIT, () =>
          askFromHere(`clients/${file}`, serving.address),
        );
        asks('clients', file);
      }
      for (const file of namesIn('caches')) asks('caches', file);

      test(`${domain}_afterAll_endsInOrder`, async () => {
        // What a busy machine makes of ten megabytes in one go may be said.
        await serving.stop(/^up\n(ix: .*has not returned from a batch.*\n)*$/);
      });
    });
  }

  test('kv_memcached_isServed', LIMIT, async () => {
    await using kv = await Serving.start(['kv']);
    await askFromHere('caches/memcached.mjs', kv.address);
    await kv.stop();
  });
});

/**
 * `bin/ix flows` looks at connections of a service that runs: confined, in both domains, with and
 * without its control plane; the service goes on meanwhile, and who may not look is told so.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Flow } from '../../src/control/record/flows.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { Client } from './client.ts';
import { DOMAINS, IX, Serving } from './serving.ts';

enterNamespace();

const ix = (...words: string[]) => spawnSync(IX, words, { encoding: 'utf8', timeout: 60_000 });

/** Of the only service that is meant. */
function flows(...words: string[]): Flow[] {
  const { status, stdout, stderr } = ix('flows', ...words, '--json');
  assert.equal(status, 0, stderr);
  const { instances } = JSON.parse(stdout);
  assert.equal(instances.length, 1);
  return instances[0].flows;
}

const NOBODY = 65_534;

describe('flows', { skip: needsRoot, timeout: 300_000 }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_connections_areShownWithTheirState_alsoOfAnOrphan`, async () => {
      await using serving = await Serving.start(['echo', '--domain', domain, '--threads', '2']);
      const { address } = serving;
      const clients = [];
      for (let i = 0; i < 16; i++) clients.push(await Client.open(address, 7));
      const six = await Client.open('fd77::2', 7);
      for (const client of [...clients, six]) {
        await client.write('hello');
        assert.equal(await client.text(5), 'hello');
      }
      const all = flows();
      const four = all.filter(({ remote }) => remote === '10.77.0.1');
      assert.equal(four.length, 16);
      assert.deepEqual(new Set(all.map(({ thread }) => thread)), new Set([0, 1]));
      for (const flow of all) {
        assert.deepEqual([flow.state, flow.localPort, flow.unread], ['ESTABLISHED', 7, 0]);
        assert.ok(flow.rttUs > 0 && flow.rttUs < 1_000_000 && flow.idleMs < 60_000);
      }
      assert.equal(flows('echo', 'src', 'fd77::/64', 'dport', '7').length, 1);
      assert.equal(flows(address, 'sport', `${four[0]!.remotePort}`).length, 1);
      assert.equal(flows('state', 'time-wait').length, 0);
      assert.match(ix('flows').stdout, /ESTABLISHED +10\.77\.0\.2:7 <- 10\.77\.0\.1:\d+ thread/);
      await serving.kill9();
      await sleep(200);
      assert.equal(flows('echo').length, 17, 'an orphan');
      for (const client of [...clients, six]) await client.close();
      assert.equal(ix('stop', '--all').status, 0);
    });
  }

  test('lookedAtWithoutEnd_theServiceAnswers_andItsRowsAreWhole', async () => {
    await using serving = await Serving.start(['echo']);
    const client = await Client.open(serving.address, 7);
    let isOn = true;
    let count = 0;
    const beating = (async () => {
      for (; isOn; count++) {
        await client.write('still there');
        assert.equal(await client.text(11), 'still there');
      }
    })();
    for (let i = 0; i < 5; i++) {
      await sleep(50);
      const [flow] = flows('dport', '7');
      assert.deepEqual([flow!.state, flow!.remote], ['ESTABLISHED', '10.77.0.1']);
    }
    isOn = false;
    await beating;
    assert.ok(count > 100, `${count} answers`);
    await client.close();
    await serving.stop();
  });

  test('whoMayNotLook_orAsksForWhatIsNot_getsOneLineAndExitCode2', async () => {
    await using serving = await Serving.start(['echo']);
    const wrong: [string[], RegExp][] = [
      [['dport', 'x'], /^ix: 'x' is not a port; write a number from 0 to 65535\n$/],
      [['nothing'], /^ix: nothing runs here as nothing; what does: echo at 10\.77\.0\.2\n$/],
      [['echo', 'colour', 'red'], /^ix: 'colour' is no condition of a filter; write: /],
    ];
    for (const [words, message] of wrong) {
      const { status, stderr } = ix('flows', ...words);
      assert.deepEqual([status, message.test(stderr)], [2, true], stderr);
    }
    const drop = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups', IX, 'flows'];
    const { status, stderr } = spawnSync('setpriv', drop, { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 2);
    assert.match(stderr, /^(ix: [^\n]+\n)+$/);
    await serving.stop();
  });
});

/**
 * `bin/ix top` beside a service under load: one screen for scripts, and on a terminal (of
 * script(1)) with its keys.
 */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { Client } from './client.ts';
import { IX, Serving } from './serving.ts';

enterNamespace();

/** While the load goes on. */
const run = promisify(execFile);

const hasScript = spawnSync('script', ['--version']).status === 0;
const needs = needsRoot || (hasScript ? false : 'needs script(1) (Debian: bsdutils)');

const ANOTHER_SCREEN = '\x1b[?1049h';
const BACK = '\x1b[?25h\x1b[?1049l';

/** Asks until `stop`. */
async function load(address: string): Promise<{ stop(): Promise<void> }> {
  const client = await Client.open(address, 7);
  let isOn = true;
  const loading = (async () => {
    while (isOn) {
      await client.write('hello');
      assert.equal(await client.text(5), 'hello');
    }
    await client.close();
  })();
  loading.catch(() => {}); // `stop` says
  return {
    stop: () => {
      isOn = false;
      return loading;
    },
  };
}

describe('top', { skip: needs, timeout: 300_000 }, () => {
  test('once_underLoad_hasTheServicesRates_in80Columns', async () => {
    await using serving = await Serving.start(['echo', '--threads', '2']);
    const loading = await load(serving.address);
    const { stdout } = await run(IX, ['top', '--once', '--sort', 'rx'], { timeout: 60_000 });
    const [title, header, first, second] = stdout.split('\n');
    assert.match(title!, /^ix top: 1 services, 2 threads, 1 connections \(0 new\/s\), by rx$/);
    assert.match(header!, /^SERVICE +TH STATE +BUSY +QUEUE +RX\/s/);
    const [, , , , , received = '0'] = first!.split(/ +/);
    assert.notEqual(received, '0', first);
    assert.match(second!, /^echo@10\.77\.0\.2 +[01] \w+ +0% +0 +0 +0 +0 /);
    for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
    await loading.stop();
    await serving.stop();
  });

  test('onATerminal_keysPickSortShowFlowsAndEnd_andTheTerminalIsGivenBack', async () => {
    await using serving = await Serving.start(['echo']);
    const loading = await load(serving.address);
    const command = `stty columns 80 rows 24; ${IX} top --interval 0.2`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let shown = '';
    child.stdout.on('data', (text) => {
      shown += text;
    });
    const see = async (...what: string[]): Promise<void> => {
      for (let tries = 0; !what.every((text) => shown.includes(text)); tries++) {
        assert.ok(tries < 600, `${what}: ${JSON.stringify(shown.slice(-3000))}`);
        await sleep(50);
      }
      shown = '';
    };
    await see(ANOTHER_SCREEN, 'echo@10.77.0.2');
    child.stdin.write('s');
    await see('by busy');
    child.stdin.write('j\x1b[Af');
    await see('echo@10.77.0.2: 1 flows', 'ESTABLISHED  10.77.0.2:7');
    child.stdin.write('f');
    await see('by busy');
    child.stdin.write('q');
    const [code] = await once(child, 'close');
    assert.equal(code, 0);
    assert.ok(shown.includes(BACK), JSON.stringify(shown));
    await loading.stop();
    await serving.stop();
  });
});

/**
 * Life and death: a dataplane that dies is started again and nobody else notices; a control plane
 * that dies is replaced, and the clients of its service do not notice.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { liveInstances, orphans, record } from '../../src/control/record/instances.ts';
import { processName } from '../../src/native/process.ts';
import { enterNamespace, linkNames, needsRoot } from '../control/namespace.ts';
import { Client } from './client.ts';
import { DOMAINS, IX, ROOT, Serving } from './serving.ts';

enterNamespace();

/**
 * Longer than a lost frame costs (the kernel's RTO is at least 200 ms), a busy machine's scheduler
 * aside.
 */
const GAP_MS_MAX = 200;
const CRASHING = fileURLToPath(new URL('../control/children/crashing-control.ts', import.meta.url));
const SECOND = ['--ip', '10.77.0.3/24'];

function ix(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(IX, words, { encoding: 'utf8' });
}

/** Not even a zombie that init has not collected yet. */
const isAlive = (pid: number): boolean => processName(pid) !== undefined;

async function until(what: string, condition: () => boolean, limitMs = 10_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    assert.ok(Date.now() < end, what);
    await sleep(10);
  }
}

/**
 * Dataplanes and applications of this copy of the repository, whoever started them (they are not
 * told whose); without `others`.
 */
function childrenHere(others: readonly number[] = []): number[] {
  const isOne = (pid: string): boolean => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      return words.some(
        (w) => w.startsWith(ROOT) && /\/src\/(dataplane|application)\/main\.[jt]s/.test(w),
      );
    } catch {
      return false;
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.filter(isOne).map(Number);
  return found.filter((pid) => !others.includes(pid));
}

/** Somebody else's. */
const OTHERS = childrenHere();

/**
 * Echoes over one connection until `stop`, which says how long the longest answer took and how many
 * there were.
 */
async function beat(
  address: string,
): Promise<{ stop(): Promise<{ worstMs: number; count: number }> }> {
  const client = await Client.open(address, 7);
  let [isOn, worstMs, count] = [true, 0, 0];
  const beating = (async () => {
    while (isOn) {
      const start = performance.now();
      await client.write('still there');
      assert.equal(await client.text(11), 'still there');
      worstMs = Math.max(worstMs, performance.now() - start);
      count += 1;
      await sleep(2);
    }
    await client.close();
  })();
  beating.catch(() => {}); // `stop` says
  return {
    stop: async () => {
      isOn = false;
      await beating;
      return { worstMs, count };
    },
  };
}

const value = (i: number): string => `${i}`.padStart(8, '0');
const KEYS = 50;

async function store(client: Client, i: number): Promise<void> {
  await client.write(`set k${i % KEYS} 0 0 8\r\n${value(i)}\r\n`);
  assert.equal(await client.text(8), 'STORED\r\n');
}

async function check(client: Client, i: number): Promise<void> {
  const expected = `VALUE k${i % KEYS} 0 8\r\n${value(i)}\r\nEND\r\n`;
  await client.write(`get k${i % KEYS}\r\n`);
  assert.equal(await client.text(expected.length), expected);
}

/** Stores and reads over one connection until `stop`; every answer is checked. */
function load(client: Client): { stop(): Promise<number> } {
  let [isOn, count] = [true, 0];
  const loading = (async () => {
    while (isOn) {
      await store(client, count);
      await check(client, count);
      count += 1;
    }
  })();
  loading.catch(() => {});
  return {
    stop: async () => {
      isOn = false;
      await loading;
      return count;
    },
  };
}

/** The object that standard output got for an event. */
async function event(serving: Serving, name: string): Promise<Record<string, unknown>> {
  const said = JSON.parse(await serving.line());
  assert.equal(said.event, name);
  return said;
}

describe('life', { skip: needsRoot, timeout: 300_000 }, () => {
  afterEach(() => {
    ix('stop', '--all');
    assert.deepEqual(linkNames(), []);
    assert.deepEqual([...liveInstances(), ...orphans()], []);
  });

  for (const domain of DOMAINS) {
    test(`${domain}_dataplaneKilledUnderLoad_restartedAndTheOtherMissesNoBeat`, async (t) => {
      await using other = await Serving.start(['echo', '--domain', domain, ...SECOND]);
      await using serving = await Serving.start(['kv', '--domain', domain]);
      const { dataplane, application } = serving.facts;
      const links = linkNames();
      const beating = await beat(other.address);
      const client = await Client.open(serving.address, serving.port);
      const loading = load(client);
      await sleep(500);
      const before = serving.counters()['tcpBytesIn']!;
      const killedMs = performance.now();
      process.kill(dataplane, 'SIGKILL');
      const ended = await event(serving, 'dataplane-ended');
      const { how, restartInSeconds, application: app, address } = ended;
      assert.deepEqual(
        [how, restartInSeconds, app, address, ended['pid']],
        ['signal SIGKILL', 0.1, 'kv', '10.77.0.2', dataplane],
      );
      const again = await event(serving, 'dataplane-restarted');
      t.diagnostic(`ready again after ${Math.round(performance.now() - killedMs)} ms`);
      assert.notEqual(again['pid'], dataplane);
      await assert.rejects(loading.stop(), /ECONNRESET/, 'the peer is told, by the next dataplane');
      assert.equal(isAlive(dataplane), false);
      if (application !== undefined) {
        assert.equal(isAlive(application), false, 'its application is gone, too');
        assert.notEqual(again['applicationPid'], application);
      }
      const next = await Client.open(serving.address, serving.port);
      await store(next, 1);
      await check(next, 1);
      await next.close();
      assert.deepEqual(linkNames(), links, 'the same interfaces');
      assert.ok(serving.counters()['tcpBytesIn']! > before, 'the counters go on');
      const { worstMs, count } = await beating.stop();
      t.diagnostic(`${count} beats of the other service, the longest ${worstMs.toFixed(1)} ms`);
      assert.ok(count > 200, `${count} beats`);
      assert.ok(worstMs < GAP_MS_MAX, `a beat took ${worstMs} ms`);
      assert.equal(other.counters()['tcpRetransmits'], 0);
      assert.equal(other.errors, '', 'it was told nothing');
      other.child.kill('SIGINT');
      assert.equal(await other.exit, 0);
      await serving.stop(
        /^ix: dataplane of kv at 10\.77\.0\.2 \(pid \d+\): ended \(signal SIGKILL\), its connections are lost, restarted in 0\.1 s \(1st time\)\nix: dataplane of kv at 10\.77\.0\.2 \(pid \d+\): ready again\n$/,
      );
    });

    test(`${domain}_controlPlaneKilledUnderLoad_adoptedWithConnectionsAndValues`, async () => {
      const words = ['kv', '--domain', domain];
      await using first = await Serving.start(words);
      const { pid, dataplane, application } = first.facts;
      const client = await Client.open(first.address, first.port);
      const loading = load(client);
      await sleep(300);
      await first.kill9();
      await sleep(500);
      const { instances } = JSON.parse(ix('stat', '--json').stdout);
      assert.deepEqual(
        instances.map(({ pid, orphan }: { pid: number; orphan: boolean }) => ({ pid, orphan })),
        [{ pid, orphan: true }],
      );
      assert.ok(instances[0].counters.tcpBytesIn > 0);
      assert.match(
        ix('stat').stdout,
        /^kv at 10\.77\.0\.2:11211 \(no control plane since pid \d+ died/,
      );
      await using second = await Serving.start(words);
      assert.deepEqual(
        [second.facts.adoptedFrom, second.facts.dataplane, second.facts.application],
        [pid, dataplane, application],
      );
      await sleep(300);
      const count = await loading.stop();
      assert.ok(count > KEYS, `${count} values`);
      for (let i = count - KEYS; i < count; i++) await check(client, i);
      assert.equal(second.counters()['tcpAccepted'], 1, 'one connection all along');
      await client.close();
      await second.stop();
      assert.ok(![dataplane, application ?? dataplane].some(isAlive), 'nothing is left');
    });

    test(`${domain}_adopted_dataplaneDies_adopterStartsItAgain`, async () => {
      const words = ['echo', '--domain', domain];
      await using first = await Serving.start(words);
      await first.kill9();
      await using second = await Serving.start(words);
      process.kill(second.facts.dataplane, 'SIGKILL');
      await event(second, 'dataplane-ended');
      const { pid: dataplane } = await event(second, 'dataplane-restarted');
      const beating = await beat(second.address);
      await second.kill9(); // and what it has started can be adopted, too
      await using third = await Serving.start(words);
      assert.deepEqual(
        [third.facts.adoptedFrom, third.facts.dataplane],
        [second.facts.pid, dataplane],
      );
      assert.ok((await beating.stop()).count > 0);
      await third.stop();
    });
  }

  test('process_adopted_applicationDies_adopterStartsItAgainOnTheSameMemory', async () => {
    const words = ['echo', '--domain', 'process'];
    await using first = await Serving.start(words);
    await first.kill9();
    await using second = await Serving.start(words);
    process.kill(second.facts.application!, 'SIGKILL');
    await until('it is ready again', () => second.errors.includes('ready again'));
    const { stop } = await beat(second.address);
    assert.ok((await stop()).worstMs < 1000);
    await second.stop(
      /^ix: application echo \(pid \d+\): .*restarted in 0\.1 s \(1st time\)\nix: .*: ready again\n$/,
    );
  });

  test('process_applicationDiesWithNobodyThere_startedAgainWhenAdopted', async () => {
    const words = ['echo', '--domain', 'process'];
    await using first = await Serving.start(words);
    const client = await Client.open(first.address, 7);
    await first.kill9();
    process.kill(first.facts.application!, 'SIGKILL');
    await until('it is dead', () => !isAlive(first.facts.application!));
    await using second = await Serving.start(words);
    assert.notEqual(second.facts.application, first.facts.application);
    assert.equal(second.facts.dataplane, first.facts.dataplane);
    await assert.rejects(client.bytes(1), /ECONNRESET/);
    const { stop } = await beat(second.address);
    await stop();
    await second.stop();
  });

  test('process_killedAtAnyMomentOfAStart_nextStartServesAndNobodyIsLeft', async (t) => {
    const words = ['serve', 'echo', '--domain', 'process', '--json'];
    const beganMs = Date.now();
    const whole = await Serving.start(words.slice(1, -1));
    const startMs = Date.now() - beganMs;
    await whole.stop();
    for (const part of [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1]) {
      const afterMs = Math.round(startMs * part);
      const started = spawn(IX, words, { stdio: 'ignore' });
      await sleep(afterMs);
      const died = once(started, 'exit');
      started.kill('SIGKILL');
      await died;
      const known = orphans().length;
      await using serving = await Serving.start(words.slice(1, -1));
      const { adoptedFrom } = serving.facts;
      t.diagnostic(
        `killed after ${afterMs} ms: ${adoptedFrom === undefined ? 'swept' : 'adopted'}`,
      );
      assert.equal(adoptedFrom !== undefined, known === 1);
      const { stop } = await beat(serving.address);
      assert.ok((await stop()).count > 0);
      const { dataplane, application } = serving.facts;
      await until('one dataplane, one application', () => {
        return childrenHere(OTHERS).sort().join() === [dataplane, application!].sort().join();
      });
      await serving.stop();
    }
  });

  test('tap_controlPlaneKilled_adoptedWithItsDevice', async () => {
    const words = ['echo', '--nic', 'tap'];
    await using first = await Serving.start(words);
    const beating = await beat(first.address);
    await first.kill9();
    await using second = await Serving.start(words);
    assert.equal(second.facts.adoptedFrom, first.facts.pid);
    await sleep(100);
    await beating.stop();
    process.kill(second.facts.dataplane, 'SIGKILL');
    await event(second, 'dataplane-ended');
    await event(second, 'dataplane-restarted');
    assert.deepEqual(linkNames(), ['ix0']);
    const { stop } = await beat(second.address);
    await stop();
    await second.stop(/ready again/);
  });

  test('orphan_startedWithOtherOptions_endedAndSaid', async () => {
    await using first = await Serving.start(['echo']);
    await first.kill9();
    await using second = await Serving.start(['kv']);
    assert.equal(second.facts.adoptedFrom, undefined);
    assert.equal(isAlive(first.facts.dataplane), false);
    assert.deepEqual(linkNames(), ['ix0', 'ix1']);
    await second.stop(
      /^ix: echo at 10\.77\.0\.2 was left by pid \d+, which died; not adopted \(what is asked for now is something else\): ended, starting anew\n$/,
    );
  });

  test('orphanHoldsSomethingElse_notBelievedEndedAndStartedAnew', async () => {
    await using first = await Serving.start(['echo', '--domain', 'process']);
    await first.kill9();
    const [orphan] = orphans();
    // As if it had put its event array where the receive pool was.
    const [shared] = orphan!.estate!.shared!;
    shared!.receivePool.fd = shared!.events.fd;
    record(orphan!);
    await using second = await Serving.start(['echo', '--domain', 'process']);
    assert.equal(second.facts.adoptedFrom, undefined);
    const { dataplane, application } = first.facts;
    assert.ok(![dataplane, application!].some(isAlive));
    const { stop } = await beat(second.address);
    assert.ok((await stop()).count > 0);
    await second.stop(
      /^ix: echo at 10\.77\.0\.2 was left by pid \d+, which died; not adopted \(its descriptor \d+ is \/memfd:ix events .*, not \/memfd:ix receive pool .*\): ended, starting anew\n$/,
    );
  });

  test('orphan_anotherServiceStarts_isNotSwept', async () => {
    await using first = await Serving.start(['echo']);
    await first.kill9();
    const beating = await beat(first.address);
    await using second = await Serving.start(['kv', ...SECOND]);
    assert.deepEqual(linkNames(), ['ix0', 'ix1', 'ix2', 'ix3']);
    assert.ok((await beating.stop()).count > 0);
    second.child.kill('SIGINT');
    assert.equal(await second.exit, 0);
    assert.deepEqual(linkNames(), ['ix0', 'ix1']);
  });

  test('orphanWhoseDataplaneDies_nextStartSweeps', async () => {
    await using first = await Serving.start(['echo', '--domain', 'process']);
    const { dataplane, application } = first.facts;
    await first.kill9();
    process.kill(dataplane, 'SIGKILL');
    await until('it is dead', () => !isAlive(dataplane));
    assert.deepEqual(orphans(), []);
    await using second = await Serving.start(['echo', '--domain', 'process']);
    assert.equal(second.facts.adoptedFrom, undefined);
    assert.equal(isAlive(application!), false);
    assert.deepEqual(linkNames(), ['ix0', 'ix1']);
    await second.stop();
  });

  test('stop_nameAddressAll_endsWithAndWithoutControlPlane', async () => {
    await using orphan = await Serving.start(['echo', '--domain', 'process']);
    await orphan.kill9();
    await using live = await Serving.start(['echo', ...SECOND]);
    const ambiguous = ix('stop', 'echo');
    assert.equal(ambiguous.status, 2);
    assert.match(ambiguous.stderr, /^ix: echo runs at .*; give the address, or --all\n$/);
    assert.equal(ix('stop', '10.77.0.2').stdout, 'ix: stopped echo at 10.77.0.2\n');
    assert.ok(![orphan.facts.dataplane, orphan.facts.application!].some(isAlive));
    assert.deepEqual(linkNames(), ['ix2', 'ix3']);
    const { stdout } = ix('stop', '--all', '--json');
    const stopped = [{ app: 'echo', address: '10.77.0.3' }];
    assert.deepEqual(JSON.parse(stdout), { stopped, swept: [] });
    assert.equal(await live.exit, 0, 'as by Ctrl-C');
    assert.equal(ix('stop', '--all').stdout, 'ix: nothing runs here\n');
  });

  test('controlPlaneThrows_serviceGoesOn', async () => {
    const control = spawn(process.execPath, [CRASHING], { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    control.stderr.on('data', (text) => {
      errors += text;
    });
    const [said] = await once(control.stdout, 'data');
    const { dataplane } = JSON.parse(`${said}`);
    const beating = await beat('10.77.0.2');
    const died = once(control, 'exit');
    control.kill('SIGUSR2');
    assert.deepEqual(await died, [1, null], errors);
    assert.match(errors, /a fault of the control plane/);
    assert.deepEqual(
      orphans().map((each) => each.dataplane?.pid),
      [dataplane],
    );
    await sleep(300);
    assert.ok((await beating.stop()).count > 20);
    assert.match(ix('stop', 'echo').stdout, /stopped echo/);
  });

  test('printedToNobody_controlPlaneGoesOn', async () => {
    await using serving = await Serving.start(['echo']);
    serving.child.stdout?.destroy();
    serving.child.stderr?.destroy();
    process.kill(serving.facts.dataplane, 'SIGKILL'); // which it reports
    const restarted = () => liveInstances()[0]?.estate !== undefined;
    await until('it has ended', () => !isAlive(serving.facts.dataplane));
    await sleep(200);
    await until('it serves again', restarted);
    const { stop } = await beat(serving.address);
    await stop();
    assert.equal(ix('stop', 'echo').status, 0);
  });

  test('userNamespace_controlPlaneKilled_everythingDies', async () => {
    const prefix = ['unshare', '-Urn'];
    const serving = await Serving.start(['echo', '--nic', 'tap'], { prefix });
    const { dataplane } = serving.facts;
    await serving.kill9();
    await until('nobody could adopt it', () => !isAlive(dataplane));
  });

  test('unconfined_dataplaneCrashes_restarted', async () => {
    await using serving = await Serving.start(['echo', '--unconfined']);
    process.kill(serving.facts.dataplane, 'SIGSEGV');
    assert.equal((await event(serving, 'dataplane-ended'))['how'], 'signal SIGSEGV');
    await event(serving, 'dataplane-restarted');
    await serving.stop(/ready again/);
  });

  test('interfaceGone_dataplaneDies_endsWithTheReason', async () => {
    await using serving = await Serving.start(['echo']);
    assert.equal(spawnSync('ip', ['link', 'delete', 'ix0']).status, 0);
    process.kill(serving.facts.dataplane, 'SIGKILL');
    assert.equal(await serving.exit, 1);
    // Who is heard first, the link or the dataplane, is chance.
    assert.match(serving.errors, /^(ix: .*\n)+$/);
    assert.match(serving.errors, /its interface ix[01] (is gone|was removed)/);
  });
});

/** The control plane's side of a dataplane's life, against small programs in its place. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { DataplaneConfig } from '../../../src/child/config.ts';
import { launch } from '../../../src/control/children/launch.ts';
import type { Instance } from '../../../src/control/record/instances.ts';
import { makeStatistics, readStatistics } from '../../../src/control/record/statistics.ts';
import { DataplaneDiedError, DataplaneFailedError } from '../../../src/errors.ts';
import { isAlive, processName } from '../../../src/native/process.ts';

const directory = mkdtempSync(join(tmpdir(), 'ix-launch-'));
const statisticsFd = makeStatistics(1);
after(() => {
  closeSync(statisticsFd);
  rmSync(directory, { recursive: true });
});

const config: DataplaneConfig = {
  nics: [{ kind: 'tap', ifname: 'ix0', fd: statisticsFd, mac: [2, 0, 0, 0, 0, 1], mtu: 1500 }],
  address: 0x0a4d0002,
  prefixLength: 24,
  gateway: 0,
  idle: 'adaptive',
  app: { name: 'echo', module: '/echo.ts', options: {} },
  limits: {},
  statisticsFd,
  trace: false,
};

/** A dataplane whose main program is `body`; the channel's functions and `config` are in scope. */
function start(body: string, given = config, reports: unknown[] = []) {
  const channel = new URL('../../../src/child/channel.ts', import.meta.url).href;
  const main = join(directory, `main-${Math.random()}.mts`);
  const imports = `import { readConfig, send, endWithParent } from '${channel}';`;
  const more = "import { fstatSync, readSync, writeSync } from 'node:fs';";
  writeFileSync(main, `${imports}${more}\nendWithParent();\n${body}`);
  return launch(given, main, (value) => reports.push(value));
}
const READY = "send({ type: 'ready', ports: [7], nic: 'stub' });";
const STAY = 'setInterval(() => {}, 1000);';

test('launch_ready_settlesAndStopEndsIt', async () => {
  const dataplane = start(`readConfig(); ${READY} ${STAY}`);
  assert.deepEqual(await dataplane.ready, { type: 'ready', ports: [7], nic: 'stub' });
  await dataplane.stop();
  assert.deepEqual(await dataplane.ended, { how: 'signal SIGTERM' });
});

test('launch_descriptors_areTheChildsOwnNumbers', async () => {
  const body = `const config = readConfig();
    const fds = [config.statisticsFd, config.nics[0].fd];
    writeSync(config.statisticsFd, new Float64Array([41, 42]));
    send({ type: 'report', value: { fds, inodes: fds.map((fd) => fstatSync(fd).ino) } });
    ${READY} ${STAY}`;
  const reports: { fds: number[]; inodes: number[] }[] = [];
  const dataplane = start(body, config, reports);
  await dataplane.ready;
  await dataplane.stop();
  const [{ fds, inodes } = { fds: [], inodes: [] }] = reports;
  assert.deepEqual(fds, [4, 4], 'one descriptor, passed once');
  assert.deepEqual(inodes, [fstatSync(statisticsFd).ino, fstatSync(statisticsFd).ino]);
  const counters = ['rxFrames', 'rxBytes', 'txFrames'];
  const [control, users] = [processName(process.pid), [process.geteuid!()]];
  const instance = { control, users, statisticsFd, threads: 1, counters };
  const counts = readStatistics(instance as unknown as Instance);
  assert.deepEqual(counts, { rxFrames: 41, rxBytes: 42, txFrames: 0 });
});

test('launch_failed_rejectsWithItsReason', async () => {
  const message = 'queue 0: busy; stop that program\\n    at somewhere';
  const body = `send({ type: 'failed', code: 'IX_NIC_QUEUE_BUSY', message: '${message}' });
    process.exit(1);`;
  const dataplane = start(body);
  await assert.rejects(dataplane.ready, (error) => {
    assert.ok(error instanceof DataplaneFailedError);
    assert.deepEqual([error.code, error.exitCode], ['IX_NIC_QUEUE_BUSY', 2]);
    assert.equal(error.message, 'queue 0: busy; stop that program');
    return true;
  });
  const { how, failure } = await dataplane.ended;
  assert.equal(how, 'exit code 1');
  assert.match(failure ?? '', /busy/);
});

test('launch_diesBeforeReady_rejects', async () => {
  const dataplane = start('process.exit(3);');
  await assert.rejects(dataplane.ready, (error) => {
    assert.ok(error instanceof DataplaneDiedError);
    assert.equal(error.exitCode, 1);
    assert.match(error.message, /exit code 3/);
    return true;
  });
});

const ASKED = `const { createInterface } = await import('node:readline');
  const { Socket } = await import('node:net');
  const heard = [];
  const none = { timers: 0, receiveHeld: 0, transmitHeld: 0, allocatedBytes: 0, kernelDrops: {} };
  const threads = (flows) => [{ flows, ...none }];
  createInterface({ input: new Socket({ fd: 3 }) }).on('line', (line) => {
    heard.push(Number(line.split(' ')[1]));
    if (heard.length === 2) answer();
  });`;

test('launch_twoQuestionsAtOnce_eachGetsItsAnswer', async () => {
  // The second is answered first; and what nobody asked (or somebody before an adoption) is
  // nobody's answer.
  const body = `readConfig(); ${ASKED} ${READY}
    const answer = () => {
      send({ type: 'state', question: 1, threads: threads(99) });
      send({ type: 'state', question: heard[1], threads: threads(2) });
      send({ type: 'state', question: heard[0], threads: threads(1) });
      send({ type: 'state', question: heard[0], threads: threads(98) });
    };`;
  const dataplane = start(body);
  await dataplane.ready;
  const answers = await Promise.all([dataplane.state(), dataplane.state()]);
  assert.deepEqual(
    answers.map(([thread]) => thread?.flows),
    [1, 2],
  );
  await dataplane.stop();
  await assert.rejects(dataplane.state(), DataplaneDiedError);
});

test('launch_twoApplicationsGone_eachWaitsForItsOwn', async () => {
  const body = `readConfig(); ${ASKED} ${READY}
    const answer = () => send({ type: 'dropped', question: heard[1] });`;
  const dataplane = start(body);
  await dataplane.ready;
  let isFirst = false;
  const first = dataplane.dropApplication();
  first.then(
    () => {
      isFirst = true;
    },
    () => {},
  );
  await dataplane.dropApplication();
  assert.equal(isFirst, false);
  dataplane.kill();
  await assert.rejects(first, DataplaneDiedError);
});

test('launch_exitCodesThatAreNone_areNotHeard', async () => {
  const codes = [1.5, -1, 256, null, '4', {}];
  const said = codes.map((exitCode) => `send(${JSON.stringify({ type: 'stopped', exitCode })});`);
  const dataplane = start(`${READY} ${said.join('')} process.exit(4);`);
  assert.deepEqual(await dataplane.ended, { how: 'exit code 4' });
});

test('launch_failureOfAMegabyte_isCut', async () => {
  const say = `send({ type: 'failed', code: 'IX', message: 'x'.repeat(1_000_000) });`;
  const { failure } = await start(`${say} process.exit(1);`).ended;
  assert.equal(failure?.length, 8192);
});

test('launch_killedAfterReady_endedSaysSo', async () => {
  const dataplane = start(`readConfig(); ${READY} ${STAY}`);
  await dataplane.ready;
  process.kill(dataplane.pid, 'SIGKILL');
  assert.deepEqual(await dataplane.ended, { how: 'signal SIGKILL' });
});

test('launch_applicationStops_endedCarriesItsExitCode', async () => {
  const dataplane = start(`${READY} send({ type: 'stopped', exitCode: 4 }); process.exit(4);`);
  assert.deepEqual(await dataplane.ended, { how: 'exit code 4', stopped: 4 });
});

test('stop_dataplaneIgnoresSigterm_isKilled', async () => {
  const dataplane = start(`process.on('SIGTERM', () => {}); ${READY} ${STAY}`);
  await dataplane.ready;
  const began = performance.now();
  await dataplane.stop();
  assert.deepEqual(await dataplane.ended, { how: 'signal SIGKILL' });
  assert.ok(performance.now() - began < 10_000);
});

test('channel_configurationNotValid_namesTheField', async () => {
  const body = `try { readConfig(); } catch (error) {
    send({ type: 'failed', code: error.code, message: error.message });
  }`;
  const wrong = { ...config, idle: 'nap' } as unknown as DataplaneConfig;
  const dataplane = start(body, wrong);
  await assert.rejects(dataplane.ready, { code: 'IX_CHANNEL', message: /^configuration: idle: / });
});

test('channel_wordsThatAreNoMessage_areIgnored', async () => {
  const body = `writeSync(3, 'hello\\n{"type":"later"}\\n'); readConfig(); ${READY} ${STAY}`;
  const dataplane = start(body);
  assert.deepEqual((await dataplane.ready).ports, [7]);
  await dataplane.stop();
});

test('channel_lineWithoutAnEnd_isKilledAndNamed', async () => {
  const body = `readConfig(); ${READY}
    const piece = Buffer.alloc(65536, 'x');
    try { for (;;) writeSync(3, piece); } catch {} ${STAY}`;
  const dataplane = start(body);
  const { how, failure } = await dataplane.ended;
  assert.equal(how, 'signal SIGKILL');
  assert.equal(failure, 'it said a line without an end');
});

test('endWithParent_controlPlaneKilled_dataplaneDies', async () => {
  const module = new URL('../../../src/control/children/launch.ts', import.meta.url).href;
  const main = join(directory, 'orphan.mts');
  const channel = new URL('../../../src/child/channel.ts', import.meta.url).href;
  writeFileSync(
    main,
    `import { endWithParent, send } from '${channel}'; endWithParent(); ${READY} ${STAY}`,
  );
  const parent = join(directory, 'parent.mts');
  const given = JSON.stringify({
    ...config,
    statisticsFd: 0,
    nics: [{ ...config.nics[0], fd: 0 }],
  });
  const body = `const child = launch(${given}, '${main}');
    await child.ready; console.log(child.pid); ${STAY}`;
  writeFileSync(parent, `import { launch } from '${module}'; ${body}`);
  const { spawn } = await import('node:child_process');
  const { once } = await import('node:events');
  const control = spawn(process.execPath, [parent], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await once(control.stdout, 'data');
  const orphan = processName(Number(`${said}`))!;
  assert.ok(isAlive(orphan));
  control.kill('SIGKILL');
  await once(control, 'exit');
  for (let i = 0; i < 100 && isAlive(orphan); i++) await new Promise((r) => setTimeout(r, 20));
  assert.equal(isAlive(orphan), false);
});

/**
 * A hostile dataplane (hostile/dataplane.ts), confined as in production, against its control plane
 * and the dataplanes of others: neither notices, and its control plane ends it when told to,
 * whatever it does.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { APPLICATION_GONE_MS } from '../../src/limits.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { Scene, VICTIMS } from './scene.ts';
import { HostileService } from './service.ts';

enterNamespace();

const DATAPLANE = fileURLToPath(new URL('./hostile/dataplane.ts', import.meta.url));
const ECHO = fileURLToPath(new URL('./hostile/echo.ts', import.meta.url));
const ADDRESS = '10.77.0.9';

interface Report {
  attack: string;
  value: unknown;
}

let scene: Scene;
let service: HostileService;
/** Which attack the dataplane tries next. */
let next = '';

const start = (last = '', options = {}, first = ''): Promise<HostileService> =>
  HostileService.start({
    ...{ address: ADDRESS, module: ECHO, main: DATAPLANE, options },
    settings: [`last=${last}`, `first=${first}`, `pids=${scene.victimPids}`, `victims=${VICTIMS}`],
  });

/** What each attack must see. */
const ATTACKS: Record<string, unknown> = {
  callsOutsideItsList: [-1],
  processesOfOthers: [-1],
  sealsAndFlagsOfWhatItHas: [-1],
  everyDescriptorMadeToBlock: 'done',
  messagesThatLie: 'done',
  answersThatNobodyAskedFor: 'done',
  reportsNestedHugeAndMany: 'done',
  bytesThroughItsDoorbell: [-1],
  advertisementsOfARouter: 'done',
  countersThatLie: 'done',
  addressesOfOthers: 'done',
  resetsInTheNameOfOthers: 'done',
  framesOfNoProtocol: 'done',
  descriptorsOfFramesThatAreNotItsOwn: 'done',
};

/**
 * Addresses of the host in IPv6, and its routes that are not to itself: by destination, gateway and
 * interface.
 */
function hostIpv6(): string[] {
  const read = (name: string): string[] =>
    readFileSync(`/proc/self/net/${name}`, 'latin1').trim().split('\n');
  const columns = (line: string, ...which: number[]): string =>
    which.map((i) => line.split(/ +/)[i]).join(' ');
  const routes = read('ipv6_route').map((line) => columns(line, 0, 1, 4, 9));
  return [...routes, ...read('if_inet6').map((line) => columns(line, 0, 5))]
    .filter((line) => !/^(fe80|ff)|lo$/.test(line))
    .sort();
}

describe('hostile dataplane', { skip: needsRoot, timeout: 120_000 }, () => {
  before(async () => {
    scene = await Scene.open();
    [next = ''] = Object.keys(ATTACKS);
    service = await start();
    await scene.mark();
  });
  after(async () => {
    await service.stop();
    await scene.close();
  });

  const names = Object.keys(ATTACKS);
  // Who asks for one of them only gets that one.
  beforeEach(async (context) => {
    const name = names.find((each) => context.name === `dataplane_${each}_nobodyElseNotices`);
    if (name === undefined || name === next) return;
    await service.stop();
    service = await start('', {}, name);
    await scene.mark();
  });
  for (const [name, expected] of Object.entries(ATTACKS)) {
    test(`dataplane_${name}_nobodyElseNotices`, async () => {
      next = names[names.indexOf(name) + 1] ?? '';
      const before = hostIpv6();
      const answered = service.state(10_000);
      const report = await service.report<Report>((value) => value?.attack === name, 10_000);
      assert.deepEqual(report.value, expected);
      assert.equal((await answered).state.flows, 0, 'what was asked is what is answered');
      await service.ping();
      assert.equal(service.errors, '');
      assert.deepEqual(hostIpv6(), before, 'the host has become nothing else');
      await scene.assertUndisturbed();
    });
  }

  test('dataplane_countersHaveLied_statAnswers', () => {
    const counters = scene.statistics(service.facts.control);
    assert.ok(Object.keys(counters).length > 50);
  });

  test('dataplane_deafToSigterm_isStopped', async () => {
    await service.stop();
    assert.equal(service.exitCode, 0, service.errors);
    await scene.assertUndisturbed();
  });

  test('dataplane_lineWithoutEnd_isEndedAndSaysWhy', async () => {
    service = await start('line');
    const ended = service.message('ended', 10_000);
    void service.state(10_000).catch(() => {});
    const { end } = (await ended) as { end: { how: string; failure: string } };
    assert.deepEqual([end.how, end.failure], ['signal SIGKILL', 'it said a line without an end']);
    await service.stop();
    await scene.assertUndisturbed();
  });

  test('dataplane_neverAnswersThatItsApplicationIsGone_isNamedKilledAndRestarted', async () => {
    service = await start('deaf', { restarts: true });
    const { application, dataplane } = service.facts;
    process.kill(application, 'SIGKILL');
    const ended = await service.incident('dataplane-ended', APPLICATION_GONE_MS + 5000);
    assert.deepEqual([ended.pid, ended.how], [dataplane, 'signal SIGKILL']);
    assert.match(ended.message ?? '', /^it hung: it did not answer for 5 s/);
    const again = await service.incident('dataplane-restarted', 10_000);
    assert.notEqual(again.pid, dataplane);
    await service.ping();
    await service.stop();
    await scene.assertUndisturbed();
  });

  test('dataplane_layoutBeyondAllMemory_startFailsInOneLine', async () => {
    await assert.rejects(start('layout'), /the control plane has ended/);
    await scene.assertUndisturbed();
  });
});

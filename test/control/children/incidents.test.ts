/**
 * What the control plane says of an application that misbehaves, and how it sees that from the
 * counters.
 */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { STATISTICS_BYTES } from '../../../src/child/config.ts';
import { START_MS, within } from '../../../src/child/patience.ts';
import {
  type ApplicationProcess,
  type SuperviseParts,
  superviseApplication,
} from '../../../src/control/children/application-process.ts';
import { ApplicationWatch } from '../../../src/control/children/application-watch.ts';
import {
  describe as explain,
  type Incident,
  ordinal,
} from '../../../src/control/children/incidents.ts';
import type { End } from '../../../src/control/children/launch.ts';
import { COUNTER, type CounterName } from '../../../src/counters.ts';

const KV = { application: 'kv', pid: 12 };
const AGAIN = { restartInSeconds: 0.1, restarts: 3 };

const SAID: [Incident, string][] = [
  [
    { event: 'ended', ...KV, cause: 'signal', signal: 'SIGSEGV', ...AGAIN },
    'killed by SIGSEGV, restarted in 0.1 s (3rd time)',
  ],
  [
    { event: 'ended', ...KV, cause: 'exit', exitCode: 7, restartInSeconds: 12.8, restarts: 11 },
    'exited with code 7, restarted in 12.8 s (11th time)',
  ],
  [
    { event: 'ended', ...KV, cause: 'failure', message: 'no', ...AGAIN },
    'failed (no), restarted in 0.1 s (3rd time)',
  ],
  [
    { event: 'ended', ...KV, cause: 'hang', seconds: 10.04, ...AGAIN },
    'did not return from a batch for 10.0 s and was killed, restarted in 0.1 s (3rd time)',
  ],
  [
    { event: 'ended', ...KV, cause: 'start', seconds: 30, ...AGAIN },
    'was not ready within 30.0 s and was killed, restarted in 0.1 s (3rd time)',
  ],
  [{ event: 'restarted', ...KV, restarts: 3 }, 'ready again'],
  [
    { event: 'hanging', ...KV, seconds: 1.02, restartAfterSeconds: 10 },
    'has not returned from a batch for 1.0 s, restarted after 10.0 s',
  ],
  [
    { event: 'hanging', ...KV, seconds: 1 },
    'has not returned from a batch for 1.0 s, it is left alone',
  ],
  [
    { event: 'quota', ...KV, quota: 'flows', refused: 4 },
    'quota of flows is used up, refused 4 times',
  ],
];

for (const [incident, line] of SAID) {
  const cause = incident.event === 'ended' ? `_${incident.cause}` : '';
  test(`incident_${incident.event}${cause}_oneLine`, () => {
    assert.equal(explain(incident), `application kv (pid 12): ${line}`);
  });
}

test('incident_quotaOfSources_isSaidOfPeersNotOfTheApplication', () => {
  const line = 'a source has as many connections as one may (--quota perSource), refused 4 times';
  const incident = { event: 'quota', ...KV, quota: 'perSource', refused: 4 } as const;
  assert.equal(explain(incident), `peers of kv (pid 12): ${line}`);
});

test('incident_dataplane_namesItWithItsAddress', () => {
  const named = { application: 'kv', address: '10.77.0.2' };
  const ended = { event: 'dataplane-ended', ...named, ...AGAIN } as const;
  assert.equal(
    explain({ ...ended, pid: 12, how: 'signal SIGKILL' }),
    'dataplane of kv at 10.77.0.2 (pid 12): ended (signal SIGKILL), its connections are lost, restarted in 0.1 s (3rd time)',
  );
  assert.equal(
    explain({ ...ended, how: 'could not start', message: 'queue 0: busy' }),
    'dataplane of kv at 10.77.0.2: ended (could not start: queue 0: busy), its connections are lost, restarted in 0.1 s (3rd time)',
  );
  const again = { event: 'dataplane-restarted', ...named, pid: 13, restarts: 3 } as const;
  assert.equal(explain(again), 'dataplane of kv at 10.77.0.2 (pid 13): ready again');
});

test('ordinal_elevenToThirteen_areTh', () => {
  const shown = [1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111].map(ordinal).join(' ');
  assert.equal(shown, '1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 101st 111th');
});

describe('watch', () => {
  let fd: number;
  let directory: string;
  let said: unknown[][];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ix-watch-'));
    fd = openSync(join(directory, 'statistics'), 'w+');
    writeSync(fd, new Uint8Array(2 * STATISTICS_BYTES));
    said = [];
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });

  const count = (counter: CounterName, value: number, thread = 0): void => {
    const at = thread * STATISTICS_BYTES + COUNTER[counter] * 8;
    writeSync(fd, Float64Array.of(value), 0, 8, at);
  };
  const watchOf = (hangMs: number): ApplicationWatch =>
    new ApplicationWatch({
      ...{ statisticsFd: fd, threads: 2, hangMs },
      hanging: (ms) => said.push(['hanging', ms]),
      hung: (ms) => said.push(['hung', ms]),
      quota: (...quota) => said.push(['quota', ...quota]),
    });

  test('lateAndNotBack_reportedOnceThenHungOnce', () => {
    const watch = watchOf(3000);
    watch.look(0);
    count('applicationLate', 1, 1);
    for (let ms = 500; ms <= 6000; ms += 500) watch.look(ms);
    assert.deepEqual(said, [
      ['hanging', 1000],
      ['hung', 3000],
    ]);
    count('applicationBack', 1, 1);
    watch.look(6500);
    count('applicationLate', 2, 1);
    watch.look(7000);
    watch.look(8000);
    assert.deepEqual(said.at(-1), ['hanging', 1000], 'the next hang is reported again');
  });

  test('lateAgainAndAgain_isSlowButDoesNotHang', () => {
    const watch = watchOf(1000);
    for (let i = 1; i <= 20; i++) {
      count('applicationLate', i);
      count('applicationBack', i - 1);
      watch.look(i * 500);
    }
    assert.deepEqual(said, []);
  });

  test('hangTimeoutZero_neverHung', () => {
    const watch = watchOf(0);
    count('applicationLate', 1);
    for (let ms = 0; ms <= 100_000; ms += 500) watch.look(ms);
    assert.deepEqual(said, [['hanging', 1000]]);
  });

  test('quotaRefuses_reportedAtOnceThenEveryTenSeconds', () => {
    const watch = watchOf(0);
    watch.look(0);
    count('quotaFlows', 3);
    count('quotaFlows', 2, 1);
    watch.look(500);
    count('quotaFlows', 30);
    count('quotaUnackedBytes', 1);
    for (let ms = 1000; ms <= 10_000; ms += 500) watch.look(ms);
    assert.deepEqual(said, [
      ['quota', 'flows', 5],
      ['quota', 'unackedBytes', 1],
    ]);
    for (let ms = 10_500; ms <= 60_000; ms += 500) watch.look(ms);
    assert.deepEqual(said.slice(2), [['quota', 'flows', 27]]);
  });
});

/** An application's process that does what the test says. */
class Puppet {
  readonly ready = Promise.withResolvers<number[]>();
  readonly ended = Promise.withResolvers<End>();
  readonly process: ApplicationProcess;

  constructor(pid: number) {
    const kill = () => this.ended.resolve({ how: 'signal SIGKILL' });
    const { ready, ended } = this;
    const stop = async () => kill();
    const confined = undefined;
    const channel = { fd: 5, what: 'socket' };
    const promises = { ready: ready.promise, ended: ended.promise };
    const state = { channel, outputs: [], confined, hasStopped: false };
    this.process = { pid, ...state, ...promises, stop, kill };
  }
}

describe('supervisor', () => {
  let puppets: Puppet[];
  let incidents: Incident[];
  let drops: number;
  let parts: SuperviseParts;
  beforeEach(() => {
    puppets = [];
    incidents = [];
    drops = 0;
    parts = {
      name: 'kv',
      dataplane: {
        dropApplication: async () => {
          drops += 1;
        },
      },
      start: () => {
        const puppet = new Puppet(100 + puppets.length);
        puppets.push(puppet);
        if (puppets.length === 1) puppet.ready.resolve([11_211]);
        return puppet.process;
      },
      incident: (incident) => incidents.push(incident),
      startMs: 50,
    };
  });
  const until = async (condition: () => boolean): Promise<void> => {
    for (let i = 0; i < 200 && !condition(); i++) await new Promise((r) => setTimeout(r, 10));
    assert.ok(condition());
  };

  test('killed_namedCleanedAndRestarted', async () => {
    const supervised = await superviseApplication(parts);
    assert.deepEqual(supervised.ports, [11_211]);
    puppets[0]!.ended.resolve({ how: 'signal SIGSEGV' });
    await until(() => puppets.length === 2);
    const named = { application: 'kv', pid: 100 };
    const again = { restartInSeconds: 0.1, restarts: 1 };
    assert.deepEqual(incidents, [
      { event: 'ended', ...named, cause: 'signal', signal: 'SIGSEGV', ...again },
    ]);
    assert.equal(drops, 1);
    puppets[1]!.ready.resolve([11_211]);
    await until(() => incidents.length === 2);
    assert.deepEqual(incidents[1], {
      event: 'restarted',
      application: 'kv',
      pid: 101,
      restarts: 1,
    });
    assert.equal(supervised.pid, 101);
    supervised.kill();
  });

  test('hangs_killedAndTheCauseIsTheHang', async () => {
    const supervised = await superviseApplication(parts);
    supervised.restartHung(10_000);
    await until(() => puppets.length === 2);
    const [ended] = incidents;
    assert.deepEqual(ended?.event === 'ended' && [ended.cause, ended.seconds, ended.pid], [
      'hang',
      10,
      100,
    ]);
    supervised.kill();
  });

  test('notReadyAgain_killedAndBackOffDoubles', async () => {
    const supervised = await superviseApplication(parts);
    puppets[0]!.ended.resolve({ how: 'exit code 3' });
    await until(() => puppets.length === 3); // the second one is never ready
    assert.deepEqual(
      incidents.map((each) => each.event === 'ended' && [each.cause, each.restartInSeconds]),
      [
        ['exit', 0.1],
        ['start', 0.2],
      ],
    );
    supervised.kill();
  });

  test('notReadyTheFirstTime_isAnErrorAndItIsKilled', async () => {
    const never = new Puppet(9);
    const start = () => never.process;
    await assert.rejects(superviseApplication({ ...parts, start }), {
      code: 'IX_START_TIMEOUT',
      message: /^application kv was not ready within 0.05 s; something blocks it: /,
    });
    assert.deepEqual(await never.ended.promise, { how: 'signal SIGKILL' });
  });
});

test('within_inTime_isTheValueAndTheTimerIsGone', async () => {
  assert.equal(START_MS, 30_000);
  assert.equal(await within(Promise.resolve(4), 'the dataplane', 'attached'), 4);
  assert.deepEqual(
    process.getActiveResourcesInfo().filter((name) => name === 'Timeout'),
    [],
  );
});

/**
 * An application that crashes, exits, throws, hangs or wants too much: it is named in one line and
 * in JSON, its peers are reset, it comes back, and its dataplane never notices more than that.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Incident } from '../../src/control/children/incidents.ts';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs, run } from './programs.ts';
import { DOMAINS, Serving } from './serving.ts';

enterNamespace();

const APP = fileURLToPath(new URL('apps/misbehaving.ts', import.meta.url));
const start = (...words: string[]): Promise<Serving> =>
  Serving.start([APP, '--domain', 'process', ...words]);

async function heard<E extends Incident['event']>(
  serving: Serving,
  event: E,
): Promise<Extract<Incident, { event: E }>> {
  const incident: Incident = JSON.parse(await serving.line());
  assert.equal(incident.event, event);
  return incident as Extract<Incident, { event: E }>;
}

/** A new connection is answered. */
async function answers(serving: Serving): Promise<void> {
  const client = await Client.open(serving.address, serving.port);
  await client.write('still there');
  assert.equal(await client.text(11), 'still there');
  await client.close();
}

const NAMED = 'ix: application misbehaving \\(pid \\d+\\):';
const AGAIN = 'restarted in 0.1 s \\(1st time\\)';
const READY = `${NAMED} ready again\\n`;
const ENDINGS: [string, Record<string, unknown>, string][] = [
  ['crash', { cause: 'signal', signal: 'SIGSEGV' }, 'killed by SIGSEGV'],
  ['exit', { cause: 'exit', exitCode: 7 }, 'exited with code 7'],
  ['throw', { cause: 'failure' }, 'failed \\(Error: not my day\\)'],
];

describe('misbehaviour', { skip: needs('ping'), timeout: 120_000 }, () => {
  for (const [misdeed, fields, line] of ENDINGS) {
    test(`${misdeed}_namedPeersResetRestartedAndTheDataplaneLives`, async () => {
      await using serving = await start();
      const { application, dataplane } = serving.facts;
      const client = await Client.open(serving.address, serving.port);
      const reset = once(client.socket, 'close').catch((error) => error.code);
      await client.write(misdeed);
      const { cause, signal, exitCode, pid, restarts, ...rest } = await heard(serving, 'ended');
      assert.deepEqual(
        { ...fields, cause, ...(signal && { signal }), ...(exitCode && { exitCode }) },
        fields,
      );
      assert.deepEqual([pid, restarts, rest.restartInSeconds], [application, 1, 0.1]);
      assert.equal(await reset, 'ECONNRESET');
      const again = await heard(serving, 'restarted');
      assert.notEqual(again.pid, application);
      await answers(serving);
      process.kill(dataplane, 0);
      await serving.stop(new RegExp(`^[^]*${NAMED} ${line}, ${AGAIN}\\n${READY}$`));
    });
  }

  for (const [misdeed, message] of [
    ['exit', /^thread 0 ended by itself \(exit code 7\)/],
    ['throw', /not my day/],
  ] as const) {
    test(`${misdeed}_inline_dataplaneEndsNamedAndIsRestarted`, async () => {
      await using serving = await Serving.start([APP, '--domain', 'inline']);
      const { dataplane } = serving.facts;
      const client = await Client.open(serving.address, serving.port);
      client.socket.on('error', () => {}); // reset by the next life
      await client.write(misdeed);
      const ended = await heard(serving, 'dataplane-ended');
      assert.deepEqual([ended.pid, ended.how], [dataplane, 'exit code 1']);
      assert.match(ended.message ?? '', message);
      const again = await heard(serving, 'dataplane-restarted');
      assert.notEqual(again.pid, dataplane);
      await answers(serving);
      client.socket.destroy();
    });
  }

  for (const domain of DOMAINS) {
    test(`fault_${domain}_itsConnectionIsResetEverythingElseGoesOn`, async () => {
      await using serving = await Serving.start([APP, '--domain', domain]);
      const other = await Client.open(serving.address, serving.port);
      await other.write('here');
      assert.equal(await other.text(4), 'here');
      const client = await Client.open(serving.address, serving.port);
      const reset = once(client.socket, 'close').catch((error) => error.code);
      await client.write('fault');
      assert.equal(await reset, 'ECONNRESET');
      await other.write('still here');
      assert.equal(await other.text(10), 'still here');
      await answers(serving);
      await other.close();
      for (const pid of serving.pids) process.kill(pid, 0);
      const report = (what: string) => `ix: application error: Error: ${what}\\n( +at .*\\n)+`;
      await serving.stop(new RegExp(`^${report('in a handler')}${report('at its end')}$`));
    });
  }

  test('hang_dataplaneGoesOnReportedThenRestarted', async () => {
    await using serving = await start('--hang-timeout', '2.5');
    const { application } = serving.facts;
    const client = await Client.open(serving.address, serving.port);
    await client.write('hang');
    const hanging = await heard(serving, 'hanging');
    assert.deepEqual([hanging.pid, hanging.restartAfterSeconds], [application, 2.5]);
    assert.ok(hanging.seconds >= 1 && hanging.seconds < 2, `${hanging.seconds} s`);
    // The dataplane answers pings, acknowledges what comes and completes handshakes.
    const pings = await run(['ping', '-c', '3', '-i', '0.2', '-W', '1', serving.address]);
    assert.equal(pings.exitCode, 0, pings.output.toString());
    const before = serving.counters()['tcpBytesIn']!;
    const late = await Client.open(serving.address, serving.port);
    await client.write('more');
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(serving.counters()['tcpBytesIn'], before + 4);
    const { cause, seconds } = await heard(serving, 'ended');
    assert.equal(cause, 'hang');
    assert.ok(seconds! >= 2.5 && seconds! < 4, `${seconds} s`);
    await heard(serving, 'restarted');
    await answers(serving);
    for (const each of [client, late]) each.socket.destroy();
    const hung = `did not return from a batch for \\d\\.\\d s and was killed`;
    const first = 'has not returned from a batch for \\d\\.\\d s, restarted after 2\\.5 s';
    await serving.stop(new RegExp(`^${NAMED} ${first}\\n${NAMED} ${hung}, ${AGAIN}\\n${READY}$`));
  });

  test('quotaUsedUp_namedAndTheOthersAreServed', async () => {
    await using serving = await start('--quota', 'flows=4');
    const client = await Client.open(serving.address, serving.port);
    await client.write('open');
    const { quota, refused, pid } = await heard(serving, 'quota');
    assert.deepEqual([quota, refused, pid], ['flows', 97, serving.facts.application]);
    assert.equal(await client.text(4), 'open');
    await answers(serving);
    assert.equal(serving.counters()['quotaFlows'], 97);
    await serving.stop(new RegExp(`^${NAMED} quota of flows is used up, refused 97 times\\n$`));
  });
});

/**
 * What a control plane takes out of a process that it did not start, tried on ourselves and on a
 * child.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { closeShared, makeShared } from '../../../src/control/children/shared.ts';
import {
  AdoptionError,
  identityOf,
  openProcess,
  signalOnly,
  signalProcess,
  socketPair,
  takeDescriptor,
} from '../../../src/control/record/descriptors.ts';
import { isAlive, processName } from '../../../src/native/process.ts';

const us = [process.geteuid!()];
const ourselves = () => openProcess(processName(process.pid)!, us);
const openCount = () => readdirSync('/proc/self/fd').length;

test('takeDescriptor_whatTheRecordSays_isACopyOfTheSame', () => {
  const [one, other] = socketPair();
  const pidfd = ourselves();
  const copy = takeDescriptor(pidfd, { fd: one, what: identityOf(one) });
  assert.notEqual(copy, one);
  assert.equal(identityOf(copy), identityOf(one));
  assert.notEqual(identityOf(other), identityOf(one));
  for (const fd of [one, other, pidfd, copy]) closeSync(fd);
});

test('takeDescriptor_somethingElseUnderThatNumber_refusedAndClosed', () => {
  const shared = makeShared();
  const pidfd = ourselves();
  const before = openCount();
  // Both memfds, both pipes: of the same kind and yet not the same.
  for (const [fd, meant] of [
    [shared.memory, shared.receivePool],
    [shared.wake, shared.bell],
    [shared.memory, shared.wake],
  ] as const) {
    const take = () => takeDescriptor(pidfd, { fd, what: identityOf(meant) });
    assert.throws(take, AdoptionError);
  }
  assert.throws(() => takeDescriptor(pidfd, { fd: 9999, what: 'nothing' }), /pidfd_getfd failed/);
  assert.equal(openCount(), before);
  closeShared(shared);
  closeSync(pidfd);
});

test('identityOf_filesWrittenTo_staysTheSame', () => {
  const fd = openSync('/dev/null', 'w');
  const before = identityOf(fd);
  writeSync(fd, 'x');
  assert.equal(identityOf(fd), before);
  closeSync(fd);
});

test('openProcess_gone_saysSo', async () => {
  const child = spawn('sleep', ['60']);
  const name = processName(child.pid!)!;
  const pidfd = openProcess(name, us);
  const ended = once(child, 'exit');
  assert.equal(signalProcess(pidfd, 15), 0);
  const [, signal] = await ended;
  assert.equal(signal, 'SIGTERM');
  assert.equal(signalProcess(pidfd, 15), -3, 'ESRCH, whoever has the number now');
  closeSync(pidfd);
  assert.throws(() => openProcess(name, us), /process \d+ is gone/);
});

test('openProcess_numberThatAnotherHasNow_refused', () => {
  const name = processName(process.pid)!;
  const before = openCount();
  assert.throws(() => openProcess({ ...name, start: name.start - 1 }, us), AdoptionError);
  assert.equal(openCount(), before);
});

test('openProcess_anotherUsersOrAnotherProgram_refused', () => {
  const name = processName(process.pid)!;
  const before = openCount();
  assert.throws(() => openProcess(name, [us[0]! + 1]), AdoptionError);
  assert.throws(() => openProcess(name, []), AdoptionError);
  assert.throws(() => openProcess({ ...name, program: '1:1' }, us), AdoptionError);
  assert.throws(() => openProcess({ ...name, program: '' }, us), AdoptionError);
  assert.equal(openCount(), before);
});

test('signalOnly_notWhoWasMeant_reachesNobody', async () => {
  const child = spawn('sleep', ['60']);
  const name = processName(child.pid!)!;
  signalOnly({ ...name, start: name.start - 1 }, us, 9);
  signalOnly({ ...name, program: processName(process.pid)!.program }, us, 9);
  signalOnly(name, [us[0]! + 1], 9);
  assert.equal(isAlive(name), true);
  const ended = once(child, 'exit');
  signalOnly(name, us, 15);
  assert.deepEqual(await ended, [null, 'SIGTERM']);
  signalOnly(name, us, 15); // it is gone, and nobody minds
});

/** Naps on real descriptors: what ends one, and that none ends before its time for nothing. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Arena } from '../../src/arena/arena.ts';
import { BY_BELL, BY_LOOP, BY_NIC, Nap } from '../../src/dataplane/nap.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';

const EFD_NONBLOCK = 0o4000;
const rung = new BigUint64Array([1n]);
const LONG_US = 5_000_000;

describe('nap', () => {
  let nic: number;
  let bell: number;
  let nap: Nap;
  const ring = (fd: number): void => void sys.syscall(SYS.write, fd, rung, 8);
  const elapsedUs = (from: bigint): number => Number(process.hrtime.bigint() - from) / 1000;

  beforeEach(() => {
    const arena = new Arena(1 << 16);
    arena.bindNative();
    [nic, bell] = [0, 0].map(() =>
      must(sys.syscall(SYS.eventfd2, 0, EFD_NONBLOCK), 'eventfd2'),
    ) as [number, number];
    nap = new Nap(arena, [nic], bell);
  });
  afterEach(() => {
    for (const fd of [nic, bell]) sys.syscall(SYS.close, fd);
  });

  test('nothingComes_lastsItsTime', async () => {
    await pause(0); // the loop has told the kernel of what it waits for
    const from = process.hrtime.bigint();
    assert.equal(nap.take(3000), 0);
    assert.ok(elapsedUs(from) >= 3000, `${elapsedUs(from)}`);
  });

  test('frameOrBellIsThere_endsAtOnce_andSaysWhich', () => {
    ring(nic);
    assert.equal(nap.take(LONG_US), BY_NIC);
    ring(bell);
    assert.equal(nap.take(LONG_US), BY_NIC | BY_BELL);
    sys.syscall(SYS.read, nic, new Uint8Array(8), 8);
    assert.equal(nap.take(LONG_US), BY_BELL);
  });

  test('messageToTheThread_endsIt_becauseTheLoopHasToTurn', async () => {
    const { port1, port2 } = new MessageChannel();
    const heard = new Promise((resolve) => port2.addEventListener('message', resolve));
    port2.start();
    await pause(0);
    port1.postMessage('stop');
    assert.equal(nap.take(LONG_US), BY_LOOP);
    await heard;
    port1.close();
  });

  test('withoutABell_theLoopIsStillKnownFromTheNic', async () => {
    const arena = new Arena(1 << 16);
    arena.bindNative();
    const bellLess = new Nap(arena, [nic], undefined);
    const { port1, port2 } = new MessageChannel();
    port2.start();
    await pause(0);
    port1.postMessage('');
    assert.equal(bellLess.take(LONG_US), BY_LOOP);
    port1.close();
  });

  test('napsThatEndLate_areLearned_upToWhatWakingTakes', () => {
    for (let i = 0; i < 60; i++) nap.ended(100, 130);
    assert.ok(Math.abs(nap.lateUs - 30) <= 1, `${nap.lateUs}`);
    nap.ended(100, 8000); // somebody else had the core
    assert.ok(nap.lateUs <= 34, `${nap.lateUs}`);
    for (let i = 0; i < 100; i++) nap.ended(100, 100);
    assert.ok(nap.lateUs <= 1, `${nap.lateUs}`);
  });
});

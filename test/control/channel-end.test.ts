/** The control plane's end of a channel against a child that says and does anything. */
import assert from 'node:assert/strict';
import { closeSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChannelEnd } from '../../src/control/channel-end.ts';
import { socketPair } from '../../src/control/descriptors.ts';
import { SYS, sys } from '../../src/native/sys.ts';

const F_SETFL = 4;

function open() {
  const [ours, theirs] = socketPair();
  const heard: unknown[] = [];
  let tooLong = 0;
  const end = new ChannelEnd(ours, {
    message: (message) => heard.push(message),
    tooLong: () => {
      tooLong += 1;
    },
  });
  return { end, ours, theirs, heard, tooLong: () => tooLong };
}

const until = async (isSo: () => boolean): Promise<void> => {
  for (let i = 0; i < 500 && !isSo(); i++) await sleep(2);
  assert.ok(isSo());
};

test('channel_linesInPieces_areHeardWhole', async () => {
  const { end, theirs, heard } = open();
  writeSync(theirs, '{"a":1}\n{"b":"\u00e4');
  await until(() => heard.length === 1);
  writeSync(theirs, '\u00f6"}\n\n{"c":\n[]\n3\n');
  closeSync(theirs);
  await end.closed;
  assert.deepEqual(heard, [{ a: 1 }, { b: '\u00e4\u00f6' }, [], 3]);
});

test('channel_ourLines_arrive', async () => {
  const { end, theirs } = open();
  end.write('one');
  end.write('two');
  const buffer = Buffer.alloc(64);
  assert.equal(buffer.toString('latin1', 0, readSync(theirs, buffer)), 'one\ntwo\n');
  closeSync(theirs);
  await end.closed;
  end.write('nobody hears it');
});

test('channel_lineWithoutEnd_toldOnceAndClosed', async () => {
  const { end, theirs, heard, tooLong } = open();
  sys.syscall(SYS.fcntl, theirs, F_SETFL, 0o4000);
  const part = Buffer.alloc(65_536, 'x');
  const deadline = performance.now() + 5000;
  while (tooLong() === 0 && performance.now() < deadline) {
    sys.syscall(SYS.write, theirs, part, part.length);
    await sleep(1);
  }
  await end.closed;
  assert.equal(tooLong(), 1);
  assert.deepEqual(heard, []);
  closeSync(theirs);
});

test('channel_flagsClearedByWhoHoldsACopy_nothingWaits', async () => {
  const { end, ours, theirs, heard } = open();
  sys.syscall(SYS.fcntl, ours, F_SETFL, 0);
  sys.syscall(SYS.fcntl, theirs, F_SETFL, 0o4000);
  // As long as what is read at a time: who believes the flags reads again, and waits for ever.
  const line = Buffer.from(`"${'x'.repeat(65_533)}"\n`);
  assert.equal(line.length, 65_536);
  assert.equal(sys.syscall(SYS.write, theirs, line, line.length), line.length);
  await until(() => heard.length === 1);
  // Nobody reads: a write that waits would never come back.
  for (let i = 0; i < 64; i++) end.write('x'.repeat(65_536));
  closeSync(theirs);
  await end.closed;
});

test('channel_childThatNeverReads_isNotKeptInMemory', async () => {
  const { end, theirs } = open();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200; i++) end.write('x'.repeat(65_536));
  assert.ok(process.memoryUsage().arrayBuffers - before < 100 * 2 ** 20);
  closeSync(theirs);
  await end.closed;
});

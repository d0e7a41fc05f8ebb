/** The control plane's end of a channel against a child that says and does anything. */
import assert from 'node:assert/strict';
import { closeSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChannelEnd } from '../../../src/control/children/channel-end.ts';
import { socketPair } from '../../../src/control/record/descriptors.ts';
import { DEPTH_MAX, depthOf } from '../../../src/json-depth.ts';
import { SYS, sys } from '../../../src/native/sys.ts';

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

const nested = (depth: number, open = '{"0":', close = '}'): string =>
  `${open.repeat(depth)}1${close.repeat(depth)}\n`;

test('channel_lineNestedTooDeep_dropped', async () => {
  const { end, theirs, heard } = open();
  for (const [open, close] of [
    ['{"0":', '}'],
    ['[', ']'],
  ] as const) {
    writeSync(theirs, nested(DEPTH_MAX + 1, open, close));
    writeSync(theirs, nested(DEPTH_MAX, open, close));
  }
  writeSync(theirs, '"last"\n');
  closeSync(theirs);
  await end.closed;
  assert.equal(heard.length, 3);
  // Whoever hears it may do with it what he likes.
  for (const message of heard) assert.ok(JSON.stringify(message));
});

test('depthOf_bracketsInText_doNotCount', () => {
  const depths: [text: string, depth: number][] = [
    ['1', 0],
    ['"[[["', 0],
    ['"\\"[[["', 0],
    ['"\\\\",[', 1],
    ['{"[{":[{}]}', 3],
    ['[],[],[]', 1],
    [']]]][', 0],
  ];
  for (const [text, depth] of depths) assert.equal(depthOf(Buffer.from(text)), depth, text);
});

test('channel_whoHearsThrows_saidAndTheNextIsHeard', async (t) => {
  const said: string[] = [];
  t.mock.method(process.stderr, 'write', (text: string) => {
    said.push(text);
    return true;
  });
  const [ours, theirs] = socketPair();
  const heard: unknown[] = [];
  const end = new ChannelEnd(ours, {
    message: (message) => {
      if (message === 1) throw new RangeError('out of something\nand more');
      heard.push(message);
    },
    tooLong: () => {},
  });
  writeSync(theirs, '1\n2\n');
  closeSync(theirs);
  await end.closed;
  t.mock.restoreAll();
  assert.deepEqual(heard, [2]);
  assert.deepEqual(said, [
    'ix: a message of a child could not be dealt with (RangeError: out of something); dropped\n',
  ]);
});

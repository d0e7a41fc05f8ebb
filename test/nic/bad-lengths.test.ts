/** Frames of no length that a driver takes: each dropped under the reason's own name. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SYS, sys } from '../../src/native/sys.ts';
import { FrameFile } from '../../src/nic/frame-file.ts';
import { makeEnds } from './suite.ts';

/** Over any file. */
function openFile(path: string) {
  const { a } = makeEnds();
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const options = { fd, name: path, mac: new Uint8Array(6), mtu: 1500, entries: 64 };
  return { ...a, fd, nic: new FrameFile(a.arena, a.frames, a.counters, options) };
}

test('everyDriver_frameTooShortOrTooLongToSend_isDroppedAsThatAndNotAsFull', () => {
  const child = fileURLToPath(new URL('bad-lengths-child.ts', import.meta.url));
  const env = { ...process.env, IX_VERIFY: '0' };
  const said = execFileSync(process.execPath, [child], { env, encoding: 'utf8' });
  const right = { txBadLength: 5, txFull: 0, txRefused: 0, txFrames: 1, allHome: true };
  assert.deepEqual(JSON.parse(said), { cable: right, frameFile: right, afXdp: right });
});

test('frameFile_kernelRefusesAFrame_isCountedAsRefused', () => {
  const end = openFile('/dev/full'); // a write: ENOSPC
  for (let i = 0; i < 3; i++) end.nic.transmit(end.frames.takeTransmit() + 2, 60);
  end.nic.kick();
  assert.equal(end.counters.get('txRefused'), 3);
  assert.equal(end.counters.get('txFull'), 0);
  assert.equal(end.counters.get('txFrames'), 0);
  end.nic.close();
  assert.ok(end.frames.allHome());
});

test('frameFile_readFillsTheFrame_isCountedAsTooLong', () => {
  const end = openFile('/dev/full'); // a read: as many zeros as are asked for
  end.nic.reclaim();
  assert.equal(end.nic.receive(3), 0);
  assert.equal(end.counters.get('rxTooLong'), 3);
  assert.equal(end.counters.get('rxShort'), 0);
  end.nic.close();
  assert.ok(end.frames.allHome());
});

test('frameFile_readWithoutAWholeHeader_isCountedAsShort', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ix-frame-file-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  const end = openFile(path);
  end.nic.reclaim();
  sys.syscall(SYS.write, end.fd, new Uint8Array(13), 13);
  assert.equal(end.nic.receive(3), 0);
  assert.equal(end.counters.get('rxShort'), 1);
  assert.equal(end.counters.get('rxTooLong'), 0);
  end.nic.close();
  assert.ok(end.frames.allHome());
});

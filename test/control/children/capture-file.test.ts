/** Files of --capture in a directory where somebody else was first. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chownSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { CaptureFiles, KEPT } from '../../../src/control/children/capture-file.ts';

let directory = '';
let path = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ix-capture-'));
  path = join(directory, 'x.pcap');
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(number: number, text: string): void {
  const fd = new CaptureFiles(path).open(number);
  writeSync(fd, text);
  closeSync(fd);
}

test('capture_ownFile_isOverwrittenAndForItsOwnerOnly', () => {
  write(0, 'much');
  write(0, 'x');
  assert.equal(readFileSync(path, 'utf8'), 'x');
  assert.equal(lstatSync(path).mode & 0o777, 0o600);
});

test('capture_link_isNotFollowed', () => {
  const victim = join(directory, 'victim');
  writeFileSync(victim, 'precious');
  symlinkSync(victim, path);
  assert.throws(
    () => new CaptureFiles(path).open(0),
    /--capture .*x\.pcap: it is a link; give the path/,
  );
  rmSync(path);
  linkSync(victim, path);
  assert.throws(() => new CaptureFiles(path).open(0), /it has another name/);
  assert.equal(readFileSync(victim, 'utf8'), 'precious');
});

test('capture_fifoOrFileOfAnother_isRefusedAtOnce', (t) => {
  spawnSync('mkfifo', [path]);
  assert.throws(() => new CaptureFiles(path).open(0), /--capture .*: (ENXIO|it is no file); /);
  rmSync(path);
  if (process.getuid?.() !== 0) return t.skip('needs root');
  writeFileSync(path, 'theirs');
  chownSync(path, 1234, 1234);
  assert.throws(() => new CaptureFiles(path).open(0), /it is the file of another user/);
  assert.equal(readFileSync(path, 'utf8'), 'theirs');
});

test('capture_laterLife_takesAFreeNameAndOpensNothingThatIsThere', () => {
  const victim = join(directory, 'victim');
  writeFileSync(victim, 'precious');
  symlinkSync(victim, `${path}.1`);
  symlinkSync(join(directory, 'nowhere'), `${path}.2`);
  write(1, 'second life');
  assert.equal(readFileSync(victim, 'utf8'), 'precious');
  assert.equal(readFileSync(`${path}.3`, 'utf8'), 'second life');
  write(2, 'third life');
  assert.equal(readFileSync(`${path}.4`, 'utf8'), 'third life');
});

test('capture_manyLives_theLastFewAreKept', () => {
  const captures = new CaptureFiles(path);
  const lives = KEPT + 5;
  for (let number = 0; number < lives; number++) {
    const fd = captures.open(number);
    writeSync(fd, `life ${number}`);
    closeSync(fd);
  }
  // Somebody else's file in the place of one of ours is not taken away.
  const oldest = `${path}.${lives - KEPT}`;
  rmSync(oldest);
  writeFileSync(oldest, 'theirs');
  closeSync(captures.open(lives));
  const kept = readdirSync(directory).sort();
  assert.equal(kept.length, 1 + KEPT + 1);
  assert.equal(readFileSync(path, 'utf8'), 'life 0');
  assert.equal(readFileSync(oldest, 'utf8'), 'theirs');
  assert.equal(readFileSync(`${path}.${lives - 1}`, 'utf8'), `life ${lives - 1}`);
});

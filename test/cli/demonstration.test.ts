/**
 * `--nic cable` as a command: what it honours, and that it ends whatever the application does.
 * Needs no privilege.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const IX = fileURLToPath(new URL('../../bin/ix', import.meta.url));

function demonstrate(...words: string[]) {
  const given = ['serve', ...words, '--nic', 'cable'];
  const { status, stdout, stderr } = spawnSync(IX, given, { encoding: 'utf8', timeout: 60_000 });
  return { status, stdout, stderr };
}

/** The same with an application of these lines. */
function demonstrateLines(...lines: string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'ix-demonstration-'));
  try {
    writeFileSync(join(directory, 'app.ts'), `export default (ix) => {\n${lines.join('\n')}\n};\n`);
    return demonstrate(join(directory, 'app.ts'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

// The client has the first address of the network, or the second.
for (const ip of ['10.88.3.9/16', '10.88.0.1/24', '192.168.7.2/30']) {
  test(`demonstration_at${ip}_clientIsInItsNetwork`, () => {
    const { status, stdout, stderr } = demonstrate('echo', '--ip', ip);
    assert.equal(stderr, '');
    assert.match(stdout, new RegExp(`^ix: echo ready at ${ip.split('/')[0]}:7, on a cable`));
    assert.match(stdout, / {2}hello\n.*requests a second over 16 connections/s);
    assert.equal(status, 0);
  });
}

test('demonstration_optionsOfTheDataplane_areHonoured', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ix-demonstration-'));
  try {
    const capture = join(directory, 'frames.pcap');
    const words = ['-m', '200', '--port', '4000', '--quota', 'flows=3', '--capture', capture];
    const { status, stdout, stderr } = demonstrate('kv', ...words, '--idle', 'sleep');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /ready at 10\.77\.0\.2:4000/);
    // The first connection is not over when the load begins.
    assert.match(stdout, /over [23] connections/);
    assert.ok(statSync(capture).size > 1000);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('demonstration_memoryTooSmallForSetting_oneLineAndExit2', () => {
  const { status, stdout, stderr } = demonstrate('kv', 'm=1000');
  assert.match(stderr, /^ix: kv: -m 1000 needs \d+ MiB more application memory[^\n]*\n$/);
  assert.equal(stdout, '');
  assert.equal(status, 2);
});

test('demonstration_applicationClosesAtOnce_oneLineAndExit1', () => {
  const aborting = 'ix.listen(7, { opened: (c) => c.abort(), received: (_c, _o, n) => n });';
  const { status, stderr } = demonstrateLines(aborting);
  assert.match(stderr, /^ix: the built-in client lost its connection to 10\.77\.0\.2:7 \(\w+\)\n$/);
  assert.equal(status, 1);
});

test('demonstration_applicationNeverAnswers_oneLineAndExit1', () => {
  const { status, stderr } = demonstrateLines('ix.listen(7, { received: (_c, _o, n) => n });');
  assert.equal(stderr, 'ix: the built-in client got no whole line within 10 s\n');
  assert.equal(status, 1);
});

test('demonstration_applicationListensNowhere_oneLineAndExit1', () => {
  const { status, stderr } = demonstrateLines('void ix;');
  assert.equal(stderr, 'ix: app listens on no TCP port: nothing to show\n');
  assert.equal(status, 1);
});

test('demonstration_applicationThrowsLater_stackAndExit1', () => {
  const throwing = "ix.listen(7, { received() { throw new Error('not today'); } });";
  const { status, stderr } = demonstrateLines(throwing);
  assert.match(stderr, /^ix: .*not today/);
  assert.equal(status, 1);
});

test('demonstration_applicationStopsItself_itsExitCode', () => {
  const { status } = demonstrateLines('ix.listen(7, { received() { ix.stop(7); return 0; } });');
  assert.equal(status, 7);
});

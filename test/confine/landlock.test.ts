/**
 * Landlock alone, with nothing in front of it: in production seccomp and namespaces answer first,
 * so that nobody would notice if it did not hold. A process restricts itself and tries; ours is
 * outside of its domain.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { landlockAbi } from '../../src/confine/landlock.ts';

const EPERM = -1;
const EACCES = -13;
const abi = landlockAbi();
const href = (path: string): string => new URL(`../../src/${path}`, import.meta.url).href;

const directory = mkdtempSync(join(tmpdir(), 'ix-landlock-'));
chmodSync(directory, 0o755);
const given = join(directory, 'given');
const other = join(directory, 'other');
for (const path of [given, other]) writeFileSync(path, '', { mode: 0o666 });
after(() => rmSync(directory, { recursive: true }));

/**
 * What a process that has restricted itself, but for reading `given`, gets for `body`, an
 * expression.
 */
async function restricted(body: string): Promise<unknown> {
  const script = `
    const { READ, restrictPaths } = await import('${href('confine/landlock.ts')}');
    const { callNumber } = await import('${href('confine/seccomp-numbers.ts')}');
    const { sys } = await import('${href('native/sys.ts')}');
    const call = (name, ...args) => sys.syscall(callNumber(name), ...args);
    const text = (value) => Buffer.from(value + '\\0');
    const unix = (name) => Buffer.from('\\x01\\0\\0' + name, 'latin1');
    const inet = (port) =>
      Uint8Array.of(2, 0, port >> 8, port & 255, 127, 0, 0, 1, ...Array(8).fill(0));
    call('prctl', 38, 1, 0, 0, 0);
    restrictPaths([{ path: '${given}', access: READ }]);
    console.log(JSON.stringify(${body}));`;
  const words = ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', script];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (piece) => {
    said += piece;
  });
  await once(child, 'close');
  return JSON.parse(said);
}

const needs = (version: number) => abi < version && `needs Landlock ${version}, here is ${abi}`;

test('files_notGiven_areRefused', { skip: needs(1) }, async () => {
  const open = (path: string, flags: number) =>
    `call('openat', -100, text('${path}'), ${flags}, 0)`;
  const made = `call('openat', -100, text('${directory}/new'), 0o101, 0o600)`;
  const asked = [open(given, 0), open(given, 1), open(other, 0), open('/etc/passwd', 0), made];
  const answers = (await restricted(`[${asked}]`)) as number[];
  assert.ok(answers[0]! > 0);
  assert.deepEqual(answers.slice(1), Array(4).fill(EACCES));
});

test('tcp_boundOrConnected_isRefused', { skip: needs(4) }, async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const socket = `call('socket', 2, 1, 0)`;
  const connect = `call('connect', ${socket}, inet(${port}), 16)`;
  const bind = `call('bind', ${socket}, inet(0), 16)`;
  assert.deepEqual(await restricted(`[${connect}, ${bind}]`), [EACCES, EACCES]);
});

test('signals_toWhoIsOutside_areRefused', { skip: needs(6) }, async () => {
  const body = `[call('kill', ${process.pid}, 0), call('kill', process.pid, 0)]`;
  assert.deepEqual(await restricted(body), [EPERM, 0]);
});

test('abstractSocket_ofWhoIsOutside_isNotReached', { skip: needs(6) }, async (t) => {
  const name = `ix-landlock-${process.pid}`;
  const server = createServer().listen(`\0${name}`);
  t.after(() => server.close());
  await once(server, 'listening');
  const body = `call('connect', call('socket', 1, 1, 0), unix('${name}'), ${3 + name.length})`;
  assert.equal(await restricted(body), EPERM);
});

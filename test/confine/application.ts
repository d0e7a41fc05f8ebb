/**
 * An application that tries what it may and what it may not, and reports both. Not a test itself:
 * confine.live.test.ts runs it in both domains. Settings: `allowed`, a directory it was given;
 * `secret`, a file it was not; `then`, what to do instead.
 */
import { execSync } from 'node:child_process';
import { createHash, generateKeyPairSync, scrypt } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  unwatchFile,
  watch,
  watchFile,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, readFile, rm, utimes } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { createGzip } from 'node:zlib';
import { type CallName, callNumber } from '../../src/confine/seccomp-numbers.ts';
import type { Application } from '../../src/libix/index.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE, SYS, sys } from '../../src/native/sys.ts';

/** With arguments that do no harm should one get through. */
const FORBIDDEN: CallName[] = [
  ...(['socket', 'socketpair', 'connect', 'execve', 'execveat', 'ptrace', 'pidfd_open'] as const),
  ...(['process_vm_readv', 'process_vm_writev', 'bpf', 'perf_event_open', 'userfaultfd'] as const),
  ...(['keyctl', 'mount', 'umount2', 'unshare', 'setns', 'chroot', 'setuid', 'capset'] as const),
  ...(['seccomp', 'memfd_create', 'mlock', 'shmget', 'open_by_handle_at', 'personality'] as const),
  ...(['io_uring_setup', 'io_uring_enter', 'clone', 'clone3', 'rt_sigqueueinfo'] as const),
  ...(['name_to_handle_at', 'sched_setscheduler', 'setpriority', 'signalfd4'] as const),
];

async function outcome(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'done';
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return code ?? message;
  }
}

const worker = (): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const source = "require('node:worker_threads').parentPort.postMessage(require('node:os').EOL)";
    const started = new Worker(source, { eval: true });
    started.once('message', resolve);
    started.once('error', reject);
  });

const connected = (): Promise<unknown> =>
  new Promise((resolve, reject) => {
    connect(80, '127.0.0.1').once('connect', resolve).once('error', reject);
  });

const listening = (): Promise<unknown> =>
  new Promise((resolve, reject) => {
    createServer()
      .once('error', reject)
      .listen(0, () => resolve(undefined));
  });

async function tryFiles(allowed: string, secret: string): Promise<Record<string, string>> {
  const here = new URL(import.meta.url);
  const file = join(allowed, 'written');
  return {
    readOwn: await outcome(() => readFile(here)),
    readSecret: await outcome(() => readFileSync(secret)),
    readPasswords: await outcome(() => readFileSync('/etc/passwd')),
    listRoot: await outcome(() => readdirSync('/')),
    writeOwn: await outcome(() => writeFileSync(new URL('./written', here), '')),
    writeTmp: await outcome(() => writeFileSync('/tmp/written', '')),
    writeAllowed: await outcome(() => writeFileSync(file, 'hello')),
    copyAllowed: await outcome(() => copyFileSync(file, join(allowed, 'copy'))),
    utimes: await outcome(() => utimes(file, 1, 1)),
    mkdtemp: await outcome(async () => rm(await mkdtemp(join(allowed, 'x')), { recursive: true })),
    watch: await outcome(() => watch(allowed).close()),
    watchFile: await outcome(() => {
      watchFile(allowed, () => {});
      unwatchFile(allowed);
    }),
    memory: await outcome(() => writeFileSync('/proc/self/mem', 'x')),
    processes: readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .join(),
  };
}

/** Writes into the event array through a mapping like the one we have. */
function writeEvents(): void {
  const isEvents = (name: string): boolean => {
    const link = `/proc/self/fd/${name}`;
    return (
      lstatSync(link, { throwIfNoEntry: false }) !== undefined && /events/.test(readlinkSync(link))
    );
  };
  const fd = Number(readdirSync('/proc/self/fd').find(isEvents));
  new Uint8Array(sys.map(4096, PROT_READ, MAP_SHARED, fd, 0) as ArrayBuffer)[0] = 1;
}

const F_ADD_SEALS = 1033;
const EIGHT = new Uint8Array(8);

/** Domain process: what becomes of memory that we may only read, and of the size of all of it. */
function trySharedMemory(): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  const mapped = (fd: number): number => {
    const result = sys.map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return typeof result === 'number' ? result : 0;
  };
  for (const name of readdirSync('/proc/self/fd')) {
    const link = `/proc/self/fd/${name}`;
    const target = lstatSync(link, { throwIfNoEntry: false }) ? readlinkSync(link) : '';
    const memory = /^\/memfd:ix (receive pool|events|calls)/.exec(target)?.[1];
    if (memory === undefined) continue;
    const fd = Number(name);
    const again = openSync(link, 'r+');
    found[memory] = [
      ...[mapped(fd), mapped(again), sys.syscall(SYS.write, again, EIGHT, 8)],
      ...[sys.syscall(callNumber('ftruncate'), fd, 0), sys.syscall(SYS.fcntl, fd, F_ADD_SEALS, 0)],
    ];
    closeSync(again);
  }
  return found;
}

async function tryNode(): Promise<Record<string, string>> {
  return {
    timer: await outcome(() => sleep(2)),
    interval: await outcome(() => promisify(setImmediate)()),
    hash: await outcome(() => createHash('sha256').update('x').digest()),
    scrypt: await outcome(() => promisify(scrypt)('a', 'b', 16)), // libuv's threads
    keys: await outcome(() => generateKeyPairSync('ed25519')),
    worker: await outcome(worker),
    manyWorkers: await outcome(() => Promise.all(Array.from({ length: 8 }, worker))),
    stream: await outcome(() => {
      return pipeline([Buffer.alloc(100_000)], createGzip(), async (out) => {
        for await (const _ of out);
      });
    }),
    wasm: await outcome(() => new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0))),
    usage: await outcome(() => [process.cpuUsage(), process.memoryUsage(), process.getgroups?.()]),
    report: await outcome(() => process.report?.getReport()),
    connect: await outcome(connected),
    listen: await outcome(listening),
    exec: await outcome(() => execSync('true')),
    fetch: await outcome(() => fetch('http://127.0.0.1/')),
    killAll: await outcome(() => process.kill(-1, 0)),
    killParent: await outcome(() => process.kill(process.ppid, 0)),
  };
}

const probe: Application = async (ix, options) => {
  ix.listen(7, { received: (_connection, _offset, length) => length });
  const { allowed = '', secret = '', then = '' } = options;
  if (then === 'write events') return void setTimeout(writeEvents, 50);
  const calls = FORBIDDEN.map((name) => [name, sys.syscall(callNumber(name), 0, 0, 0, 0, 0, 0)]);
  const files = await tryFiles(allowed, secret);
  const memory = trySharedMemory();
  const node = await tryNode();
  ix.report({ pid: process.pid, calls: Object.fromEntries(calls), files, memory, node });
};
export default probe;

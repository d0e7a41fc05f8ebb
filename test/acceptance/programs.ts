/**
 * Programs of other people that the tests talk to: found or named as missing, run to their end, and
 * never left behind.
 */
import { type SpawnOptions, spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { findProgram } from '../../bench/harness/process.ts';
import { needsRoot } from '../control/namespace.ts';

/** Debian's package of each. */
const PACKAGES: Record<string, string> = {
  cc: 'gcc libc6-dev',
  ip: 'iproute2',
  memccapable: 'libmemcached-tools',
  nc: 'netcat-openbsd',
  npm: 'npm',
  objdump: 'binutils',
  ping: 'iputils-ping',
  setpriv: 'util-linux',
  unshare: 'util-linux',
  'aarch64-linux-gnu-gcc': 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross',
  'x86_64-linux-gnu-gcc': 'gcc-x86-64-linux-gnu libc6-dev-amd64-cross',
  'qemu-aarch64': 'qemu-user',
  'qemu-x86_64': 'qemu-user',
};

/** Why a test that needs root and these programs cannot run here; false when it can. */
export function needs(...programs: string[]): string | false {
  if (needsRoot !== false) return needsRoot;
  const missing = programs.find((name) => !findProgram(name));
  return missing ? `${missing} is missing: apt-get install ${PACKAGES[missing] ?? missing}` : false;
}

export interface Outcome {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  output: Buffer;
  errors: string;
}

export interface RunOptions extends SpawnOptions {
  /** Written to its standard input, which then ends. */
  input?: Buffer | string;
  limitMs?: number;
}

/** Runs a program to its end; kills it after `limitMs` (default: a minute). */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { input, limitMs = 60_000, ...rest } = options;
  const [program = '', ...words] = command;
  const child = spawn(program, words, { ...rest, stdio: ['pipe', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const pieces: Buffer[] = [];
  let errors = '';
  child.stdout?.on('data', (piece: Buffer) => pieces.push(piece));
  child.stderr?.on('data', (text) => {
    errors += text;
  });
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, signal) =>
      resolve({ exitCode, signal, output: Buffer.concat(pieces), errors }),
    );
  });
  // It may end without having read everything.
  if (child.stdin) void pipeline(Readable.from([input ?? '']), child.stdin).catch(() => {});
  try {
    return await ended;
  } finally {
    clearTimeout(timer);
  }
}

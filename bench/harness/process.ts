/**
 * Programs that a benchmark runs: pinned to a core, and gone when the benchmark is.
 *
 * - Each runs under a small guard, a shell that waits for its standard input to end and then kills
 *   the program: that pipe ends when we stop it and when we die, `kill -9` included
 *   (PR_SET_PDEATHSIG would not do: a program that changes its user, like memcached, loses it).
 * - `output` is what the program wrote to standard output; standard error is kept for messages.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 10;

/** Descriptor 3 is the pipe to us; the program itself does not get it. Exit code: the program's. */
const GUARD = `exec 3<&0 </dev/null
"$@" 3<&- & program=$!
{ read -r _ <&3; kill -KILL $program; } >/dev/null 2>&1 & watcher=$!
wait $program; code=$?
kill $watcher; exit $code`;

export interface Running {
  readonly name: string;
  /** Settles with the exit code and everything it printed. */
  readonly ended: Promise<{ exitCode: number; output: string; errors: string }>;
  readonly hasEnded: boolean;
  /** Settles when `text` is in its standard output; false: it ended before, or it took longer. */
  says(text: string, limitMs: number): Promise<boolean>;
  /** The same for standard error. */
  complains(pattern: RegExp, limitMs: number): Promise<RegExpExecArray | undefined>;
  /** Settles when it is gone. */
  stop(): Promise<void>;
}

export function startPinned(cpu: number, command: readonly string[]): Running {
  const name = command[0] ?? '';
  const child = spawn('/bin/sh', ['-c', GUARD, name, 'taskset', '-c', String(cpu), ...command], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  let hasEnded = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  child.stdin.on('error', () => {});
  const ended = new Promise<{ exitCode: number; output: string; errors: string }>((resolve) => {
    child.once('error', (error) => (errors += error.message));
    child.once('exit', () => {
      hasEnded = true;
      child.stdin.destroy();
    });
    child.once('close', (code) => resolve({ exitCode: code ?? -1, output, errors }));
  });
  const waitFor = async <T>(look: () => T | undefined, limitMs: number): Promise<T | undefined> => {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const found = look();
      if (found !== undefined || hasEnded || Date.now() > deadline) return found;
      await sleep(POLL_MS);
    }
  };
  return {
    name,
    ended,
    get hasEnded() {
      return hasEnded;
    },
    says: async (text, limitMs) =>
      (await waitFor(() => output.includes(text) || undefined, limitMs)) === true,
    complains: (pattern, limitMs) => waitFor(() => pattern.exec(errors) ?? undefined, limitMs),
    stop: async () => {
      child.stdin.destroy();
      await ended;
    },
  };
}

/** What a program has measured that ends with one line of JSON, or why it has not. */
export async function resultOf<T>({ ended, name }: Running): Promise<T> {
  const { exitCode, output, errors } = await ended;
  if (exitCode !== 0) throw new Error(`${name} failed: ${lastLineOf(errors)}`);
  return JSON.parse(lastLineOf(output)) as T;
}

const lastLineOf = (text: string): string => text.trim().split('\n').at(-1)!;

/** Runs such a program on `cpu`, to its end. */
export const measuredBy = <T>(cpu: number, command: readonly string[]): Promise<T> =>
  resultOf(startPinned(cpu, command));

/** Path of a program, or undefined. */
export function findProgram(name: string): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter);
  return [...path, '/usr/local/bin', '/usr/bin', '/usr/sbin']
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

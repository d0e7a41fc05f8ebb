/**
 * One machine of test/drivers/run: QEMU with a kernel and NICs, the steps it is given, and what
 * came of each.
 *
 * - A step has so long (`limitMs`); then the machine is given up with it. The steps after it were
 *   not reached: who calls gives them to another machine. A machine that dies or does not boot is
 *   told by the same means, never by silence.
 * - The machine's console is QEMU's standard input and output: guest/start.sh says `@word ...`
 *   there, and a NIC's step waits for a line from here while the client (client.ts) talks to it
 *   over a tap of this network namespace.
 * - No KVM: emulated, everything is the same but slower, and nothing is needed of this machine.
 *
 * Called by main.ts.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const HERE = fileURLToPath(new URL('.', import.meta.url));
/** To boot, on a machine that others use too. */
const BOOT_MS = 240_000;
const CLIENT_SECONDS = '60';
/** The firmware clears the screen in the line in which the first word comes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what they are
const ESCAPES = /\x1b[[\]]?[\d;?=]*[a-zA-Z]/g;

export interface Step {
  name: string;
  /** A line of the plan: guest/start.sh says what there is. */
  line: string;
  /** Whom the client out here talks to, if it does, and what is served there: kv or echo. */
  address?: string;
  app: string;
}

export interface Outcome {
  readonly step: Step;
  /** `waiting`: the machine never came to it. */
  state: 'waiting' | 'running' | 'ended';
  /** Why it did not come to its end; empty: it did. */
  failed: string;
  /** Why it could not run here at all; empty: it could. */
  lacks: string;
  /** Seconds from a service's start until it said that it serves. */
  readySeconds: number;
  /** What the client found. */
  client: { wrong: string[]; requests?: number; pipelined?: number } | undefined;
  /**
   * What the machine said of it, by its words: `driver`; `socket`, zc:1 or zc:0, of xsk_diag; `out`
   * and `err` of the service; `queue`, a queue's number and what came on it; `stat`; `kernel`, the
   * last lines of its log; `test` and `skip`, lines of a test's report.
   */
  readonly said: Record<string, string[]>;
}

export interface Machine {
  /** Of packages.sh and image.sh. */
  readonly folder: string;
  readonly kernel: string;
  /** Options of QEMU: the network devices. */
  readonly devices: readonly string[];
  readonly steps: readonly Step[];
  /** How long a step may take. */
  readonly limitMs: number;
}

/** The initial file system with scripts and plan, which are new for each machine. */
function initialFiles({ folder, kernel, steps }: Machine, work: string): string {
  const plan = steps.map(({ line }) => `${line}\n`).join('');
  const script = `
    mkdir -p s && cp "$1/guest/start.sh" "$1/client.ts" s/ && cat >s/plan &&
    find s | "$2/qemu/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1 >s.gz &&
    cat "$2/initrd-$3.gz" s.gz >initrd`;
  const words = ['-ec', script, 'sh', HERE, folder, kernel];
  execFileSync('sh', words, { cwd: work, input: plan });
  return join(work, 'initrd');
}

function start(machine: Machine, work: string) {
  const { folder, kernel, devices } = machine;
  const root = join(folder, 'qemu');
  const release = readFileSync(join(folder, `kernels/${kernel}.release`), 'utf8').trim();
  const libraries = ['usr/lib', 'lib'].map((part) => join(root, part, 'x86_64-linux-gnu'));
  const words = [
    ...['-L', join(root, 'usr/share/qemu'), '-L', join(root, 'usr/share/seabios')],
    ...['-machine', 'q35,accel=tcg', '-cpu', 'max', '-smp', '2', '-m', '1536'],
    ...['-nodefaults', '-no-reboot', '-nographic', '-serial', 'stdio'],
    ...['-kernel', join(folder, `kernels/${kernel}/boot/vmlinuz-${release}`)],
    ...['-initrd', initialFiles(machine, work)],
    ...['-append', 'console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr'],
    ...['-drive', `file=${join(folder, 'disk.img')},if=virtio,format=raw,snapshot=on`],
    ...devices,
  ];
  return spawn(join(root, 'usr/bin/qemu-system-x86_64'), words, {
    env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':'), TMPDIR: work },
  });
}

/** What the client says, or why it said nothing. */
async function client({ address = '', app }: Step): Promise<string> {
  const words = ['--disable-warning=ExperimentalWarning', join(HERE, 'client.ts')];
  const run = promisify(execFile)(process.execPath, [...words, address, app, CLIENT_SECONDS]);
  const broke = (error: Error) => JSON.stringify({ wrong: [`the client: ${error.message}`] });
  return await run.then(({ stdout }) => stdout.trim(), broke);
}

/** Follows what a machine says, step by step. */
class Listener {
  readonly outcomes: Outcome[];
  #at = -1;

  constructor(steps: readonly Step[]) {
    this.outcomes = steps.map((step): Outcome => {
      return {
        ...{ step, state: 'waiting', failed: '', lacks: '' },
        ...{ readySeconds: 0, client: undefined, said: {} },
      };
    });
  }

  get now(): Outcome | undefined {
    return this.outcomes[this.#at];
  }

  hear(word: string, rest: string): void {
    if (word === 'step') this.#at += 1;
    const { now } = this;
    if (!now) return;
    if (word === 'step') now.state = 'running';
    else if (word === 'end') now.state = 'ended';
    else if (word === 'failed') now.failed = rest;
    else if (word === 'lacks') now.lacks = rest;
    else if (word === 'served') {
      const [began, served] = rest.split(' ').map(Number) as [number, number];
      now.readySeconds = served - began;
    } else if (word === 'client') now.client = JSON.parse(rest);
    else now.said[word] = [...(now.said[word] ?? []), rest];
  }

  /** The machine is gone: what was running did not come to its end. */
  gone(why: string): void {
    const { now } = this;
    if (now?.state === 'running') now.failed = why;
  }
}

/**
 * Boots it and takes it through its steps; `log` gets the whole console, `keep` each step's outcome
 * when it is over. What is returned has also those that it did not come to.
 */
export async function runMachine(
  machine: Machine,
  log: string,
  progress: (line: string) => void,
  until: AbortSignal,
  keep: (outcome: Outcome) => void,
): Promise<Outcome[]> {
  const work = mkdtempSync(join(machine.folder, 'machine-'));
  const listener = new Listener(machine.steps);
  const qemu = start(machine, work);
  const console = createWriteStream(log);
  qemu.stderr.pipe(console, { end: false });
  qemu.stdin.on('error', () => {}); // It may have died while the client talked.
  const kill = (): void => void qemu.kill('SIGKILL');
  let why = 'the machine ended meanwhile';
  const giveUp = (what: string, afterMs: number): NodeJS.Timeout =>
    setTimeout(() => {
      why = what;
      kill();
    }, afterMs);
  let limit = giveUp('', BOOT_MS);
  const interrupted = (): void => {
    why = 'interrupted';
    kill();
  };
  until.addEventListener('abort', interrupted);
  const ended = new Promise((resolve) => qemu.once('close', resolve));
  for await (const raw of createInterface({ input: qemu.stdout })) {
    const line = raw.replaceAll(ESCAPES, '').trim();
    console.write(`${line}\n`);
    const [, word = '', rest = ''] = /^@(\w+) ?(.*)$/.exec(line) ?? [];
    if (word === '') continue;
    listener.hear(word, rest);
    if (word === 'end') keep(listener.now!);
    if (word === 'boot') progress(`booted ${rest}`);
    if (word === 'step') {
      progress(`${listener.now?.step.name} ...`);
      clearTimeout(limit);
      limit = giveUp(`not done in ${machine.limitMs / 1000} s`, machine.limitMs);
    }
    if (word !== 'ready') continue;
    const found = await client(listener.now!.step);
    console.write(`${found}\n`);
    listener.hear('client', found);
    qemu.stdin.write('\n');
  }
  await ended;
  clearTimeout(limit);
  until.removeEventListener('abort', interrupted);
  listener.gone(why);
  if (listener.now?.state === 'running') keep(listener.now);
  console.end();
  rmSync(work, { recursive: true, force: true });
  return listener.outcomes;
}

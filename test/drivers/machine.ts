/**
 * One machine of test/drivers/run: QEMU with a kernel and NICs, the steps it is given, and what came of each.
 *
 * - The machine's console is QEMU's standard input and output: guest/start.sh says `@word ...` there, and a NIC's step
 *   waits for a line from here while the client (client.ts) talks to it over a tap of this network namespace.
 * - No KVM: emulated, everything is the same but slower, and nothing is needed of this machine.
 *
 * Called by main.ts.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const HERE = fileURLToPath(new URL('.', import.meta.url));
/** A machine that says nothing for so long is given up. */
const SILENCE_MS = 1_200_000;
const CLIENT_SECONDS = '60';

export interface Step {
  name: string;
  /** A line of the plan: guest/start.sh says what there is. */
  line: string;
  /** Whom the client out here talks to, if it does. */
  address?: string;
}

export interface Outcome {
  readonly kernel: string;
  readonly step: Step;
  /** Empty: it came to its end. */
  failed: string;
  /** Seconds from a service's start until it said that it serves. */
  readySeconds: number;
  /** What the client found. */
  client: { wrong: string[]; requests?: number; gets?: number } | undefined;
  /**
   * What the machine said of it, by its words: `driver`; `socket`, zc:1 or zc:0, of xsk_diag; `out` and `err` of the
   * service; `stat`; `kernel`, the last lines of its log; `test`, lines of a test's report.
   */
  readonly said: Map<string, string[]>;
}

export interface Machine {
  /** Of packages.sh and image.sh. */
  readonly folder: string;
  readonly kernel: string;
  /** Options of QEMU: the network devices. */
  readonly devices: readonly string[];
  readonly steps: readonly Step[];
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

async function client(address: string): Promise<string> {
  const words = ['--disable-warning=ExperimentalWarning', join(HERE, 'client.ts')];
  const run = promisify(execFile)(process.execPath, [...words, address, CLIENT_SECONDS]);
  return (await run).stdout.trim();
}

/** Boots it and takes it through its steps; `log` gets the whole console. */
export async function runMachine(
  machine: Machine,
  log: string,
  progress: (line: string) => void,
): Promise<Outcome[]> {
  const work = mkdtempSync(join(machine.folder, 'machine-'));
  const outcomes = machine.steps.map((step): Outcome => {
    const { kernel } = machine;
    const said = new Map<string, string[]>();
    return { kernel, step, failed: 'not reached', readySeconds: 0, client: undefined, said };
  });
  const qemu = start(machine, work);
  const console = createWriteStream(log);
  qemu.stderr.pipe(console, { end: false });
  let silence: NodeJS.Timeout | undefined;
  let at = -1;
  const hear = async (line: string): Promise<void> => {
    console.write(`${line}\n`);
    clearTimeout(silence);
    silence = setTimeout(() => qemu.kill('SIGKILL'), SILENCE_MS);
    const [, word = '', rest = ''] = /^@(\w+) ?(.*)$/.exec(line.trim()) ?? [];
    if (word === 'boot') progress(`${machine.kernel}: booted (${rest} s)`);
    if (word === 'step') {
      at += 1;
      progress(`${machine.kernel}: ${machine.steps[at]?.name}`);
    }
    const now = outcomes[at];
    if (!now || word === '') return;
    if (word === 'failed') now.failed = `ended (${rest})`;
    else if (word === 'end' && now.failed === 'not reached') now.failed = '';
    else if (word === 'served') {
      const [began, served] = rest.split(' ').map(Number) as [number, number];
      now.readySeconds = served - began;
    } else if (word === 'client') now.client = JSON.parse(rest);
    else now.said.set(word, [...(now.said.get(word) ?? []), rest]);
    if (word !== 'ready') return;
    const found = await client(now.step.address ?? '');
    console.write(`${found}\n`);
    now.client = JSON.parse(found);
    qemu.stdin.write('\n');
  };
  const ended = new Promise((resolve) => qemu.once('close', resolve));
  for await (const line of createInterface({ input: qemu.stdout })) await hear(line);
  await ended;
  clearTimeout(silence);
  console.end();
  if (existsSync(work)) rmSync(work, { recursive: true });
  return outcomes;
}

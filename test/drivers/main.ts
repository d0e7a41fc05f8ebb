/**
 * What test/drivers/run does once packages and image are there: machine after machine, then the tables.
 * `main.ts FOLDER RESULTS KERNELS CASES`, lists separated by commas; within a network namespace of its own.
 *
 * - A case is right when a client got every byte it stored back, at every size, and the service ran in the mode that this
 *   kernel's driver has; a mode that another kernel has is no fault here.
 * - Results: RESULTS/drivers.md (the tables), RESULTS/*.json (all that was said), RESULTS/*.log (consoles).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Outcome, runMachine, type Step } from './machine.ts';

interface Case {
  name: string;
  /** Its QEMU device, of netdev `%n` with address `%m`; absent: it needs none. */
  device?: string;
  /** Of `serve`, or the files of a test. */
  words: string;
  kind: 'nic' | 'own' | 'tests' | 'doctor';
}

/** `romfile=`: nobody boots from it. */
const VIRTIO = 'virtio-net-pci,romfile=,netdev=%n,mac=%m';
/** Zero-copy is offered only to a device behind an IOMMU, or one that says so. */
const PLATFORM = `${VIRTIO},iommu_platform=on,disable-legacy=on`;
const inline = '--domain inline';
const LIVE_TESTS = ['afxdp', 'xdp-program', 'queues', 'tap'];
const CASES: readonly Case[] = [
  { name: 'virtio', kind: 'nic', device: PLATFORM, words: inline },
  { name: 'virtio-plain', kind: 'nic', device: VIRTIO, words: inline },
  { name: 'igb', kind: 'nic', device: 'igb,romfile=,netdev=%n,mac=%m', words: inline },
  { name: 'e1000e', kind: 'nic', device: 'e1000e,romfile=,netdev=%n,mac=%m', words: inline },
  { name: 'virtio-process', kind: 'nic', device: PLATFORM, words: '' },
  { name: 'veth', kind: 'own', words: inline },
  { name: 'tap', kind: 'own', words: `${inline} --nic tap` },
  { name: 'doctor', kind: 'doctor', words: '' },
  ...LIVE_TESTS.map((name): Case => {
    return { name: `test-${name}`, kind: 'tests', words: `test/nic/${name}.live.test.ts` };
  }),
];

function makeTap(index: number): void {
  const name = `t${index}`;
  const ip = (words: string): Buffer => execFileSync('ip', words.split(' '));
  ip(`tuntap add ${name} mode tap`);
  ip(`addr add 10.88.${index}.1/24 dev ${name}`);
  ip(`link set ${name} up`);
}

/** The steps of a machine and the devices they need, one a case, since a service changes what it serves on. */
function planned(cases: readonly Case[], options: string): { steps: Step[]; devices: string[] } {
  const devices: string[] = [];
  const steps = cases.map(({ name, kind, device, words }, index): Step => {
    if (device === undefined)
      return { name, line: `${kind} ${words}${kind === 'own' ? ` ${options}` : ''}` };
    const mac = `52:54:00:00:01:${index.toString(16).padStart(2, '0')}`;
    devices.push('-netdev', `tap,id=n${index},ifname=t${index},script=no,downscript=no`);
    devices.push('-device', device.replace('%n', `n${index}`).replace('%m', mac));
    const address = `10.88.${index}.2`;
    return { name, line: `nic ${mac} ${index} ${words} ${options}`, address };
  });
  return { steps, devices };
}

function row({ kernel, step, failed, readySeconds, client, said }: Outcome): string[] {
  const tests = said.get('test') ?? [];
  const count = (what: string): number =>
    tests.reduce((sum, line) => sum + Number(new RegExp(`${what} (\\d+)`).exec(line)?.[1] ?? 0), 0);
  const isTest = step.line.startsWith('tests ');
  const driver = said.get('driver')?.[0] ?? '';
  const how = /"xdp":(\{[^}]*\})/.exec(said.get('out')?.join('') ?? '')?.[1];
  const mode = how === undefined ? '' : Object.values(JSON.parse(how)).filter(Boolean).join('; ');
  const wrong = client?.wrong ?? [];
  const isRight =
    failed === '' && wrong.length === 0 && count('fail') === 0 && (!isTest || count('pass') > 0);
  const detail = isTest
    ? `${count('pass')} pass, ${count('fail')} fail`
    : (failed && `${failed} ${said.get('err')?.[0] ?? ''}`) ||
      wrong.join('; ') ||
      (client ? `${client.requests} requests/s, ${client.gets} gets/s` : '');
  const sockets = said.get('socket')?.join(' ') ?? '';
  const seconds = readySeconds > 0 ? readySeconds.toFixed(1) : '';
  return [kernel, step.name, driver, sockets, mode, seconds, isRight ? 'right' : 'WRONG', detail];
}

const HEAD = ['kernel', 'case', 'driver', 'xsk_diag', 'serve says', 'ready s', 'result', 'detail'];

function table(outcomes: readonly Outcome[]): string {
  const rows = [HEAD, HEAD.map(() => '---'), ...outcomes.map(row)];
  return rows
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '/')).join(' | ')} |\n`)
    .join('');
}

async function main([
  folder = '',
  results = '',
  kernels = '',
  wanted = '',
  options = '',
]: string[]): Promise<void> {
  const names = wanted === '' ? CASES.map(({ name }) => name) : wanted.split(',');
  const unknown = names.filter((name) => !CASES.some((each) => each.name === name));
  if (unknown.length > 0 || folder === '') {
    console.error(
      `drivers: no case ${unknown.join(', ')}; there are: ${CASES.map((c) => c.name).join(' ')}`,
    );
    process.exit(2);
  }
  mkdirSync(results, { recursive: true });
  const cases = CASES.filter(({ name }) => names.includes(name));
  const { steps, devices } = planned(cases, options);
  cases.forEach((each, index) => {
    if (each.device !== undefined) makeTap(index);
  });
  const all: Outcome[] = [];
  for (const kernel of kernels.split(',')) {
    const began = Date.now();
    const progress = (line: string): void => {
      console.error(`drivers: ${Math.round((Date.now() - began) / 1000)} s ${line}`);
    };
    all.push(
      ...(await runMachine(
        { folder, kernel, devices, steps },
        join(results, `${kernel}.log`),
        progress,
      )),
    );
    const plain = all.map((outcome) => ({ ...outcome, said: Object.fromEntries(outcome.said) }));
    writeFileSync(join(results, 'drivers.json'), JSON.stringify(plain, null, 1));
    writeFileSync(join(results, 'drivers.md'), table(all));
  }
  console.log(table(all));
  process.exit(all.every((outcome) => row(outcome)[6] === 'right') ? 0 : 1);
}

await main(process.argv.slice(2));

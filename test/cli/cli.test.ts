/**
 * What the launcher and the command line do with wrong words: one line on standard error, exit code
 * 2.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const IX = fileURLToPath(new URL('../../bin/ix', import.meta.url));

function ix(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(IX, words, { encoding: 'utf8', timeout: 30_000 });
  return { status, stdout, stderr };
}

const WRONG: [string, string[], RegExp][] = [
  ['unknownCommand', ['fly'], /unknown command 'fly'/],
  ['unknownOption', ['serve', 'kv', '--fast'], /unknown option '--fast'/],
  [
    'explainUnknown',
    ['explain', 'tcpFlaws'],
    /there is no counter tcpFlaws; see: bin\/ix explain all/,
  ],
  ['appMissing', ['serve'], /missing required argument 'app'/],
  ['unknownApp', ['serve', 'nothing'], /there is no application nothing; use kv, echo/],
  ['appFileMissing', ['run', 'nowhere/app.ts'], /there is no file .*nowhere\/app\.ts/],
  [
    'settingWithoutValue',
    ['serve', 'echo', 'port'],
    /'port' is not a setting; write it like name=value/,
  ],
  ['ipNotAnAddress', ['serve', 'echo', '--ip', '10.77.0'], /'10\.77\.0' is not an IPv4 address/],
  ['ip6NotAnAddress', ['serve', 'echo', '--ip6', 'fd77'], /'fd77' is not an IPv6 address/],
  ['ip6OfNetwork', ['serve', 'echo', '--ip6', 'fd77::/64'], /cannot be the address of a host/],
  ['slaacShared', ['serve', 'echo', '--nic', 'lo', '--slaac'], /needs IPv6 on a link of our own/],
  ['ipOfNetwork', ['serve', 'echo', '--ip', '10.77.0.0/24'], /cannot be the address of a host/],
  ['nicName', ['serve', 'echo', '--nic', 'a/b'], /--nic takes veth, tap, cable or the name/],
  [
    'domainUnknown',
    ['serve', 'echo', '--domain', 'ring0'],
    /--domain takes inline, process, not 'ring0'/,
  ],
  [
    'domainProcessOnCable',
    ['serve', 'echo', '--nic', 'cable', '--domain', 'process'],
    /--domain process cannot be with --nic cable, .*; use --domain inline, or --nic veth or tap/,
  ],
  [
    'jsonOnCable',
    ['serve', 'echo', '--nic', 'cable', '--json'],
    /--json cannot be with --nic cable, .*; leave it out, or use --nic veth or tap/,
  ],
  [
    'ip6OnCable',
    ['serve', 'echo', '--nic', 'cable', '--ip6', 'fd77::2/64'],
    /--ip6 cannot be with --nic cable/,
  ],
  [
    'hangTimeoutOnCable',
    ['serve', 'echo', '--nic', 'cable', '--hang-timeout', '1'],
    /--hang-timeout cannot be with --nic cable/,
  ],
  [
    'settingOutOfRangeOnCable',
    ['serve', 'kv', 'm=100000', '--nic', 'cable'],
    /kv: m \(MiB\) must be a whole number from 1 to \d+, not 100000$/m,
  ],
  [
    'captureNowhereOnCable',
    ['serve', 'echo', '--nic', 'cable', '--capture', '/nowhere/file.pcap'],
    /--capture \/nowhere\/file.pcap: ENOENT/,
  ],
  [
    'placementUnknown',
    ['serve', 'echo', '--placement', 'near'],
    /--placement takes same-core, split, not 'near'/,
  ],
  [
    'placementSplitInline',
    ['serve', 'echo', '--placement', 'split', '--domain', 'inline'],
    /--placement split needs an application process; leave out --domain inline/,
  ],
  [
    'placementSplitCable',
    ['serve', 'echo', '--placement', 'split', '--nic', 'cable'],
    /--placement split needs an application process; leave out --nic cable/,
  ],
  [
    'appCpuSameCore',
    ['serve', 'echo', '--cpu', '0', '--app-cpu', '1'],
    /--app-cpu is for placement split; add --placement split/,
  ],
  ['threadsZero', ['serve', 'echo', '--threads', '0'], /--threads takes a whole number/],
  ['threadsText', ['serve', 'echo', '--threads', '1.5'], /--threads takes a whole number/],
  [
    'threadsCable',
    ['serve', 'echo', '--threads', '2', '--nic', 'cable'],
    /--nic cable is a demonstration in one thread; use --threads 1/,
  ],
  [
    'threadsSplit',
    ['serve', 'echo', '--threads', '2', '--placement', 'split'],
    /--placement split is for one thread; use --threads 1/,
  ],
  [
    'threadsBeyondCores',
    ['serve', 'echo', '--threads', '64', '--cpu', '0'],
    /64 threads from core 0 on need 64 cores, here are \d+; take fewer, or leave out --cpu/,
  ],
  [
    'threadsKv',
    ['serve', 'kv', '--threads', '2'],
    /kv keeps its values in one thread.*; use --threads 1, or an address for each kv/,
  ],
  [
    'congestionUnknown',
    ['serve', 'echo', '--congestion', 'vegas'],
    /--congestion takes cubic, newReno, dctcp, not 'vegas'/,
  ],
  [
    'ecnUnknown',
    ['serve', 'echo', '--ecn', 'perhaps'],
    /--ecn takes off, accept, ask, not 'perhaps'/,
  ],
  ['keepaliveNegative', ['serve', 'echo', '--keepalive', '-1'], /--keepalive takes .*, not '-1'/],
  [
    'idleUnknown',
    ['serve', 'echo', '--idle', 'nap'],
    /--idle takes spin, adaptive, sleep, not 'nap'/,
  ],
  ['cpuAbsent', ['serve', 'echo', '--cpu', '1000'], /there is no core 1000; --cpu takes 0 to/],
  ['memoryTooMuch', ['serve', 'echo', '-m', '100000'], /-m takes a whole number from 1 to/],
  ['portTooHigh', ['serve', 'echo', '-p', '65536'], /-p takes a whole number from 1 to 65535/],
  [
    'quotaUnknown',
    ['serve', 'echo', '--quota', 'cores=1'],
    /'cores=1' is not a quota; it takes flows/,
  ],
  [
    'quotaTooLow',
    ['serve', 'echo', '--quota', 'calls=1'],
    /'calls=1' is not a quota; .* calls \(4 or/,
  ],
  ['quotaText', ['serve', 'echo', '--quota', 'flows=1,timers=x'], /'timers=x' is not a quota/],
  ['hangTimeout', ['serve', 'echo', '--hang-timeout', 'soon'], /--hang-timeout takes seconds/],
  [
    'onCrashUnknown',
    ['serve', 'echo', '--on-crash', 'bang'],
    /--on-crash takes rst, fin, not 'bang'/,
  ],
  [
    'onCrashFinInline',
    ['serve', 'echo', '--on-crash', 'fin', '--domain', 'inline'],
    /--on-crash fin needs an application process; leave out --domain inline/,
  ],
  [
    'settingUnknown',
    ['serve', 'kv', 'prot=5000'],
    /kv has no setting 'prot'; it takes m, port, p, idle_timeout$/m,
  ],
  ['optionOfACommand', ['serve', 'kv', '--nonsense'], /'--nonsense'; see: bin\/ix serve --help$/m],
  ['optionOfNone', ['--nonsense'], /'--nonsense'; see: bin\/ix --help$/m],
  ['simSeedText', ['sim', '--seed', 'abc'], /--seed takes a whole number, not 'abc'; see: bin/],
  ['simSeedsNone', ['sim', '--seeds', '0'], /--seeds takes a whole number from 1, not '0'/],
  ['simOption', ['sim', '--sede', '1'], /'--sede'; see: bin\/ix sim --help$/m],
  ['simPcapOfMany', ['sim', '--seeds', '2', '--pcap', '/tmp/x'], /--pcap is for one seed/],
  ['benchUnknown', ['bench', 'nothing'], /there is no benchmark nothing/],
  ['statAddress', ['stat', '--ip', 'x'], /'x' is not an IPv4 address/],
  ['statTwoFormats', ['stat', '--prometheus', '--json'], /--prometheus prints once/],
];

for (const [name, words, message] of WRONG) {
  test(`cli_${name}_oneLineAndExit2`, () => {
    const { status, stdout, stderr } = ix(...words);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    assert.match(stderr, /^ix: /);
    assert.match(stderr, message);
    assert.equal(stdout, '');
    assert.equal(status, 2);
  });
}

test('cli_version_namesCommitAndNode', () => {
  const { status, stdout, stderr } = ix('--version');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^ix \d+\.\d+\.\d+ \(([0-9a-f]{12}(-dirty)?, )?Node v26\.[0-9.]+\)\n$/);
});

test('cli_help_exit0OnStandardOutput', () => {
  const { status, stdout, stderr } = ix('--help');
  assert.equal(status, 0);
  assert.equal(stderr, '');
  for (const command of ['serve', 'run', 'stat', 'doctor', 'bench', 'setup', 'test']) {
    assert.match(stdout, new RegExp(`^  ${command}\\b`, 'm'));
  }
});

test('bench_help_listsEveryBenchmarkAndEachHasItsOwn', () => {
  const names = readdirSync(new URL('../../bench', import.meta.url))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -3));
  assert.ok(names.length >= 8);
  for (const name of ['', ...names]) {
    const { status, stdout, stderr } = ix('bench', ...(name === '' ? [] : [name]), '--help');
    assert.deepEqual([status, stderr], [0, ''], name);
    assert.match(
      stdout,
      new RegExp(`^Usage: ix bench ${name || '<name>'} \\[options\\]( \\[ref\\])?\n`),
    );
    if (name === '')
      assert.deepEqual(
        [...stdout.matchAll(/^ {2}(\S+)$/gm)].map(([, n]) => n),
        names,
      );
  }
});

test('cli_noCommand_listOfThemAndExit2', () => {
  const { status, stdout, stderr } = ix();
  assert.equal(status, 2);
  assert.match(stderr, /^Usage: ix/);
  assert.equal(stdout, '');
});

test('doctor_json_everyCheckHasAFindingAndARemedyIfNotOk', () => {
  const { status, stdout } = ix('doctor', '--json');
  const { ok, checks } = JSON.parse(stdout);
  assert.equal(status, ok ? 0 : 1);
  assert.ok(checks.length >= 12);
  for (const check of checks) {
    assert.equal(typeof check.name, 'string');
    assert.equal(typeof check.needed, 'boolean');
    assert.ok(check.found.length > 0, check.name);
    assert.equal(check.ok, check.remedy === undefined, check.name);
  }
  const missing = checks.some(
    (check: { ok: boolean; needed: boolean }) => check.needed && !check.ok,
  );
  assert.equal(ok, !missing);
});

test('doctor_noToolsOnPath_namesTheCommandThatFixesIt', () => {
  const main = fileURLToPath(new URL('../../src/cli/cli.ts', import.meta.url));
  const { stdout } = spawnSync(process.execPath, [main, 'doctor'], {
    encoding: 'utf8',
    env: { PATH: '/nowhere' },
  });
  assert.match(stdout, /^could be {2}nc: not found -> apt-get install netcat-openbsd$/m);
  assert.match(stdout, /^could be {2}C compiler: none -> apt-get install gcc libc6-dev/m);
});

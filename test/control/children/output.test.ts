/**
 * What a child prints, and what it cannot do by that: a control plane in a process of its own, on a
 * terminal or before a reader who does not read, with a small program in the dataplane's place.
 * What it finds it writes into a file.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { outputsAgain } from '../../../src/control/children/output.ts';
import { identityOf } from '../../../src/control/record/descriptors.ts';
import { processName } from '../../../src/native/process.ts';
import { must, SYS, sys } from '../../../src/native/sys.ts';

const WAIT_MS = 20_000;
const href = (path: string): string => new URL(`../../../src/${path}`, import.meta.url).href;
const FACTS = {
  statisticsFd: 0,
  nics: [{ kind: 'tap', ifname: 'ix0', fd: 0, mac: [2, 0, 0, 0, 0, 1], mtu: 1500 }],
  ...{ address: 0x0a4d0002, prefixLength: 24, gateway: 0, idle: 'adaptive', trace: false },
  ...{ app: { name: 'echo', module: '/echo.ts', options: {} }, limits: {} },
};

let directory = '';
const children: ChildProcess[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ix-output-'));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  // What they started has a session of its own, and may outlive them.
  const pid = Number(said('pid'));
  if (pid > 0 && !existsSync(file('end'))) process.kill(pid, 'SIGKILL');
  rmSync(directory, { recursive: true });
});

const file = (name: string): string => join(directory, name);

async function until<T>(what: string, find: () => T | undefined | false): Promise<T> {
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await sleep(20)) {
    const found = find();
    if (found) return found;
  }
  return assert.fail(what);
}

const said = (name: string) => (existsSync(file(name)) ? readFileSync(file(name), 'utf8') : '');

/** A control plane whose dataplane is `body`; `note` there, and `pid`, go into files. */
function start(body: string, stdio: ('ignore' | 'pipe' | number)[]): ChildProcess {
  const imports = `import { appendFileSync, readlinkSync, readSync, writeSync } from 'node:fs';
    import { liveOn, readConfig } from '${href('child/channel.ts')}';
    const note = (name, text) => appendFileSync('${directory}/' + name, text);`;
  writeFileSync(
    file('main.mts'),
    `${imports}\nreadConfig();\n${body}\nsetInterval(() => {}, 1000);`,
  );
  const control = `import { launch } from '${href('control/children/launch.ts')}';
    import { appendFileSync, openSync, writeFileSync } from 'node:fs';
    const fd = openSync('/dev/null', 'r+');
    const facts = ${JSON.stringify(FACTS)};
    facts.statisticsFd = facts.nics[0].fd = fd;
    const dataplane = launch(facts, '${file('main.mts')}');
    setInterval(() => appendFileSync('${file('beats')}', '.'), 20);
    writeFileSync('${file('pid')}', String(dataplane.pid));
    dataplane.ended.then((end) => writeFileSync('${file('end')}', JSON.stringify(end)));`;
  writeFileSync(file('control.mts'), control);
  const flags = ['--disable-warning=ExperimentalWarning'];
  const child = spawn(process.execPath, [...flags, file('control.mts')], { stdio, detached: true });
  children.push(child);
  return child;
}

/** A terminal: its master, and its end for a program. */
function terminal(): { master: number; slave: number } {
  const { O_NOCTTY, O_NONBLOCK, O_RDWR } = constants;
  const master = openSync('/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK);
  const number = new Int32Array(1);
  must(sys.syscall(SYS.ioctl, master, 0x40045431, Int32Array.of(0)), 'TIOCSPTLCK');
  must(sys.syscall(SYS.ioctl, master, 0x80045430, number), 'TIOCGPTN');
  return { master, slave: openSync(`/dev/pts/${number[0]}`, O_RDWR | O_NOCTTY) };
}

function readAll(fd: number): string {
  const bytes = Buffer.alloc(65_536);
  try {
    return bytes.toString('latin1', 0, readSync(fd, bytes));
  } catch {
    return ''; // nothing there yet
  }
}

const noTerminal = !existsSync('/dev/ptmx') && 'there are no terminals here (/dev/ptmx)';

describe('output', { timeout: 120_000 }, () => {
  test('child_onATerminal_readsNothingThatIsTypedThere', { skip: noTerminal }, async () => {
    const { master, slave } = terminal();
    const body = `note('fds', [0, 1, 2].map((fd) => readlinkSync('/proc/self/fd/' + fd)).join(' '));
      const got = [0, 1, 2].map((fd) => {
        try { return String(readSync(fd, Buffer.alloc(64))); } catch (error) { return error.code; }
      });
      note('reads', got.join(' ') + '.');`;
    start(body, [slave, slave, slave]);
    writeSync(master, 'secret\n');
    await until('it has tried', () => said('reads').endsWith('.'));
    assert.equal(said('reads'), '0 EBADF EBADF.');
    assert.match(said('fds'), /^\/dev\/null pipe:\[\d+\] pipe:\[\d+\]$/);
    for (const fd of [master, slave]) closeSync(fd);
  });

  test('child_printsEscapesToATerminal_areShownAsText', { skip: noTerminal }, async () => {
    const { master, slave } = terminal();
    const body = `process.stdout.write('gr\\u00fcn \\u001b]0;mine\\u0007\\n');`;
    start(body, ['ignore', slave, slave]);
    let text = '';
    await until('it is printed', () => {
      text += readAll(master);
      return text.includes('mine') && text.includes('\n');
    });
    assert.equal(Buffer.from(text, 'latin1').toString(), 'grün \\x1b]0;mine\\x07\r\n');
    for (const fd of [master, slave]) closeSync(fd);
  });

  test('child_printsAndEnds_everythingIsPassedOn', async () => {
    const lines = 2000;
    const body = `console.error('\\u001b[1mas it is');
      for (let i = 0; i < ${lines}; i++) console.log('line', i);
      process.exit(7);`;
    const child = start(body, ['ignore', 'pipe', 'pipe']);
    let [out, errors] = ['', ''];
    child.stdout!.on('data', (piece) => {
      out += piece;
    });
    child.stderr!.on('data', (piece) => {
      errors += piece;
    });
    await until('it has ended', () => said('end'));
    assert.deepEqual(JSON.parse(said('end')), { how: 'exit code 7' });
    await until('all has come', () => out.endsWith(`line ${lines - 1}\n`));
    assert.equal(out.split('\n').length, lines + 1);
    assert.equal(errors, '\x1b[1mas it is\n', 'no terminal: bytes as they are');
  });

  test('child_floodsAReaderWhoDoesNotRead_controlPlaneGoesOn', async () => {
    // By the call itself: console.log would keep what does not go out.
    const body = `note('started', 'x'); for (;;) writeSync(1, 'x'.repeat(1000));`;
    const child = start(body, ['ignore', 'pipe', 'pipe']);
    child.stdout!.pause();
    await until('it prints', () => said('started'));
    await sleep(500);
    const before = said('beats').length;
    await until('the control plane goes on', () => said('beats').length > before + 10);
  });

  test('orphan_printsMoreThanAPipeHolds_neitherEndsNorWaits', async () => {
    const body = `liveOn();
      setInterval(() => {
        console.log('x'.repeat(20_000));
        console.error('y'.repeat(20_000));
        note('alive', '.');
      }, 5);`;
    const child = start(body, ['ignore', 'pipe', 'pipe']);
    const pid = Number(await until('it is there', () => said('pid')));
    child.stdout!.resume();
    child.stderr!.resume();
    await until('it prints', () => said('alive'));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const before = said('alive').length;
    await until('it goes on', () => said('alive').length > before + 20);
    assert.ok(processName(pid));
  });

  test('outputsAgain_samePipe_isHeardAndAnotherIsNot', async () => {
    const ends = new Int32Array(2);
    must(sys.syscall(callNumber('pipe2'), ends, 0o2000000), 'pipe2');
    const [read, write] = [ends[0]!, ends[1]!];
    const script = "trap '' PIPE; while :; do echo again; sleep 0.1; done";
    const stdio = ['ignore', write, 'ignore'] as const;
    const child = spawn('sh', ['-c', script], { stdio: [...stdio], detached: true });
    children.push(child);
    const what = identityOf(read);
    // The first to read has gone: what is printed meanwhile is lost.
    for (const fd of [read, write]) closeSync(fd);
    await sleep(200);
    assert.deepEqual(outputsAgain(child.pid!, [`${what}0`, what]), [], 'neither is what it was');
    const found = outputsAgain(child.pid!, [what, 'pipe']);
    assert.deepEqual(
      found.map((each) => each.what),
      [what],
    );
    process.kill(-child.pid!, 'SIGKILL');
    for (const output of found) output.drain();
  });

  test('child_endsInTheMiddleOfACharacter_itsBeginningIsShown', { skip: noTerminal }, async () => {
    const { master, slave } = terminal();
    start(`writeSync(1, Buffer.from([0x61, 0xe2, 0x82])); process.exit(0);`, [
      'ignore',
      slave,
      slave,
    ]);
    let text = '';
    await until('it has ended', () => {
      text += readAll(master);
      return said('end');
    });
    text += readAll(master);
    assert.equal(Buffer.from(text, 'latin1').toString(), 'a\ufffd');
    for (const fd of [master, slave]) closeSync(fd);
  });

  test('outputsAgain_terminalInPlaceOfThePipe_isNotEvenOpened', { skip: noTerminal }, async () => {
    const { master, slave } = terminal();
    const child = spawn('sleep', ['60'], { stdio: ['ignore', slave, slave], detached: true });
    children.push(child);
    // The leader of a session without a terminal: whichever it opens becomes its own.
    const source = `import { readFileSync } from 'node:fs';
      const { outputsAgain } = await import('${href('control/children/output.ts')}');
      const found = outputsAgain(${child.pid}, ['another', ${JSON.stringify(identityOf(slave))}]);
      const terminal = readFileSync('/proc/self/stat', 'latin1').split(') ')[1].split(' ')[4];
      console.log(found.length, terminal);
      process.exit(0);`;
    const leader = spawn(process.execPath, ['--input-type=module', '-e', source], {
      ...{ stdio: ['ignore', 'pipe', 'inherit'], detached: true },
    });
    children.push(leader);
    const [found] = await once(leader.stdout!, 'data');
    assert.equal(`${found}`, '0 0\n');
    for (const fd of [master, slave]) closeSync(fd);
  });
});

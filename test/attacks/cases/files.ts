/**
 * What an application may leave in the one directory that it was given, and what it may learn or
 * hold up by files that others use, too: modes that make whoever runs a file somebody else,
 * watches, locks, descriptors of the control plane.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  fchmodSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { type CallName, callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { CALL, CODE, EVENT } from '../../../src/gate/abi.ts';
import { sys } from '../../../src/native/sys.ts';
import { ANY, type Case, distinct, type Given, type Observed } from '../case.ts';

const EPERM = -1;
const EBADF = -9;
const ENOTTY = -25;
const AT_FDCWD = -100;
const O_CREAT_WRONLY = 0o101;
const O_TMPFILE_RDWR = 0o20200002;
const S_IFREG = 0o100000;
/** Each bit alone, all of them, and one above what the kernel looks at. */
const MODES = [0o4755, 0o2755, 0o1777, 0o7777, 0o6010, 0x10000 | 0o4711];
const SET_ID = 0o7000;
const ROOT = new URL('../../..', import.meta.url).pathname;
/** Somebody comes to it when `stat` has answered; longer than one that does not wait ever takes. */
const ANSWERED_PORT = 980;
const LOCKED_MS = 9000;
const STAT_MS = 8000;

type Argument = number | Uint8Array;
const call = (name: CallName, ...args: Argument[]): number =>
  sys.syscall(callNumber(name), ...args);
const text = (value: string): Uint8Array => Buffer.from(`${value}\0`);
const there = (name: CallName): boolean => callNumber(name) >= 0;

/** What a call answers for each mode, and the modes of all that is in the directory then. */
function tried({ allowed }: Given, make: (path: Uint8Array, mode: number, fd: number) => number) {
  const directory = mkdtempSync(join(allowed, 'modes-'));
  const file = join(directory, 'file');
  writeFileSync(file, '#!/bin/sh\n', { mode: 0o755 });
  const fd = openSync(file, 'r+');
  const answers = MODES.map((mode, i) => {
    const path = join(directory, `new${i}`);
    const result = make(text(path), mode, fd);
    if (result > 2) closeSync(result);
    return Math.min(result, 0);
  });
  answers.push(...MODES.map((mode) => Math.min(make(text(file), mode, fd), 0)));
  closeSync(fd);
  const bits = readdirSync(directory).map((name) => statSync(join(directory, name)).mode & SET_ID);
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) rmdirSync(path);
    else unlinkSync(path);
  }
  rmdirSync(directory);
  return [distinct(answers), distinct(bits)];
}

const setId = (
  name: CallName,
  how: string,
  make: (path: Uint8Array, mode: number, fd: number) => number,
): Case => ({
  name: `setIdBits_by${how}_areRefused`,
  run: (_gate, given) => (there(name) ? tried(given, make) : [[EPERM], [0]]),
  expects: [[EPERM], [0]],
});

const attribute = (flags: number, mode: number): Uint8Array =>
  new Uint8Array(BigUint64Array.of(BigInt(flags), BigInt(mode), 0n).buffer); // struct open_how

const modes: Case[] = [
  setId('chmod', 'Chmod', (path, mode) => call('chmod', path, mode)),
  setId('fchmod', 'FchmodOfItsOwnFile', (_path, mode, fd) => call('fchmod', fd, mode)),
  setId('fchmodat', 'Fchmodat', (path, mode) => call('fchmodat', AT_FDCWD, path, mode, 0)),
  setId('creat', 'Creat', (path, mode) => call('creat', path, mode)),
  setId('open', 'Open', (path, mode) => call('open', path, O_CREAT_WRONLY, mode)),
  setId('openat', 'Openat', (path, mode) => call('openat', AT_FDCWD, path, O_CREAT_WRONLY, mode)),
  setId('openat2', 'Openat2', (path, mode) =>
    call('openat2', AT_FDCWD, path, attribute(O_CREAT_WRONLY, mode & 0o7777), 24),
  ),
  setId('mkdir', 'Mkdir', (path, mode) => call('mkdir', path, mode)),
  setId('mkdirat', 'Mkdirat', (path, mode) => call('mkdirat', AT_FDCWD, path, mode)),
  setId('mknod', 'Mknod', (path, mode) => call('mknod', path, S_IFREG | mode, 0)),
  setId('mknodat', 'Mknodat', (path, mode) => call('mknodat', AT_FDCWD, path, S_IFREG | mode, 0)),
  {
    name: 'setIdBits_ofAFileWithoutAName_areRefused',
    run: (_gate, { allowed }) =>
      distinct(MODES.map((mode) => call('openat', AT_FDCWD, text(allowed), O_TMPFILE_RDWR, mode))),
    expects: [EPERM],
  },
  {
    name: 'setIdBits_byFchmodat2_callIsNotThere',
    run: (_gate, { allowed }) =>
      distinct(MODES.map((mode) => call('fchmodat2', AT_FDCWD, text(allowed), mode, 0))),
    expects: [-38],
  },
  {
    name: 'setIdBits_ofWhatItInherited_areRefused',
    // Not of 0: /dev/null is the machine's, should one of them succeed.
    run: () => distinct(MODES.flatMap((mode) => [1, 2, 3].map((fd) => call('fchmod', fd, mode)))),
    expects: [EPERM],
  },
  {
    name: 'setIdBits_throughItsOwnDescriptorsInProc_areRefused',
    run: () =>
      distinct(
        MODES.flatMap((mode) =>
          [1, 2].map((fd) => call('fchmodat', AT_FDCWD, text(`/proc/self/fd/${fd}`), mode, 0)),
        ),
      ),
    expects: [EPERM],
  },
  {
    name: 'setGroupId_ofTheGroupOfAllApplications_isRefused',
    run: (_gate, { allowed }) => {
      const file = join(allowed, 'shared');
      writeFileSync(file, '', { mode: 0o770 });
      const answer = [call('chmod', text(file), 0o2770), statSync(file).mode & SET_ID];
      unlinkSync(file);
      return answer;
    },
    expects: [EPERM, 0],
  },
  {
    name: 'setIdBits_keptByARename_wereNeverThere',
    run: (_gate, { allowed }) => {
      const from = join(allowed, 'from');
      const fd = openSync(from, 'w', 0o777);
      fchmodSync(fd, 0o777); // what is harmless goes on
      const answer = [
        call('rename', text(from), text(join(allowed, 'to'))),
        call('fchmod', fd, 0o4777),
      ];
      closeSync(fd);
      const mode = statSync(join(allowed, 'to')).mode & 0o7777;
      unlinkSync(join(allowed, 'to'));
      return [...answer, mode];
    },
    expects: [0, EPERM, 0o777],
  },
  {
    name: 'setIdBits_byMakingAnOwnUserOfAnotherFile_isRefused',
    run: (_gate, { allowed }) => {
      const file = join(allowed, 'mine');
      writeFileSync(file, '');
      // Whoever may call it may at least say who it is already.
      const mine = [process.getuid!(), process.getgid!()] as const;
      const users = [[0, 0], [64321, 64321], [4242, 4242], mine] as const;
      const names = users.map(([uid, gid]) => sys.syscall(chown, text(file), uid, gid));
      unlinkSync(file);
      return distinct(names);
    },
    expects: [EPERM],
  },
];

/** fchownat's elder; the lists name none of them. */
const chown = process.arch === 'arm64' ? 55 : 92;

/** `bin/ix stat`, while somebody locks what he sees. */
async function statAnswers(address: string): Promise<void> {
  await sleepFor(300);
  const command = spawn(`${ROOT}bin/ix`, ['stat', '--json'], { stdio: 'ignore' });
  const timer = setTimeout(() => command.kill(), STAT_MS);
  const [code, signal] = await once(command, 'exit');
  clearTimeout(timer);
  const told = connect(ANSWERED_PORT, address).on('error', () => {}); // it is reset
  await new Promise((resolve) => told.once('close', resolve));
  assert.deepEqual([code, signal], [0, null], 'stat does not wait');
}

const sight: Case[] = [
  {
    name: 'watches_ofFilesOfOthers_areRefused',
    run: () => {
      const made = [
        'inotify_init1',
        'inotify_add_watch',
        'fanotify_init',
        'fanotify_mark',
      ] as const;
      const notify = call('fcntl', openSync('/usr/lib', 'r'), 1026, 0x20); // F_NOTIFY, DN_ACCESS
      return distinct([...made.map((name) => call(name, 0, 0, 0, 0, 0)), notify]);
    },
    expects: [EPERM],
  },
  {
    name: 'locks_onWhatItSees_holdNobodyUp',
    run: (gate) => {
      const files = [
        ...['build', 'build/sys.node', 'build/setup.lock', 'build/setting-up', 'package.json'],
        ...['package-lock.json', 'bin', 'bin/ix', 'src/cli/cli.ts'],
      ];
      // Taken they may be: nobody else asks for them.
      const taken = files.flatMap((path) => {
        try {
          return [openSync(ROOT + path, 'r')];
        } catch {
          return [];
        }
      });
      const locked = taken.filter((fd) => call('flock', fd, 2 | 4) === 0); // LOCK_EX, LOCK_NB
      gate.call(CALL.listen, 98, ...ANY, ANSWERED_PORT, 4, 0);
      const knock = gate.until(EVENT.knock, 0, LOCKED_MS);
      if (knock) gate.call(CALL.reject, knock.handle);
      const made = call('openat', AT_FDCWD, text(`${ROOT}build/setting-up`), O_CREAT_WRONLY, 0o600);
      for (const fd of taken) closeSync(fd);
      return [locked.length > 3, made < 0];
    },
    meanwhile: statAnswers,
    expects: [true, true],
  },
  {
    name: 'inputOfTheControlPlane_read_isNotThere',
    run: () => {
      const bytes = new Uint8Array(64);
      const flags = [1, 2].map((fd) => call('fcntl', fd, 3, 0) & 3); // F_GETFL: O_WRONLY is 1
      return [[1, 2].map((fd) => call('read', fd, bytes, 64)), call('read', 0, bytes, 64), flags];
    },
    expects: [[EBADF, EBADF], 0, [1, 1]],
  },
  {
    name: 'terminalOfTheControlPlane_asked_isNone',
    run: () => {
      const bytes = new Uint8Array(64);
      const asked = [0, 1, 2].map((fd) => call('ioctl', fd, 0x5401, bytes)); // TCGETS
      return [
        distinct(asked),
        readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ')[4],
      ];
    },
    expects: [[ENOTTY], '0'],
  },
  {
    name: 'outputOfTheControlPlane_cutOrMovedIn_isAPipe',
    run: () =>
      [1, 2].map((fd) => [
        call('ftruncate', fd, 0) < 0,
        call('lseek', fd, 0, 0),
        call('fallocate', fd, 3, 0, 4096) < 0,
        call('pwrite64', fd, new Uint8Array(1), 1, 0),
      ]),
    expects: [
      [true, -29, true, -29],
      [true, -29, true, -29],
    ],
  },
  {
    name: 'outputOfTheControlPlane_madeNotToWait_isItsOwnEndOnly',
    // F_GETFL, F_SETFL, O_NONBLOCK; so it stays.
    run: (gate) => [
      ...[1, 2].map((fd) => call('fcntl', fd, 4, call('fcntl', fd, 3, 0) ^ 0o4000)),
      gate.call(0),
    ],
    expects: [0, 0, CODE.BAD_CALL],
    check: (_: never, { control }: Observed) => assert.deepEqual(control.after, control.before),
  },
  {
    name: 'directory_madeInGivenOne_isOrdinary',
    run: (_gate, { allowed }) => {
      const path = join(allowed, 'ordinary');
      mkdirSync(path, { mode: 0o775 });
      const mode = statSync(path).mode & 0o7777;
      rmdirSync(path);
      return mode;
    },
    expects: 0o775,
  },
];

const ends: Case[] = [
  {
    name: 'core_dumped_isNeitherFileNorGivenAway',
    run: () => {
      const limits = readFileSync('/proc/self/limits', 'latin1');
      const core = /^Max core file size +(\d+) +(\d+)/m.exec(limits)?.slice(1);
      return [core, call('prctl', 3), call('prctl', 4, 1), statSync('/proc/self/maps').uid];
    },
    check: ([core, dumpable, again, owner]: [string[], number, number, number]) => {
      assert.deepEqual([core, dumpable, again], [['1', '1'], 0, EPERM]);
      assert.equal(owner, 0);
    },
  },
];

export const cases: Case[] = [...modes, ...sight, ...ends];

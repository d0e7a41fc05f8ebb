/**
 * The filters of seccomp, run by an interpreter of classic BPF: what each profile lets through, on
 * both machines.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { OTHERWISE, type Profile, rulesFor, START } from '../../src/confine/list.ts';
import {
  ownUser,
  packageOf,
  planConfinement,
  realPaths,
  refuseOwn,
} from '../../src/confine/plan.ts';
import { assembleFilter } from '../../src/confine/seccomp.ts';
import { CALL_NAMES, type CallName, callNumber } from '../../src/confine/seccomp-numbers.ts';

const ARCHITECTURES = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
type Architecture = keyof typeof ARCHITECTURES;
const KILL = 0x80000000;
const ALLOW = 0x7fff0000;
const errno = (number: number): number => 0x50000 | number;
const EPERM = errno(1);
const ENOSYS = errno(38);
const PID = 7;

/**
 * include/uapi/linux/filter.h, the five instructions that we use. `untouched`: a program that loads
 * an argument fails, as in kernel/seccomp.c `seccomp_is_const_allow`.
 */
function run(
  program: Uint8Array,
  nr: number,
  arch: number,
  args: bigint[] | 'untouched' = [],
): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr, true);
  data.setUint32(4, arch, true);
  for (const [i, value] of (args === 'untouched' ? [] : args).entries()) {
    data.setBigUint64(16 + 8 * i, BigInt.asUintN(64, value), true);
  }
  const code = new DataView(program.buffer);
  let accumulator = 0;
  for (let at = 0; at < program.length; ) {
    const [opcode, value] = [code.getUint16(at, true), code.getUint32(at + 4, true)];
    const [yes, no] = [code.getUint8(at + 2), code.getUint8(at + 3)];
    at += 8;
    if (opcode === 0x20 && args === 'untouched') assert.ok(value < 8, 'it looks at arguments');
    if (opcode === 0x20) accumulator = data.getUint32(value, true);
    else if (opcode === 0x15) at += 8 * (accumulator === value ? yes : no);
    else if (opcode === 0x45) at += 8 * ((accumulator & value) !== 0 ? yes : no);
    else if (opcode === 0x06) return value;
    else assert.fail(`opcode ${opcode}`);
  }
  return assert.fail('ran past the end');
}

function answer(
  profile: Profile,
  call: CallName,
  args: (number | bigint)[] = [],
  on: Architecture = 'x64',
): number {
  const program = assembleFilter(rulesFor(profile, PID), OTHERWISE, on);
  return run(program, callNumber(call, on), ARCHITECTURES[on], args.map(BigInt));
}

/** What nobody gets, in any profile. */
const NEVER: CallName[] = [
  ...(['socket', 'socketpair', 'bind', 'connect', 'listen', 'accept', 'accept4'] as const),
  ...([
    'sendto',
    'sendmsg',
    'sendmmsg',
    'recvfrom',
    'recvmsg',
    'setsockopt',
    'execve',
    'execveat',
  ] as const),
  ...(['ptrace', 'process_vm_readv', 'process_vm_writev', 'process_madvise', 'kcmp'] as const),
  ...(['pidfd_open', 'pidfd_getfd', 'pidfd_send_signal', 'tkill', 'rt_sigqueueinfo'] as const),
  ...(['bpf', 'perf_event_open', 'userfaultfd', 'keyctl', 'add_key', 'request_key'] as const),
  ...(['mount', 'umount2', 'pivot_root', 'chroot', 'fsopen', 'move_mount', 'open_tree'] as const),
  ...(['mount_setattr', 'unshare', 'setns', 'setgroups', 'setresuid', 'setuid', 'capset'] as const),
  ...(['seccomp', 'landlock_restrict_self', 'personality', 'memfd_create', 'mlock'] as const),
  ...(['mlock2', 'mlockall', 'shmget', 'msgget', 'semget', 'open_by_handle_at'] as const),
  ...(['init_module', 'kexec_load', 'reboot', 'swapon', 'acct', 'quotactl', 'syslog'] as const),
  ...(['sched_setscheduler', 'sched_setattr', 'setpriority', 'mincore', 'openat2'] as const),
  ...([
    'timerfd_create',
    'signalfd4',
    'inotify_init1',
    'fanotify_init',
    'mknodat',
    'close_range',
    'arch_prctl',
    'remap_file_pages',
  ] as const),
];

describe('filter', () => {
  for (const profile of ['dataplane', 'application', 'inline'] as const) {
    test(`${profile}_callsNobodyGets_eperm`, () => {
      for (const on of ['x64', 'arm64'] as const) {
        for (const call of NEVER.filter((name) => callNumber(name, on) >= 0)) {
          assert.equal(answer(profile, call, [], on), EPERM, `${call} on ${on}`);
        }
      }
    });

    test(`${profile}_foreignArchitecture_kills`, () => {
      const program = assembleFilter(rulesFor(profile, PID), OTHERWISE, 'x64');
      const I386 = 0x40000003;
      assert.equal(run(program, callNumber('read', 'x64'), I386), KILL);
      assert.equal(run(program, callNumber('read', 'x64') | 0x40000000, ARCHITECTURES.x64), KILL);
      assert.equal(run(program, callNumber('read', 'x64'), ARCHITECTURES.arm64), KILL);
    });

    test(`${profile}_signals_itselfOnly`, () => {
      assert.equal(answer(profile, 'kill', [PID, 6]), ALLOW);
      for (const other of [1, PID + 1, 0, -1, -PID]) {
        assert.equal(answer(profile, 'kill', [other, 9]), EPERM);
        assert.equal(answer(profile, 'tgkill', [other, 5, 9]), EPERM);
      }
    });

    test(`${profile}_commandsOfDescriptors_listedOnes`, () => {
      const [F_SETFL, F_SETOWN, F_ADD_SEALS, TIOCSTI, TCGETS] = [4, 8, 1033, 0x5412, 0x5401];
      assert.equal(answer(profile, 'fcntl', [3, F_SETFL, 0]), ALLOW);
      assert.equal(answer(profile, 'fcntl', [3, F_SETOWN, 1]), EPERM);
      assert.equal(answer(profile, 'fcntl', [3, F_ADD_SEALS, 1]), EPERM);
      assert.equal(answer(profile, 'ioctl', [0, TCGETS, 0]), ALLOW);
      assert.equal(answer(profile, 'ioctl', [0, TIOCSTI, 0]), EPERM);
      // The kernel looks at 32 bits of a command, so do we.
      assert.equal(answer(profile, 'ioctl', [0, 0x1_0000_5412, 0]), EPERM);
      assert.equal(answer(profile, 'prctl', [1, 0]), EPERM, 'PR_SET_PDEATHSIG');
      assert.equal(answer(profile, 'prctl', [4, 1]), EPERM, 'PR_SET_DUMPABLE');
      assert.equal(answer(profile, 'prlimit64', [0, 7]), ALLOW);
      assert.equal(answer(profile, 'prlimit64', [1, 7]), EPERM);
    });

    test(`${profile}_ioUring_enosys`, () => {
      assert.equal(answer(profile, 'io_uring_setup'), ENOSYS);
      assert.equal(answer(profile, 'io_uring_enter'), ENOSYS);
    });
  }

  /** Where the mode stands, and what else must be there: flags of a call that makes files. */
  const MODES: [CallName, (mode: number) => number[]][] = [
    ['chmod', (mode) => [0, mode]],
    ['fchmod', (mode) => [1, mode]],
    ['fchmodat', (mode) => [3, 0, mode]],
    ['mkdir', (mode) => [0, mode]],
    ['mkdirat', (mode) => [3, 0, mode]],
    ['open', (mode) => [0, 0o102, mode]], // O_CREAT | O_RDWR
    ['openat', (mode) => [3, 0, 0o102, mode]],
    ['openat', (mode) => [3, 0, 0o20200002, mode]], // O_TMPFILE
  ];

  test('everyChild_modeWithSetIdBits_epermFromItsStartOn', () => {
    for (const on of ['x64', 'arm64'] as const) {
      const atStart = assembleFilter(START, 'allow', on);
      for (const [call, args] of MODES.filter(([name]) => callNumber(name, on) >= 0)) {
        const started = (mode: number) =>
          run(atStart, callNumber(call, on), ARCHITECTURES[on], args(mode).map(BigInt));
        for (const profile of ['application', 'inline'] as const) {
          assert.equal(answer(profile, call, args(0o777), on), ALLOW, call);
        }
        assert.equal(started(0o777), ALLOW, call);
        for (const mode of [0o4755, 0o2755, 0o1777, 0o6000, 0x10000 | 0o4000]) {
          assert.equal(started(mode), EPERM, `${call} ${mode.toString(8)} on ${on}`);
          for (const profile of ['application', 'inline', 'dataplane'] as const) {
            assert.equal(answer(profile, call, args(mode), on), EPERM, `${call} on ${on}`);
          }
        }
      }
      for (const call of ['creat', 'mknod', 'mknodat'] as const) {
        if (callNumber(call, on) < 0) continue;
        const args = call === 'mknodat' ? [0n, 0n, 0o4000n] : [0n, 0o4000n];
        assert.equal(run(atStart, callNumber(call, on), ARCHITECTURES[on], args), EPERM, call);
      }
      const whole = run(atStart, callNumber('openat2', on), ARCHITECTURES[on]);
      assert.equal(whole, EPERM, 'its mode is in memory');
    }
    assert.equal(answer('application', 'openat', [3, 0, 0, 0o4755]), ALLOW, 'no file is made');
  });

  test('dataplane_filesAndThreads_eperm', () => {
    const calls = ['openat', 'open', 'stat', 'statx', 'unlink', 'readlink', 'getdents64'] as const;
    for (const call of calls) assert.equal(answer('dataplane', call), EPERM, call);
    assert.equal(answer('dataplane', 'clone', [0x3d0f00]), EPERM);
    assert.equal(answer('dataplane', 'clone3'), EPERM);
    assert.equal(answer('dataplane', 'sched_setaffinity', [0]), EPERM);
  });

  test('application_clone_threadsOnly', () => {
    const [THREAD, NEWUSER, PTHREAD_CREATE, SIGCHLD] = [0x10000, 0x10000000, 0x3d0f00, 17];
    assert.equal(answer('application', 'clone', [PTHREAD_CREATE]), ALLOW);
    assert.equal(answer('application', 'clone', [SIGCHLD]), EPERM);
    assert.equal(answer('application', 'clone', [THREAD | NEWUSER]), EPERM);
    assert.equal(answer('application', 'clone3'), ENOSYS, 'glibc asks clone then');
    for (const call of ['fork', 'vfork'] as const) assert.equal(answer('application', call), EPERM);
  });

  test('application_socketOptions_eperm', () => {
    assert.equal(answer('application', 'getsockopt'), EPERM);
    assert.equal(answer('dataplane', 'getsockopt'), ALLOW);
    assert.equal(answer('inline', 'getsockopt'), ALLOW);
  });

  /** What the elastic thread calls: each batch, and each time that it sleeps. */
  const LOOP = ['read', 'write', 'futex', 'ppoll', 'epoll_pwait', 'clock_gettime'] as const;

  test('loop_everyCallOfIt_whateverItsArgumentsInEveryFilter', () => {
    const unconditional = (filter: Uint8Array, call: CallName, on: Architecture): boolean =>
      run(filter, callNumber(call, on), ARCHITECTURES[on], 'untouched') === ALLOW;
    for (const on of ['x64', 'arm64'] as const) {
      for (const call of LOOP) {
        assert.ok(unconditional(assembleFilter(START, 'allow', on), call, on), `start, ${call}`);
        for (const profile of ['dataplane', 'inline'] as const) {
          const filter = assembleFilter(rulesFor(profile, PID), OTHERWISE, on);
          assert.ok(unconditional(filter, call, on), `${profile}, ${call}`);
        }
      }
    }
  });

  test('everyProfile_sameOnBothMachines', () => {
    for (const profile of ['dataplane', 'application', 'inline'] as const) {
      for (const call of CALL_NAMES) {
        if (callNumber(call, 'x64') < 0 || callNumber(call, 'arm64') < 0) continue;
        assert.equal(answer(profile, call, [], 'x64'), answer(profile, call, [], 'arm64'), call);
      }
    }
  });

  test('start_ordinaryCallsButNoIoUring', () => {
    const program = assembleFilter(START, 'allow', 'x64');
    const ask = (call: CallName) => run(program, callNumber(call, 'x64'), ARCHITECTURES.x64);
    assert.equal(ask('execve'), ALLOW);
    assert.equal(ask('io_uring_setup'), ENOSYS);
  });
});

describe('plan', () => {
  const inDirectory = (work: (directory: string) => void): void => {
    const directory = mkdtempSync(join(tmpdir(), 'ix-plan-'));
    chmodSync(directory, 0o755);
    try {
      work(directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };

  test('module_insideAPackage_packageIsRead', () => {
    inDirectory((directory) => {
      mkdirSync(join(directory, 'src'));
      const module = join(directory, 'src/app.ts');
      writeFileSync(module, '');
      assert.equal(packageOf(module), join(directory, 'src'));
      writeFileSync(join(directory, 'package.json'), '{}');
      assert.equal(packageOf(module), directory);
    });
    assert.equal(packageOf('/app.ts'), '/app.ts', 'never all there is');
  });

  test('allowRead_linkOrMissingOrRoot_realPathOrOneLine', () => {
    inDirectory((directory) => {
      symlinkSync('/etc', join(directory, 'link'));
      assert.deepEqual(realPaths('--allow-read', [join(directory, 'link')]), ['/etc']);
      const missing = join(directory, 'nothing');
      assert.throws(() => realPaths('--allow-read', [missing]), /^Error: --allow-read .*ENOENT; /);
      assert.throws(() => realPaths('--allow-write', ['/']), /--allow-write \/ is everything; /);
    });
  });

  test('allowWrite_whatRootRunsOrBelieves_isRefused', () => {
    const root = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');
    const refuse = (path: string) => () => refuseOwn('--allow-write', [path], '/run/ix');
    for (const path of [`${root}/build`, root, join(root, '..'), process.execPath]) {
      assert.throws(
        refuse(path),
        /--allow-write .* would let an application change what root runs; /,
      );
    }
    for (const path of ['/run/ix', '/run', '/run/ix/deep']) {
      assert.throws(refuse(path), /change where it is written who serves here; /);
    }
    refuse(`${root}-data`)();
    refuse('/run/ix-data')();
  });

  test('module_onlyRootCanRead_isRefusedWithTheRemedy', (t) => {
    if (typeof ownUser('application') === 'string') return t.skip('needs root');
    inDirectory((directory) => {
      const module = join(directory, 'app.ts');
      writeFileSync(module, '', { mode: 0o600 });
      for (const domain of ['process', 'inline'] as const) {
        const plan = () =>
          planConfinement({ domain, module, given: { read: [], write: [] }, locksMemory: true });
        assert.throws(
          plan,
          /only root can read .*app\.ts, and none of it runs as root; chmod -R o\+rX/,
        );
      }
      // Somebody's own: as they, but in the group of all applications.
      chownSync(module, 1234, 0);
      const given = { read: [], write: [] };
      const options = { domain: 'process', module, given, locksMemory: true } as const;
      const { application, dataplane } = planConfinement(options);
      assert.deepEqual(application?.user, { uid: 1234, gid: 64322 });
      assert.ok(dataplane.user!.uid > 0x7fff);
    });
  });

  test('ownUser_twoControlPlanes_fourUsers', () => {
    const users = [100, 101].flatMap((pid) => [
      ownUser('dataplane', pid),
      ownUser('application', pid),
    ]);
    if (users.some((user) => typeof user === 'string')) return; // not root
    const uids = new Set(users.map((user) => (user as { uid: number }).uid));
    assert.equal(uids.size, 4);
    assert.ok([...uids].every((uid) => uid > 0x7fff));
  });

  test('domainProcess_dataplane_readsNothingOfTheApplication', () => {
    inDirectory((directory) => {
      const module = join(directory, 'app.ts');
      writeFileSync(module, '');
      const given = { read: ['/etc'], write: [directory] };
      const options = { domain: 'process', module, given, locksMemory: true } as const;
      const { dataplane, application } = planConfinement(options);
      assert.ok(!dataplane.read.includes(directory) && !dataplane.read.includes('/etc'));
      assert.deepEqual(dataplane.write, []);
      assert.ok(application?.read.includes(directory) && application.read.includes('/etc'));
      assert.deepEqual([application?.write, application?.keep], [[directory], []]);
    });
  });
});

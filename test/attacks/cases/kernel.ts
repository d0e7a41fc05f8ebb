/**
 * What the kernel would do for anybody else: sockets, files, other processes, privilege. Asked for
 * by system call, not by Node.
 */
import assert from 'node:assert/strict';
import {
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { CHANNEL_FD } from '../../../src/child/channel.ts';
import { type CallName, callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { SYS, sys } from '../../../src/native/sys.ts';
import { type Case, distinct, type Given, sleep } from '../case.ts';

const EPERM = -1;
const ENOSYS = -38;
const FIONREAD = 0x541b;
const SIGKILL = 9;
const SIGSTOP = 19;

type Argument = number | bigint | Uint8Array;
const call = (name: CallName, ...args: Argument[]): number =>
  sys.syscall(callNumber(name), ...args);
const text = (value: string): Uint8Array => Buffer.from(`${value}\0`);
/** The distinct answers to calls by name, with arguments that do no harm should one get through. */
const answers = (...names: CallName[]): number[] =>
  distinct(names.map((name) => call(name, 0, 0, 0, 0, 0, 0)));

/** What opening each of them gives: an error's code, or 'opened'. */
const opening = (paths: readonly string[], flags = 'r'): string[] => [
  ...new Set(
    paths.map((path) => {
      try {
        openSync(path, flags);
        return `opened ${path}`;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? '';
      }
    }),
  ),
];

const refused = (codes: readonly string[]): void =>
  assert.ok(
    codes.every((code) => ['ENOENT', 'EACCES', 'EROFS', 'EPERM', 'ELOOP'].includes(code)),
    `${codes}`,
  );

/** A call to each process of the others, and to numbers near our own. */
const toEach = ({ pids }: Given, make: (pid: number) => number): number[] =>
  distinct([...pids, 2, 3, -1, 0x7fffffff].map(make));

const isSocket = (fd: number): boolean => {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
};

const allEperm = [EPERM];
const threadCount = (): number => readdirSync('/proc/self/task').length;

/** Node's own processes of the rest of the machine, as the application sees /proc. */
const visible = (): string[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

export const cases: Case[] = [
  {
    name: 'sockets_ofEveryFamily_areRefused',
    run: () => {
      // unix, inet, inet6, netlink, packet, alg, vsock, xdp; stream, datagram, raw
      const families = [1, 2, 10, 16, 17, 38, 40, 44];
      const made = families.flatMap((family) =>
        [1, 2, 3].map((type) => call('socket', family, type, 0)),
      );
      return distinct([...made, call('socketpair', 1, 1, 0, new Uint8Array(8))]);
    },
    expects: allEperm,
  },
  {
    name: 'calls_onSockets_areRefused',
    run: () =>
      answers('connect', 'bind', 'listen', 'accept', 'accept4', 'sendto', 'sendmsg', 'sendmmsg',
        'recvfrom', 'recvmsg', 'recvmmsg', 'setsockopt', 'getsockopt', 'getsockname',
      ), // biome-ignore format: a list
    expects: allEperm,
  },
  {
    // A doorbell is a write(2), which it may make: but of its sockets, both ends of its channel,
    // each says how much is there to read, and one of AF_XDP does not.
    name: 'doorbellOfAnotherQueue_isNotThere',
    run: () => {
      const fds = Array.from({ length: 1024 }, (_, fd) => fd).filter(isSocket);
      return [fds[0], ...distinct(fds.map((fd) => call('ioctl', fd, FIONREAD, new Uint8Array(4))))];
    },
    expects: [CHANNEL_FD, 0],
  },
  {
    name: 'ioUring_pastTheFilter_isNotThere',
    run: () => answers('io_uring_setup', 'io_uring_enter', 'io_uring_register'),
    expects: [ENOSYS],
  },
  {
    name: 'filesOfTheMachine_opened_areNotThere',
    run: (_gate, { files }) =>
      opening([
        ...files, '/etc/passwd', '/etc/shadow', '/etc/hostname', '/root', '/home', '/var/log',
        '/run', '/run/ix', '/sys', '/sys/class/net', '/boot', '/dev/mem', '/dev/kmem',
        '/dev/net/tun', '/dev/shm', '/dev/ptmx', '/dev/tty', '/dev/vda', '/dev/kvm', '/dev/fuse',
      ]), // biome-ignore format: a list
    check: refused,
  },
  {
    name: 'processesOfOthers_lookedFor_areNotThere',
    run: (_gate, { pids }) => [
      visible(),
      opening(
        pids.flatMap((pid) =>
          ['mem', 'maps', 'fd', 'root', 'environ'].map((name) => `/proc/${pid}/${name}`),
        ),
      ),
    ],
    expects: [['1'], ['ENOENT']],
  },
  {
    name: 'procOfTheKernel_opened_isNotThere',
    run: () =>
      opening(
        [
          'kcore',
          'kallsyms',
          'kmsg',
          'sysrq-trigger',
          'sys/kernel/core_pattern',
          'iomem',
          'net/tcp',
          'config.gz',
        ].map((name) => `/proc/${name}`),
      ),
    check: refused,
  },
  {
    name: 'ownMemoryFile_written_isRefused',
    run: () => opening(['/proc/self/mem', '/proc/1/mem', '/proc/thread-self/mem'], 'r+'),
    check: refused,
  },
  {
    name: 'ownProc_writtenToLoosenLimits_isRefused',
    run: () =>
      opening(
        [
          'oom_score_adj',
          'uid_map',
          'gid_map',
          'setgroups',
          'attr/current',
          'timerslack_ns',
          'clear_refs',
        ].map((name) => `/proc/self/${name}`),
        'r+',
      ),
    check: refused,
  },
  {
    name: 'waysOutOfTheRoot_followed_leadNowhere',
    run: (_gate, { files }) =>
      opening(
        files.flatMap((path) =>
          [
            '/proc/self/root',
            '/proc/1/root',
            '/proc/self/cwd/../../../../..',
            '/../../..',
            '/.old',
          ].map((root) => join(`${root}/`, path)),
        ),
      ),
    check: refused,
  },
  {
    name: 'linkInGivenDirectory_toWhatWasNot_leadsNowhere',
    run: (_gate, { files, allowed }) => {
      const link = join(allowed, 'link');
      writeFileSync(join(allowed, 'may'), 'write');
      symlinkSync(files[0]!, link);
      const codes = opening([link]);
      unlinkSync(link);
      const hard = call('link', text(files[0]!), text(join(allowed, 'hard')));
      return [codes, hard < 0];
    },
    expects: [['ENOENT'], true],
  },
  {
    name: 'handlesOfFiles_areRefused',
    run: () => answers('name_to_handle_at', 'open_by_handle_at', 'openat2', 'open_tree', 'fsopen'),
    expects: allEperm,
  },
  {
    name: 'ownCode_written_isReadOnly',
    run: () => {
      const here = new URL('.', import.meta.url).pathname;
      const root = new URL('../../..', import.meta.url).pathname;
      const paths = ['build/sys.node', 'src/dataplane/gate.ts', 'src/cli/cli.ts', 'package.json'];
      const made = opening([`${here}new.ts`, '/tmp/new', '/new'], 'w');
      return [
        ...opening(
          paths.map((path) => root + path),
          'r+',
        ),
        ...made,
      ];
    },
    check: refused,
  },
  {
    name: 'mountsAndRoots_areRefused',
    run: () =>
      answers('mount', 'umount2', 'pivot_root', 'chroot', 'move_mount', 'mount_setattr', 'setns',
        'unshare', 'swapon', 'quotactl', 'acct',
      ), // biome-ignore format: a list
    expects: allEperm,
  },
  {
    name: 'others_traced_isRefused',
    run: (_gate, given) => {
      const requests = [0x4206, 16, 0]; // PTRACE_SEIZE, ATTACH, TRACEME
      return distinct(
        requests.flatMap((request) => toEach(given, (pid) => call('ptrace', request, pid, 0, 0))),
      );
    },
    expects: allEperm,
  },
  {
    name: 'others_memoryReadOrWritten_isRefused',
    run: (gate, given) => {
      const vector = new Uint8Array(
        BigUint64Array.of(sys.address(gate.u8.subarray(gate.layout.memory.offset)), 64n).buffer,
      );
      return toEach(given, (pid) =>
        Math.max(
          call('process_vm_readv', pid, vector, 1, vector, 1, 0),
          call('process_vm_writev', pid, vector, 1, vector, 1, 0),
        ),
      );
    },
    expects: allEperm,
  },
  {
    name: 'others_signalled_isRefused',
    run: (_gate, given) =>
      toEach(given, (pid) =>
        Math.max(
          ...[0, SIGKILL, SIGSTOP].flatMap((signal) => [
            ...[
              call('kill', pid, signal),
              call('tkill', pid, signal),
              call('tgkill', pid, pid, signal),
            ],
            ...[
              call('rt_sigqueueinfo', pid, signal, new Uint8Array(128)),
              call('pidfd_open', pid, 0),
            ],
          ]),
        ),
      ),
    expects: allEperm,
  },
  {
    name: 'everybody_signalled_isRefused',
    run: () =>
      distinct(
        [-1, 0, -2].flatMap((group) => [
          call('kill', group, SIGKILL),
          call('kill', group, SIGSTOP),
        ]),
      ),
    expects: allEperm,
  },
  {
    name: 'descriptorsOfOthers_taken_isRefused',
    run: () => answers('pidfd_getfd', 'pidfd_open', 'pidfd_send_signal', 'kcmp', 'get_robust_list'),
    expects: allEperm,
  },
  {
    name: 'forkBomb_doesNotBegin',
    run: () => {
      // SIGCHLD, VFORK, NEWUSER, NEWPID | THREAD
      const flags = [17, 0, 0x4111, 0x10000000 | 17, 0x20000000 | 0x10000];
      const clones = flags.map((each) => call('clone', each, 0, 0, 0, 0));
      return [
        distinct([...clones, call('fork'), call('vfork')]),
        call('clone3', new Uint8Array(88), 88),
      ];
    },
    expects: [allEperm, ENOSYS],
  },
  {
    name: 'programs_started_areRefused',
    run: () => {
      const programs = ['/bin/sh', process.execPath, '/usr/bin/sudo', '/bin/mount'];
      return distinct(
        programs.flatMap((path) => [
          call('execve', text(path), 0, 0),
          call('execveat', -100, text(path), 0, 0, 0),
        ]),
      );
    },
    expects: allEperm,
  },
  {
    name: 'threadBomb_endsAtItsLimit',
    run: (gate) => {
      gate.hold();
      gate.give(); // It takes its time, and shall not be said to hang.
      const started: Worker[] = [];
      const flag = new Int32Array(new SharedArrayBuffer(4));
      const source = "Atomics.wait(require('node:worker_threads').workerData, 0, 0)";
      let error = '';
      // Each is a thread: 128 for the whole user, those of Node itself among them.
      while (error === '' && started.length < 200) {
        try {
          started.push(new Worker(source, { eval: true, workerData: flag }));
        } catch (thrown) {
          error = (thrown as { code?: string }).code ?? 'error';
        }
      }
      const threads = threadCount();
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
      // The next attack wants threads as well.
      for (let i = 0; i < 100 && threadCount() > 32; i++) sleep(50);
      return [error, threads > 100 && threads <= 128];
    },
    expects: ['ERR_WORKER_INIT_FAILED', true],
  },
  {
    name: 'spinningThreads_onEveryCore_leaveOthersTheirShare',
    run: () => {
      const source = `const end = Date.now() + 300; while (Date.now() < end);`;
      for (let i = 0; i < 6; i++) new Worker(source, { eval: true }).unref();
      sleep(350);
      return true;
    },
    expects: true,
  },
  {
    name: 'privilege_takenBack_isRefused',
    run: () =>
      answers(
        'setuid',
        'setgid',
        'setresuid',
        'setresgid',
        'setgroups',
        'capset',
        'personality',
        'setsid',
        'acct',
      ),
    expects: allEperm,
  },
  {
    name: 'filters_loosened_isRefused',
    run: () => [
      answers('seccomp', 'landlock_create_ruleset', 'landlock_restrict_self'),
      // SET_SECCOMP, SET_NO_NEW_PRIVS, PDEATHSIG, DUMPABLE, PTRACER, CAPBSET, SECUREBITS, AMBIENT,
      // SUBREAPER, MDWE
      distinct(
        [22, 38, 1, 4, 0x59616d61, 24, 28, 47, 36, 65].map((option) =>
          call('prctl', option, 0, 0, 0, 0),
        ),
      ),
    ],
    expects: [allEperm, allEperm],
  },
  {
    name: 'limits_raised_isRefused',
    run: (_gate, given) => {
      const more = new Uint8Array(BigUint64Array.of(1n << 20n, 1n << 20n).buffer);
      // NPROC, NOFILE, ...
      const own = [6, 7, 8, 12, 4].map((resource) => call('prlimit64', 0, resource, more, 0));
      return distinct([...own, ...toEach(given, (pid) => call('prlimit64', pid, 7, more, 0))]);
    },
    expects: allEperm,
  },
  {
    name: 'processorTime_takenByPriority_isRefused',
    run: (_gate, given) => {
      const mask = new Uint8Array(128).fill(255);
      return [
        answers('sched_setscheduler', 'sched_setattr', 'setpriority'),
        toEach(given, (pid) => call('sched_setaffinity', pid, 128, mask)),
      ];
    },
    expects: [allEperm, allEperm],
  },
  {
    name: 'partsOfTheKernel_areRefused',
    run: () =>
      answers('bpf', 'perf_event_open', 'keyctl', 'add_key', 'request_key', 'kexec_load',
        'init_module', 'reboot', 'syslog', 'userfaultfd', 'memfd_create', 'timerfd_create',
        'signalfd4', 'splice', 'tee', 'vmsplice',
      ), // biome-ignore format: a list
    expects: allEperm,
  },
  {
    name: 'memoryOfSystemV_isRefused',
    run: () => answers('shmget', 'msgget', 'semget'),
    expects: allEperm,
  },
  {
    name: 'terminalAndSignalsByDescriptor_areRefused',
    run: (gate) => {
      const fds = [0, 1, 2, 3, gate.shared.bell, gate.shared.wake];
      // TIOCSTI, TIOCSCTTY, TIOCLINUX, FIOSETOWN, SIOCSPGRP
      const ioctls = [0x5412, 0x540e, 0x541c, 0x8901, 0x8902];
      // SETOWN, SETSIG, SETOWN_EX, SETLEASE, NOTIFY, SETPIPE_SZ
      const fcntls = [8, 10, 15, 1024, 1026, 1031];
      return distinct(
        fds.flatMap((fd) => [
          ...ioctls.map((command) => call('ioctl', fd, command, new Uint8Array(8))),
          ...fcntls.map((command) => call('fcntl', fd, command, 1)),
        ]),
      );
    },
    expects: allEperm,
  },
  {
    name: 'inspector_opened_isRefused',
    run: () => {
      process.kill(process.pid, 'SIGUSR1');
      sleep(20);
      return readFileSync('/proc/self/status', 'latin1').match(/^NoNewPrivs:\t(\d)$/m)?.[1];
    },
    expects: '1',
  },
  {
    name: 'callsOfX32_endTheProcess',
    run: () => sys.syscall(0x40000000 + SYS.getpid),
    ends: { cause: 'signal', signal: 'SIGSYS' },
  },
  {
    name: 'initOfItsNamespace_stoppedByItself_goesOn',
    // Process 1 of a PID namespace gets no signal from inside that it has no handler for.
    run: (gate) => [call('kill', 1, SIGSTOP), call('kill', 1, SIGKILL), gate.call(0)],
    expects: [0, 0, -3],
  },
];

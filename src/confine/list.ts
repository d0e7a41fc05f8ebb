/**
 * The system calls that our processes may make: the one list, and why each stands in it.
 *
 * - Found by measurement: `strace -ff` of kv and echo in both domains on veth and tap, of an
 *   application that uses timers, promises, files, Workers, streams, crypto and WebAssembly, from
 *   start to exit, and of fatal errors (Node 26.10, libuv 1.52, glibc 2.36, Linux 6.18).
 *   test/confine/confine.live.test.ts runs the same under the filters.
 * - Three profiles. `dataplane`: no file, no thread, no process, no socket, nothing but its queues
 *   and its channel. `application`: what an untrusted Node program needs. `inline`: both, since
 *   both live in one process.
 * - What is not in the list is EPERM. ENOSYS where Node or glibc has another way then (io_uring,
 *   clone3).
 * - `START` holds from before Node's first instruction, for every child. libuv must never get an
 *   io_uring, because what goes through the ring goes past every filter; it then uses epoll_ctl(2)
 *   instead. And no child gives a file set-user-ID, set-group-ID or sticky bits: whoever ran such a
 *   file would be the child's user, or in the group of all applications.
 *
 * Nothing that the loop calls has conditions: what is allowed whatever its arguments are costs the
 * same wherever it stands (seccomp.ts). So the doorbell is a write(2), not a sendto(2) of which one
 * would have to ask that it carries nothing to nobody: the channel is a socket, too.
 */
import type { Condition, Rule } from './seccomp.ts';
import type { CallName } from './seccomp-numbers.ts';

/**
 * Environment variable that names a child's list; without it nothing is confined (`--unconfined`,
 * tests).
 */
export const CONFINED = 'IX_CONFINED';

export type Profile = 'dataplane' | 'application' | 'inline';

export const EPERM = 1;
export const ENOSYS = 38;
/** The answer to everything that is not listed. */
export const OTHERWISE = { errno: EPERM } as const;

/** S_ISUID, S_ISGID, S_ISVTX. */
const SET_ID = 0o7000;
/**
 * O_CREAT, __O_TMPFILE: without them nobody looks at the mode, and there may be anything in its
 * place.
 */
const MAKES = 0o100 | 0o20000000;
const refuseMode = (call: CallName, mode: number): Rule => {
  return { call, when: [{ argument: mode, any: SET_ID }], answer: { errno: EPERM } };
};
const refuseModeOfNew = (call: CallName, flags: number): Rule => {
  const when = [
    { argument: flags, any: MAKES },
    { argument: flags + 1, any: SET_ID },
  ];
  return { call, when, answer: { errno: EPERM } };
};

/**
 * Before Node starts: everything but the way around all filters, and every call that can give a
 * file such a mode.
 */
export const START: readonly Rule[] = [
  { call: 'io_uring_setup', answer: { errno: ENOSYS } },
  { call: 'io_uring_register', answer: { errno: ENOSYS } },
  { call: 'io_uring_enter', answer: { errno: ENOSYS } },
  refuseMode('chmod', 1),
  refuseMode('fchmod', 1),
  refuseMode('fchmodat', 2),
  refuseMode('creat', 1),
  refuseMode('mkdir', 1),
  refuseMode('mkdirat', 2),
  refuseMode('mknod', 1),
  refuseMode('mknodat', 2),
  refuseModeOfNew('open', 1),
  refuseModeOfNew('openat', 2),
  // Their modes are in memory, or glibc has another way.
  { call: 'openat2', answer: { errno: EPERM } },
  { call: 'fchmodat2', answer: { errno: ENOSYS } },
];

/** Once a batch, or whenever a thread sleeps. */
const HOT: readonly CallName[] = [
  'futex', // the hand-over between the domains; V8's and Node's locks
  'read', // tap frames, eventfds, files, the channel
  'write', // the same, and the doorbell of an AF_XDP transmit ring
  'epoll_pwait', // the event loop
  'epoll_pwait2',
  'epoll_ctl', // a watch is armed before a sleep
  'epoll_wait',
  'ppoll', // a zero-copy NIC that waits for fill entries
  'clock_gettime', // where the vDSO cannot answer
];

/** What V8, libuv and glibc do at any time. */
const RUNTIME: readonly CallName[] = [
  // Memory: heaps, JIT code, arenas. mmap of a sealed memfd is refused by its seals, not here.
  ...(['mmap', 'munmap', 'mprotect', 'mremap', 'madvise', 'brk'] as const),
  ...(['pkey_alloc', 'pkey_mprotect', 'pkey_free'] as const), // V8's protection of JIT code
  // Threads that wait, end, and are interrupted.
  ...(['sched_yield', 'nanosleep', 'clock_nanosleep', 'restart_syscall'] as const),
  ...(['rt_sigaction', 'rt_sigprocmask', 'rt_sigreturn', 'sigaltstack'] as const),
  ...(['exit', 'exit_group', 'set_robust_list', 'rseq', 'gettid', 'getpid', 'getppid'] as const),
  // Descriptors that are there already.
  ...(['close', 'readv', 'writev', 'pread64', 'pwrite64', 'lseek', 'fstat', 'shutdown'] as const),
  // Reading what one is: process.cpuUsage, os.*, secure_getenv.
  ...(['getuid', 'geteuid', 'getgid', 'getegid', 'getresuid', 'getresgid', 'getgroups'] as const),
  ...([
    'capget',
    'uname',
    'sysinfo',
    'getrusage',
    'times',
    'getcpu',
    'getpriority',
    'getrlimit',
  ] as const),
  ...(['clock_getres', 'gettimeofday', 'time', 'sched_getaffinity'] as const),
  ...(['sched_getparam', 'sched_getscheduler', 'getrandom'] as const),
];

/**
 * What an application may do besides: files (which ones is Landlock's and the root's business),
 * pipes, events. Not inotify: it tells what others open below a directory that one may read, the
 * system's libraries among them; fs.watchFile looks instead.
 */
const FILES: readonly CallName[] = [
  ...(['openat', 'open', 'stat', 'lstat', 'newfstatat', 'statx', 'access', 'faccessat'] as const),
  ...(['faccessat2', 'readlink', 'readlinkat', 'getdents64', 'getcwd', 'statfs'] as const),
  ...(['fstatfs', 'chdir', 'fchdir', 'umask', 'preadv', 'pwritev', 'fadvise64'] as const),
  ...(['ftruncate', 'truncate', 'fallocate', 'fsync', 'fdatasync', 'flock'] as const),
  ...(['mkdir', 'mkdirat', 'rmdir', 'unlink', 'unlinkat', 'rename', 'renameat'] as const),
  ...(['renameat2', 'link', 'linkat', 'symlink', 'symlinkat', 'chmod', 'fchmod'] as const),
  ...(['fchmodat', 'utimensat', 'copy_file_range', 'sendfile', 'msync'] as const),
  ...(['dup', 'dup2', 'dup3', 'pipe2', 'eventfd2', 'epoll_create1'] as const),
];

const allow = (call: CallName): Rule => ({ call, answer: 'allow' });
const when = (call: CallName, ...conditions: Condition[]): Rule => {
  return { call, when: conditions, answer: 'allow' };
};

// fcntl: duplicate, flags, locks, reading seals. Not F_SETOWN and F_SETSIG (signals to others),
// F_SETLEASE, F_ADD_SEALS.
const FCNTL = [0, 1, 2, 3, 4, 5, 6, 7, 1030, 1034, 36, 37, 38];
// ioctl: FIOCLEX, FIONCLEX, FIONBIO, FIONREAD, TCGETS, TIOCGWINSZ. Not TIOCSTI, which types into a
// terminal.
const IOCTL = [0x5451, 0x5450, 0x5421, 0x541b, 0x5401, 0x5413];
// prctl: PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA (names of mappings). Not
// PR_SET_PDEATHSIG: it would outlive us.
const PRCTL = [15, 16, 3, 0x53564d41];
const CLONE_THREAD = 0x10000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const CLONE_NEW = 0x7e020000;

/** With conditions, for every profile. `pid` is the process's own. */
const conditional = (pid: number): Rule[] => [
  when('fcntl', { argument: 1, oneOf: FCNTL }),
  when('ioctl', { argument: 1, oneOf: IOCTL }),
  when('prctl', { argument: 0, oneOf: PRCTL }),
  when('tgkill', { argument: 0, oneOf: [pid] }), // abort(3), and V8's own
  when('kill', { argument: 0, oneOf: [pid] }),
  when('prlimit64', { argument: 0, oneOf: [0] }),
];

/**
 * Threads, never processes: Workers, and libuv's pool when it is first needed. clone3 hides its
 * flags from filters.
 */
const THREADS: readonly Rule[] = [
  when('clone', { argument: 0, has: CLONE_THREAD, lacks: CLONE_NEW }),
  { call: 'clone3', answer: { errno: ENOSYS } },
  allow('set_tid_address'),
  // A worker goes to its elastic thread's core.
  when('sched_setaffinity', { argument: 0, oneOf: [0] }),
];

export function rulesFor(profile: Profile, pid: number = process.pid): Rule[] {
  const rules = [...HOT, ...RUNTIME].map(allow);
  rules.push(...conditional(pid), ...START);
  // Statistics of the AF_XDP socket (src/nic/xsk.ts).
  if (profile !== 'application') rules.push(allow('getsockopt'));
  if (profile !== 'dataplane') rules.push(...FILES.map(allow), ...THREADS);
  return rules;
}

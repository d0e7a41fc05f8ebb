/**
 * System calls by name: [x86-64, arm64], -1 where the machine has none of that name.
 *
 * - For filters (seccomp.ts), which name calls that nobody here makes; what we call ourselves
 *   stands in native/sys.ts too.
 *
 * From the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
 */
// biome-ignore format: a table
const NUMBERS = {
  accept: [43, 202], accept4: [288, 242], access: [21, -1], acct: [163, 89], add_key: [248, 217],
  arch_prctl: [158, -1], bind: [49, 200], bpf: [321, 280], brk: [12, 214], capget: [125, 90],
  capset: [126, 91], chdir: [80, 49], chmod: [90, -1], chroot: [161, 51], clock_getres: [229, 114],
  clock_gettime: [228, 113], clock_nanosleep: [230, 115], clone: [56, 220], clone3: [435, 435],
  close: [3, 57], close_range: [436, 436], connect: [42, 203], copy_file_range: [326, 285], creat: [85, -1],
  dup: [32, 23], dup2: [33, -1], dup3: [292, 24], epoll_create1: [291, 20], epoll_ctl: [233, 21],
  epoll_pwait: [281, 22], epoll_pwait2: [441, 441], epoll_wait: [232, -1], eventfd2: [290, 19],
  execve: [59, 221], execveat: [322, 281], exit: [60, 93], exit_group: [231, 94],
  faccessat: [269, 48], faccessat2: [439, 439], fanotify_init: [300, 262], fanotify_mark: [301, 263], fadvise64: [221, 223], fallocate: [285, 47],
  fchdir: [81, 50], fchmod: [91, 52], fchmodat: [268, 53], fchmodat2: [452, 452], fcntl: [72, 25], fdatasync: [75, 83],
  flock: [73, 32], fork: [57, -1], fsopen: [430, 430], fstat: [5, 80], fstatfs: [138, 44],
  fsync: [74, 82], ftruncate: [77, 46], futex: [202, 98], get_robust_list: [274, 100],
  getcpu: [309, 168], getcwd: [79, 17], getdents64: [217, 61], getgroups: [115, 158], getegid: [108, 177],
  geteuid: [107, 175], getgid: [104, 176], getpid: [39, 172], getppid: [110, 173],
  getpriority: [140, 141], getrandom: [318, 278], getresgid: [120, 150], getresuid: [118, 148],
  getrlimit: [97, 163], getrusage: [98, 165], getsockname: [51, 204], getsockopt: [55, 209],
  gettid: [186, 178], gettimeofday: [96, 169], getuid: [102, 174], init_module: [175, 105],
  inotify_add_watch: [254, 27], inotify_init1: [294, 26], inotify_rm_watch: [255, 28],
  io_uring_enter: [426, 426], io_uring_register: [427, 427], io_uring_setup: [425, 425],
  ioctl: [16, 29], kcmp: [312, 272], kexec_load: [246, 104], keyctl: [250, 219], kill: [62, 129],
  landlock_add_rule: [445, 445], landlock_create_ruleset: [444, 444],
  landlock_restrict_self: [446, 446], link: [86, -1], linkat: [265, 37], listen: [50, 201],
  lseek: [8, 62], lstat: [6, -1], madvise: [28, 233], mbind: [237, 235], membarrier: [324, 283],
  memfd_create: [319, 279], mincore: [27, 232], mkdir: [83, -1], mkdirat: [258, 34], mknod: [133, -1], mknodat: [259, 33],
  mlock: [149, 228], mlock2: [325, 284], mlockall: [151, 230], mmap: [9, 222], mount: [165, 40],
  mount_setattr: [442, 442], move_mount: [429, 429], mprotect: [10, 226], mremap: [25, 216],
  msgget: [68, 186], msync: [26, 227], munmap: [11, 215], name_to_handle_at: [303, 264],
  nanosleep: [35, 101], newfstatat: [262, 79], open: [2, -1], open_by_handle_at: [304, 265],
  open_tree: [428, 428], openat: [257, 56], openat2: [437, 437], perf_event_open: [298, 241],
  personality: [135, 92], pidfd_getfd: [438, 438], pidfd_open: [434, 434],
  pidfd_send_signal: [424, 424], pipe2: [293, 59], pivot_root: [155, 41], pkey_alloc: [330, 289],
  pkey_free: [331, 290], pkey_mprotect: [329, 288], poll: [7, -1], ppoll: [271, 73],
  prctl: [157, 167], pread64: [17, 67], preadv: [295, 69], prlimit64: [302, 261],
  process_madvise: [440, 440], process_vm_readv: [310, 270], process_vm_writev: [311, 271],
  ptrace: [101, 117], pwrite64: [18, 68], pwritev: [296, 70], quotactl: [179, 60], read: [0, 63],
  readlink: [89, -1], readlinkat: [267, 78], readv: [19, 65], reboot: [169, 142],
  recvfrom: [45, 207], recvmmsg: [299, 243], recvmsg: [47, 212], remap_file_pages: [216, 234],
  rename: [82, -1], renameat: [264, 38], renameat2: [316, 276], request_key: [249, 218],
  restart_syscall: [219, 128], rmdir: [84, -1], rseq: [334, 293], rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135], rt_sigqueueinfo: [129, 138], rt_sigreturn: [15, 139],
  rt_tgsigqueueinfo: [297, 240], sched_getaffinity: [204, 123], sched_getparam: [143, 121],
  sched_getattr: [315, 275], sched_getscheduler: [145, 120], sched_setaffinity: [203, 122],
  sched_setattr: [314, 274],
  sched_setscheduler: [144, 119], sched_yield: [24, 124], seccomp: [317, 277], semget: [64, 190],
  sendfile: [40, 71], sendmmsg: [307, 269], sendmsg: [46, 211], sendto: [44, 206],
  set_robust_list: [273, 99], set_tid_address: [218, 96], setgid: [106, 144], setgroups: [116, 159],
  setns: [308, 268], setpriority: [141, 140], setresgid: [119, 149], setresuid: [117, 147],
  setrlimit: [160, 164], setsid: [112, 157], setsockopt: [54, 208], setuid: [105, 146],
  shmget: [29, 194], shutdown: [48, 210], sigaltstack: [131, 132], signalfd4: [289, 74],
  socket: [41, 198], socketpair: [53, 199], splice: [275, 76], stat: [4, -1], statfs: [137, 43],
  statx: [332, 291], swapon: [167, 224], symlink: [88, -1], symlinkat: [266, 36],
  sysinfo: [99, 179], syslog: [103, 116], tee: [276, 77], tgkill: [234, 131], time: [201, -1],
  timerfd_create: [283, 85], times: [100, 153], tkill: [200, 130], truncate: [76, 45],
  umask: [95, 166], umount2: [166, 39], uname: [63, 160], unlink: [87, -1], unlinkat: [263, 35],
  unshare: [272, 97], userfaultfd: [323, 282], utimensat: [280, 88], vfork: [58, -1],
  vmsplice: [278, 75], wait4: [61, 260], write: [1, 64], writev: [20, 66],
} as const satisfies Record<string, readonly [number, number]>;

export type CallName = keyof typeof NUMBERS;
export const CALL_NAMES = Object.keys(NUMBERS) as CallName[];

/** The number of a call on this machine, or -1. */
export const callNumber = (name: CallName, architecture: string = process.arch): number =>
  NUMBERS[name][architecture === 'arm64' ? 1 : 0];

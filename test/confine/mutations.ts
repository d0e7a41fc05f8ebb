/**
 * Every mechanism of docs/SECURITY.md, taken away one at a time; the test that must notice. `find`
 * stands in its file exactly once.
 *
 * - A mutation is a change of the source in a copy of the tree (mutate.ts): there is no switch in
 *   the product that an application, or a variable of the environment, could throw.
 * - `test` is a file and the name of a test in it; without a name, all of the file.
 *
 * Used by mutate.ts and mutations.test.ts. Those of other
 * users and of what children print are in mutations-machine.ts, those that are no matter of
 * confinement in mutations-dataplane.ts.
 */
import { ATTACK_MUTATIONS, CASES } from './mutations-attacks.ts';
import { DATAPLANE_MUTATIONS } from './mutations-dataplane.ts';
import { MACHINE_MUTATIONS } from './mutations-machine.ts';

export type TestName = readonly [file: string, name?: string];

export interface Change {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutation extends Change {
  /** What is taken away, as the table in docs/SECURITY.md calls it. */
  readonly name: string;
  readonly test: TestName;
  /** Cases of the attack suite that must notice as well, each of them. */
  readonly cases?: readonly string[];
  /**
   * Taken away with it: what stands behind it and answers the same, so that nobody could notice,
   * or the same mechanism in a second place.
   */
  readonly behind?: readonly Change[];
}

const LAYERS = 'test/confine/layers.live.test.ts';
const LIVE = 'test/confine/confine.live.test.ts';
const FILTER = 'test/confine/confine.test.ts';
const LANDLOCK = 'test/confine/landlock.test.ts';
const GATE = 'test/dataplane/gate.test.ts';
const DESCRIPTORS = 'test/control/record/descriptors.test.ts';

const EXEC = 'src/confine/exec.ts';
const ROOT = 'src/confine/root.ts';
const LIST = 'src/confine/list.ts';
const IDENTITY = 'src/confine/identity.ts';
const PLAN = 'src/confine/plan.ts';

const layer = (
  name: string,
  file: string,
  find: string,
  replace: string,
  test: string,
): Mutation => {
  return { name, file, find, replace, test: [LAYERS, test] };
};
const filter = (name: string, find: string, replace: string, test: string): Mutation => {
  return { name, file: LIST, find, replace, test: [FILTER, test] };
};

/** Before Node. */
const LAYER_MUTATIONS: Mutation[] = [
  layer(
    'nosuid of what is read',
    ROOT,
    'const fixed = MS_RDONLY | MS_NOSUID | MS_NODEV;',
    'const fixed = MS_RDONLY | MS_NODEV;',
    'mounts_all_nosuid',
  ),
  layer(
    'nodev of what is read',
    ROOT,
    'const fixed = MS_RDONLY | MS_NOSUID | MS_NODEV;',
    'const fixed = MS_RDONLY | MS_NOSUID;',
    'mounts_allButTheFourDevices_nodev',
  ),
  layer(
    'read-only mounts',
    ROOT,
    'const fixed = MS_RDONLY | MS_NOSUID | MS_NODEV;',
    'const fixed = MS_NOSUID | MS_NODEV;',
    'mounts_allButWhatMayBeWritten_readOnly',
  ),
  layer(
    'nosuid of what may be written',
    ROOT,
    'bind(path, MS_NOSUID | MS_NODEV | MS_NOEXEC)',
    'bind(path, MS_NODEV | MS_NOEXEC)',
    'mounts_all_nosuid',
  ),
  layer(
    'nodev of what may be written',
    ROOT,
    'bind(path, MS_NOSUID | MS_NODEV | MS_NOEXEC)',
    'bind(path, MS_NOSUID | MS_NOEXEC)',
    'mounts_allButTheFourDevices_nodev',
  ),
  layer(
    'noexec of what may be written',
    ROOT,
    'bind(path, MS_NOSUID | MS_NODEV | MS_NOEXEC)',
    'bind(path, MS_NOSUID | MS_NODEV)',
    'mounts_whatMayBeWritten_noexec',
  ),
  layer(
    'a root of its own',
    EXEC,
    'if (hasRoot) enterRoot({ read, write, system });',
    // What was mounted over /proc for a moment would be in the way of everything.
    "const [proc0, at] = [cString('proc'), cString('/proc')];\n" +
      "  if (hasRoot) sys.syscall(callNumber('mount'), proc0, at, proc0, 14, 0);",
    'root_listed_isRefusedAndItsOwn',
  ),
  layer(
    'network namespace',
    EXEC,
    "step('network', unshare(CLONE_NEWNET));",
    '',
    'namespaces_ofItsOwn',
  ),
  layer('IPC namespace', EXEC, "step('ipc', unshare(CLONE_NEWIPC));", '', 'namespaces_ofItsOwn'),
  layer(
    'PID namespace',
    'src/confine/confine.ts',
    "must(sys.syscall(SYS.unshare, CLONE_NEWPID), 'a PID namespace for a child');",
    '',
    'namespaces_ofItsOwn',
  ),
  layer(
    'a user of its own',
    EXEC,
    "if (user) step('user', () => becomeUser(user));",
    '',
    'user_ofItsOwn_withoutGroups',
  ),
  layer(
    'a group of applications',
    IDENTITY,
    "must(sys.syscall(callNumber('setresgid'), gid, gid, gid), 'setresgid');",
    '',
    'user_ofItsOwn_withoutGroups',
  ),
  layer(
    'SECBIT_NOROOT',
    IDENTITY,
    "must(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED), 'prctl(PR_SET_SECUREBITS)');",
    '',
    'secureBits_noRoot_locked',
  ),
  layer(
    'an empty bounding set',
    IDENTITY,
    'if (prctl(PR_CAPBSET_DROP, capability) < 0) break;',
    '',
    'capabilities_everySet_isEmpty',
  ),
  layer(
    'Landlock',
    EXEC,
    "step('landlock', () => restrictPaths(rulesOf(plan, system, proc), abi));",
    "done.push('landlock');",
    'root_listed_isRefusedAndItsOwn',
  ),
  layer(
    'a filter before Node',
    EXEC,
    "step('no io_uring', () => installFilter(assembleFilter(START, 'allow')));",
    '',
    'filter_beforeNode_isThere',
  ),
  layer(
    'a session of its own',
    'src/control/children/child.ts',
    'detached: true',
    'detached: false',
    'session_ofItsOwn_withoutATerminal',
  ),
  layer(
    'RLIMIT_CORE',
    PLAN,
    'const CORE_NONE = 1;',
    'const CORE_NONE = 1e6;',
    'limits_coreThreadsFiles_areSet',
  ),
  layer('a limit on threads', PLAN, '[RLIMIT_NPROC, 128],', '', 'limits_coreThreadsFiles_areSet'),
  layer(
    'oom_score_adj',
    EXEC,
    'if (plan.oomScore > 0) writeFileSync',
    'if (plan.oomScore > 1e6) writeFileSync',
    'limits_coreThreadsFiles_areSet',
  ),
  layer(
    '--disable-sigusr1',
    'src/confine/confine.ts',
    "export const CONFINED_FLAGS = ['--disable-sigusr1'];",
    'export const CONFINED_FLAGS: string[] = [];',
    'inspector_bySignal_isNotThere',
  ),
  layer(
    'an environment of our own',
    'src/control/children/child.ts',
    '/^(IX_VERIFY|IX_SOURCE|PATH|TZ)$/.test(name)',
    'name.length > 0',
    'environment_ours_isNotPassedOn',
  ),
];

/** Behind them, where something else answers first in production. */
const ALONE_MUTATIONS: Mutation[] = [
  {
    name: 'Landlock: files',
    file: 'src/confine/landlock.ts',
    find: 'BigInt(handled),\n    BigInt(NET',
    replace: 'BigInt(0),\n    BigInt(NET',
    // A rule about what is not handled is refused.
    behind: [
      {
        file: 'src/confine/landlock.ts',
        find: 'for (const rule of rules) addRule(ruleset, rule, handled);',
        replace: '',
      },
    ],
    test: [LANDLOCK, 'files_notGiven_areRefused'],
  },
  {
    name: 'Landlock: TCP',
    file: 'src/confine/landlock.ts',
    find: 'const NET_BIND_AND_CONNECT = 3;',
    replace: 'const NET_BIND_AND_CONNECT = 0;',
    test: [LANDLOCK, 'tcp_boundOrConnected_isRefused'],
  },
  {
    name: 'Landlock: scope of signals',
    file: 'src/confine/landlock.ts',
    find: 'const SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3;',
    replace: 'const SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 1;',
    test: [LANDLOCK, 'signals_toWhoIsOutside_areRefused'],
  },
  {
    name: 'Landlock: scope of abstract sockets',
    file: 'src/confine/landlock.ts',
    find: 'const SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3;',
    replace: 'const SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 2;',
    test: [LANDLOCK, 'abstractSocket_ofWhoIsOutside_isNotReached'],
  },
  {
    name: 'descriptors closed before execve',
    file: 'src/confine/descriptors.ts',
    find: "else must(result, 'close_range');",
    replace: '',
    test: ['test/confine/descriptors.test.ts'],
  },
  {
    name: 'the gate reads once',
    file: 'src/dataplane/gate.ts',
    find: 'const taken = this.#tcp.send(handle, offset, length);',
    replace: 'const taken = this.#tcp.send(handle, i32[pairs + 2 * i]!, i32[pairs + 2 * i + 1]!);',
    test: [GATE, 'calls_everyFieldOfThem_isReadOnce'],
  },
  {
    name: 'the gate checks ranges',
    file: 'src/dataplane/gate.ts',
    find: 'offset >= this.#memoryStart &&',
    replace: '',
    test: [GATE],
  },
  {
    name: 'the quota of calls',
    file: 'src/dataplane/gate.ts',
    find: 'const made = Math.min(count, this.#callQuota);',
    replace: 'const made = count;',
    test: ['test/dataplane/quotas.test.ts'],
  },
  {
    name: 'a descriptor is compared with the record',
    file: 'src/control/record/descriptors.ts',
    find: 'if (found === held.what) return fd;',
    replace: 'return fd;',
    test: [DESCRIPTORS, 'takeDescriptor_somethingElseUnderThatNumber_refusedAndClosed'],
  },
  {
    name: 'depth of what a child says',
    file: 'src/control/children/channel-end.ts',
    find: 'if (depthOf(line) > DEPTH_MAX) return undefined;',
    replace: '',
    test: ['test/control/children/channel-end.test.ts'],
  },
];

const LISTS = 'dataplane_callsNobodyGets_eperm';
const FILTER_MUTATIONS: Mutation[] = [
  filter('no sockets', "  'read', // tap frames", "  'socket',\n  'read', // tap frames", LISTS),
  filter('no programs', "  'read', // tap frames", "  'execve',\n  'read', // tap frames", LISTS),
  filter('no tracing', "  'read', // tap frames", "  'ptrace',\n  'read', // tap frames", LISTS),
  filter('no bpf', "  'read', // tap frames", "  'bpf',\n  'read', // tap frames", LISTS),
  filter('no mounts', "  'read', // tap frames", "  'mount',\n  'read', // tap frames", LISTS),
  filter(
    'no watches',
    "  'read', // tap frames",
    "  'inotify_init1',\n  'read', // tap frames",
    LISTS,
  ),
  filter(
    'no io_uring',
    "{ call: 'io_uring_setup', answer: { errno: ENOSYS } },",
    '',
    'start_ordinaryCallsButNoIoUring',
  ),
  filter(
    'no set-id bits by chmod',
    "refuseMode('chmod', 1),",
    '',
    'everyChild_modeWithSetIdBits_epermFromItsStartOn',
  ),
  filter(
    'no set-id bits by openat',
    "refuseModeOfNew('openat', 2),",
    '',
    'everyChild_modeWithSetIdBits_epermFromItsStartOn',
  ),
  filter(
    'no sticky and set-group-ID bits',
    'const SET_ID = 0o7000;',
    'const SET_ID = 0o4000;',
    'everyChild_modeWithSetIdBits_epermFromItsStartOn',
  ),
  filter(
    'no sending by sockets',
    "  'read', // tap frames",
    "  'sendto',\n  'read', // tap frames",
    LISTS,
  ),
  filter(
    'no options of sockets for applications',
    "if (profile !== 'application') rules.push(allow('getsockopt'));",
    "rules.push(allow('getsockopt'));",
    'application_socketOptions_eperm',
  ),
  filter(
    'signals to itself only',
    "when('kill', { argument: 0, oneOf: [pid] }),",
    "allow('kill'),",
    'application_signals_itselfOnly',
  ),
  filter(
    'threads, no processes',
    "when('clone', { argument: 0, has: CLONE_THREAD, lacks: CLONE_NEW }),",
    "allow('clone'),",
    'application_clone_threadsOnly',
  ),
  filter(
    'no namespaces by clone',
    'has: CLONE_THREAD, lacks: CLONE_NEW }',
    'has: CLONE_THREAD }',
    'application_clone_threadsOnly',
  ),
  filter(
    'no commands of terminals',
    'const IOCTL = [0x5451,',
    'const IOCTL = [0x5412, 0x5451,',
    'application_commandsOfDescriptors_listedOnes',
  ),
  filter(
    'no owners of descriptors',
    'const FCNTL = [0,',
    'const FCNTL = [8, 0,',
    'application_commandsOfDescriptors_listedOnes',
  ),
  filter(
    'no death with its parent',
    'const PRCTL = [15,',
    'const PRCTL = [1, 15,',
    'application_commandsOfDescriptors_listedOnes',
  ),
  filter(
    'limits of itself only',
    "when('prlimit64', { argument: 0, oneOf: [0] }),",
    "allow('prlimit64'),",
    'application_commandsOfDescriptors_listedOnes',
  ),
  filter(
    'no files for dataplanes',
    "if (profile !== 'dataplane') rules.push(...FILES.map(allow), ...THREADS);",
    'rules.push(...FILES.map(allow), ...THREADS);',
    'dataplane_filesAndThreads_eperm',
  ),
  {
    name: 'no numbers of x32',
    file: 'src/confine/seccomp.ts',
    find: 'if (!isArm) code.push([IF_SET, 0, 1, X32_BIT], [RETURN, 0, 0, RET_KILL_PROCESS]);',
    replace: '',
    test: [FILTER, 'application_foreignArchitecture_kills'],
  },
  {
    name: 'no other architecture',
    file: 'src/confine/seccomp.ts',
    find: '    [RETURN, 0, 0, RET_KILL_PROCESS],\n    [LOAD, 0, 0, NR],',
    replace: '    [LOAD, 0, 0, NR],\n    [LOAD, 0, 0, NR],',
    test: [FILTER, 'application_foreignArchitecture_kills'],
  },
  {
    name: 'nobody is user 0',
    file: PLAN,
    find: 'if (uid === 0)',
    replace: 'if (uid === -1)',
    test: [FILTER, 'module_onlyRootCanRead_isRefusedWithTheRemedy'],
  },
  {
    name: 'what root runs is not given away',
    file: PLAN,
    find: 'if (hit === undefined) continue;',
    replace: 'if (hit !== null) continue;',
    test: [FILTER, 'allowWrite_whatRootRunsOrBelieves_isRefused'],
  },
];

/** After the lock-down, as the kernel shows it. */
const LIVE_MUTATIONS: Mutation[] = [
  {
    name: 'the list of system calls',
    file: 'src/child/lock.ts',
    find: 'installFilter(assembleFilter(rulesFor(profile), OTHERWISE));',
    replace: '',
    test: [LIVE, 'domainProcess_running_bothChildrenConfinedInEveryThread'],
  },
  {
    name: 'for every thread (TSYNC)',
    file: 'src/confine/seccomp.ts',
    find: 'const FLAG_TSYNC = 1;',
    replace: 'const FLAG_TSYNC = 0;',
    test: [LIVE, 'domainProcess_running_bothChildrenConfinedInEveryThread'],
  },
  {
    name: 'not dumpable',
    file: 'src/child/lock.ts',
    find: "must(sys.syscall(SYS.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), 'prctl(PR_SET_DUMPABLE)');",
    replace: '',
    test: [LIVE, 'domainProcess_running_bothChildrenConfinedInEveryThread'],
  },
  {
    name: 'the capability is dropped by every thread',
    file: 'src/child/lock.ts',
    find: 'if (profile) dropEverywhere();',
    replace: '',
    test: [LIVE, 'dataplane_lockedDown_keepsNothingAndMayNothing'],
  },
  {
    name: 'F_SEAL_FUTURE_WRITE',
    file: 'src/control/children/shared.ts',
    find: "fixed | F_SEAL_FUTURE_WRITE, 'receive pool'",
    replace: "fixed, 'receive pool'",
    test: [LIVE, 'process_nodeApis_workExceptWhatLeavesTheProcess'],
  },
  {
    name: 'F_SEAL_SHRINK',
    file: 'src/control/children/shared.ts',
    find: 'const fixed = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;',
    replace: 'const fixed = F_SEAL_SEAL | F_SEAL_GROW;',
    test: [LIVE, 'process_nodeApis_workExceptWhatLeavesTheProcess'],
  },
];

export const MUTATIONS: readonly Mutation[] = [
  ...LAYER_MUTATIONS,
  ...ALONE_MUTATIONS,
  ...FILTER_MUTATIONS,
  ...LIVE_MUTATIONS,
  ...MACHINE_MUTATIONS,
  ...DATAPLANE_MUTATIONS,
  ...ATTACK_MUTATIONS,
].map((each) => ({ ...each, cases: [...(each.cases ?? []), ...(CASES[each.name] ?? [])] }));

/**
 * What the attack suite tries to get past, taken away one at a time: each names the cases that must
 * fail then, each by itself, beside the tests that the other tables name.
 *
 * - Where two mechanisms stand behind each other a case fails only when both are gone: `behind` is
 *   the second, and the name says both. That one alone is enough is why there are two.
 *
 * - What a case tries it does when its mechanism is gone: none may hurt the machine that it is
 *   tried on, /dev/null for one, which is everybody's.
 *
 * Used by mutations.ts, whose comment says what a mutation is.
 */
import type { Change, Mutation } from './mutations.ts';

const LIST = 'src/confine/list.ts';
const EXEC = 'src/confine/exec.ts';
const GATE = 'src/dataplane/gate.ts';
const EGRESS = 'src/net/both/egress.ts';
const CALLS = 'src/tcp/calls.ts';
const OUTPUT = 'src/control/children/output.ts';

/** The file that a case of the suite is in. */
export function attackFile(name: string): string {
  const [who = ''] = /^(dataplane|peer)(?=_)/.exec(name) ?? [];
  const file = { dataplane: 'dataplane', peer: 'peers' }[who] ?? 'attacks';
  return `test/attacks/${file}.live.test.ts`;
}

const change = (file: string, find: string, replace: string): Change => ({ file, find, replace });

function attack(
  name: string,
  first: Change,
  cases: readonly [string, ...string[]],
  ...behind: Change[]
): Mutation {
  const [own, ...rest] = cases;
  return { name, ...first, test: [attackFile(own), own], cases: rest, behind };
}

/** The rule of one call, and the list of calls behind it: what is not in that is refused, too. */
const allowed = (find: string, call: string): Change =>
  change(LIST, find, `{ call: '${call}', answer: 'allow' },`);
const byCall = (how: string): string => `setIdBits_by${how}_areRefused`;

/** Neither a user nor a mode of its own. */
const NO_USER = change(EXEC, "if (user) step('user', () => becomeUser(user));", '');
const NO_FCHMOD = change(LIST, "refuseMode('fchmod', 1),", '');
const NO_FCHMODAT = change(LIST, "refuseMode('fchmodat', 2),", '');

const OF_MODES: Mutation[] = [
  attack('no set-id bits by fchmod', NO_FCHMOD, [
    byCall('FchmodOfItsOwnFile'),
    'setIdBits_keptByARename_wereNeverThere',
  ]),
  attack('no set-id bits by fchmodat', NO_FCHMODAT, [byCall('Fchmodat')]),
  attack('no set-id bits by open', change(LIST, "refuseModeOfNew('open', 1),", ''), [
    byCall('Open'),
  ]),
  attack('no sticky bits by mkdir', change(LIST, "refuseMode('mkdir', 1),", ''), [byCall('Mkdir')]),
  attack('no sticky bits by mkdirat', change(LIST, "refuseMode('mkdirat', 2),", ''), [
    byCall('Mkdirat'),
  ]),
  attack('no set-id bits by creat; no creat', allowed("refuseMode('creat', 1),", 'creat'), [
    byCall('Creat'),
  ]),
  attack('no set-id bits by mknod; no mknod', allowed("refuseMode('mknod', 1),", 'mknod'), [
    byCall('Mknod'),
  ]),
  attack('no set-id bits by mknodat; no mknodat', allowed("refuseMode('mknodat', 2),", 'mknodat'), [
    byCall('Mknodat'),
  ]),
  attack(
    'no set-id bits by openat2; no openat2',
    allowed("{ call: 'openat2', answer: { errno: EPERM } },", 'openat2'),
    [byCall('Openat2')],
  ),
  attack('no fchmodat2', change(LIST, "{ call: 'fchmodat2', answer: { errno: ENOSYS } },", ''), [
    'setIdBits_byFchmodat2_callIsNotThere',
  ]),
  attack(
    'no set-id bits of files without a name',
    change(LIST, 'const MAKES = 0o100 | 0o20000000;', 'const MAKES = 0o100;'),
    ['setIdBits_ofAFileWithoutAName_areRefused'],
  ),
  attack(
    'no set-id bits of what is inherited; it is of another user',
    NO_FCHMOD,
    ['setIdBits_ofWhatItInherited_areRefused'],
    NO_USER,
  ),
  attack(
    'no set-id bits by names of descriptors; they are of another user',
    NO_FCHMODAT,
    ['setIdBits_throughItsOwnDescriptorsInProc_areRefused'],
    NO_USER,
  ),
  attack('files of one application are for the next', change(EXEC, 'process.umask(0o002);', ''), [
    'directory_madeInGivenOne_isOrdinary',
  ]),
];

const OF_THE_GATE: Mutation[] = [
  attack(
    'all of an address is compared',
    change(EGRESS, '(words[at + 3]! & ranges[r + 7]!) === ranges[r + 3]!', 'ranges[r + 7] !== 1'),
    ['egress_connectionsToOthers_areDeniedAndCounted'],
  ),
  attack(
    'an address is read once',
    change(
      GATE,
      'const address = this.#peer(to);\n    return address === 0 ? CODE.NO_ROUTE : this.#tcp.connect(',
      'const address = this.#peer(this.#addressee(w + 2));\n    return address === 0 ? CODE.NO_ROUTE : this.#tcp.connect(',
    ),
    ['egress_addressRewrittenWhileItIsChecked_isAllowedOrDenied'],
  ),
  attack(
    'who has asked is answered from where he has asked',
    change(EGRESS, 'heard[at + 4] === ports &&', 'heard[at + 4] !== 0 &&'),
    ['egress_datagramToWhoHasAsked_isForItsPortFromThatSocketOnly'],
    change(EGRESS, 'Math.imul(hash ^ (hash >>> 15) ^ ports, 0x165667b1)', 'hash'),
  ),
  attack('denials are counted', change(GATE, 'this.#counters.bump(C_EGRESS);', ''), [
    'egress_deniedByTheThousand_isCountedAndDoesNotStarveTheRest',
  ]),
  attack(
    'intervals and counts of keepalive have a range',
    change(CALLS, 'if (count < 0 || count > KEEPALIVE_COUNT_MAX) return CODE.BAD_RANGE;', ''),
    ['keepalive_intervalsAndCountsOutOfRange_areBadRange'],
  ),
  attack('marks have a range', change(CALLS, 'codePoint < 0 || codePoint > 63', 'codePoint < 0'), [
    'marking_hopsAndCodePointsOutOfRange_areBadRange',
  ]),
  attack(
    'a turn is waited for a few times',
    change('src/domain/process.ts', 'const LOOKS_MAX = 8;', 'const LOOKS_MAX = 1e9;'),
    ['header_dataplaneWokenWithoutADoneTurn_goesOn'],
  ),
];

const OF_PEERS: Mutation[] = [
  attack(
    'a peer that answers is there',
    change(
      'src/tcp/input.ts',
      'i32[row + TCB.lastRxMs] = this.#clock.ms;\n    i32[row + TCB.keepProbes] = 0;',
      '',
    ),
    ['keepalive_everyMillisecondOnManyFlows_nobodyDiesAndNobodyWaits'],
    change(
      'src/tcp/synchronized.ts',
      'this.#i32[row + TCB.lastRxMs] = this.#clock.ms;\n    this.#i32[row + TCB.keepProbes] = 0;',
      '',
    ),
  ),
  attack(
    'connections of our own are of no source',
    change(
      'src/tcp/tcp.ts',
      'const perSource = new PerSource(env, ip);',
      'const perSource = new PerSource(env, ip);\n    const { push } = flows.connecting;\n    flows.connecting.push = (row) => {\n      push.call(flows.connecting, row);\n      perSource.opened(flows.i32[row + TCB.remote]!);\n    };',
    ),
    ['quotaOfASource_connectionsOfTheApplicationItself_areNotItsPeers'],
    change(
      'src/tcp/tcp.ts',
      "import { Flows } from './flows.ts';",
      "import { Flows } from './flows.ts';\nimport { TCB } from './tcb.ts';",
    ),
  ),
];

/** What a child says, prints and holds. */
const OF_CHILDREN: Mutation[] = [
  attack(
    'what a child says of its end is cut',
    change(
      'src/child/config.ts',
      "const Failed = v.object({ type: v.literal('failed'), code: said(64), message: said(8192) });",
      "const Failed = v.object({ type: v.literal('failed'), code: said(64), message: v.string() });",
    ),
    ['channel_failureAsLongAsALine_isCutAndNamed'],
  ),
  attack(
    'an answer is to its question',
    change(
      'src/control/children/launch.ts',
      'this.#open.get(number)?.resolve(answer);',
      'for (const each of this.#open.values()) each.resolve(answer);',
    ),
    ['dataplane_answersThatNobodyAskedFor_nobodyElseNotices'],
  ),
  attack(
    'what is printed goes into no file',
    change(
      OUTPUT,
      'theirs: pipes.map(({ write }) => write),',
      "theirs: pipes.map(() => openSync('/tmp', 0o20200002)),",
    ),
    ['outputOfTheControlPlane_cutOrMovedIn_isAPipe'],
  ),
  attack(
    'what is printed goes to no terminal',
    change(
      OUTPUT,
      'theirs: pipes.map(({ write }) => write),',
      "theirs: pipes.map(() => openSync('/dev/ptmx', constants.O_RDWR | O_NOCTTY | O_NONBLOCK)),",
    ),
    ['terminalOfTheControlPlane_asked_isNone', 'inputOfTheControlPlane_read_isNotThere'],
  ),
  attack(
    'what is printed has descriptions of its own',
    change(
      'src/control/children/child.ts',
      "const stdio = ['ignore' as const, ...outputs.theirs, theirs, ...inherited.fds];",
      "const stdio = ['ignore' as const, 1, 2, theirs, ...inherited.fds];",
    ),
    ['outputOfTheControlPlane_madeNotToWait_isItsOwnEndOnly'],
  ),
  attack('not dumpable for good', change(LIST, 'const PRCTL = [15,', 'const PRCTL = [4, 15,'), [
    'core_dumped_isNeitherFileNorGivenAway',
  ]),
  attack(
    'sockets are closed by execve; and before it',
    change(
      'src/nic/privileged/attach.ts',
      'const type = SOCK_RAW_CLOEXEC | SOCK_NONBLOCK;',
      'const type = (SOCK_RAW_CLOEXEC & 0xffff) | SOCK_NONBLOCK;',
    ),
    ['doorbellOfAnotherQueue_isNotThere'],
    change('src/confine/descriptors.ts', 'const result = mark(last + 1);', 'const result = 0;'),
  ),
  attack(
    'a name that is there, not a lock',
    change(
      'bin/ix',
      'due() { packages_due',
      'exec 9<"$root/build/sys.node"\nflock 9\ndue() { packages_due',
    ),
    ['locks_onWhatItSees_holdNobodyUp'],
  ),
];

export const ATTACK_MUTATIONS: readonly Mutation[] = [
  ...OF_MODES,
  ...OF_THE_GATE,
  ...OF_PEERS,
  ...OF_CHILDREN,
];

/** Cases that must notice what the other tables take away, by its name there. */
export const CASES: Readonly<Record<string, readonly string[]>> = {
  'no set-id bits by chmod': [byCall('Chmod')],
  'no set-id bits by openat': [byCall('Openat')],
  'no sticky and set-group-ID bits': ['setGroupId_ofTheGroupOfAllApplications_isRefused'],
  'the list of system calls': ['setIdBits_byMakingAnOwnUserOfAnotherFile_isRefused'],
  'no watches': ['watches_ofFilesOfOthers_areRefused'],
  'whom an application may connect to': [
    'egress_connectionsToOthers_areDeniedAndCounted',
    'egress_everyBitOfTheAllowedAddressFlipped_isDenied',
  ],
  'whom an application may send to': ['egress_datagramsToWhoHasNotAsked_areDenied'],
  'a search for ports has an end': ['localPorts_toOnePeerUsedUp_searchesAreBounded'],
  'connections of one source': ['quotaOfASource_onePeerOpensMany_restAreDroppedAndPeersNamed'],
  "what is another thread's is handed on": ['peer_piecesAndPriorityTags_reachTheThreadOfTheirFlow'],
  'frames of a VLAN are not ours': ['peer_framesOfAVlanAndPiecesThatOverlap_areNobodysAndCounted'],
  'a quarter of reassembly for each source': ['peer_piecesThatNeverEnd_costTheirSenderOnly'],
  F_SEAL_FUTURE_WRITE: ['readOnlyMemory_removedByAdvice_isRefused'],
  RLIMIT_CORE: ['core_dumped_isNeitherFileNorGivenAway'],
  'not dumpable': ['core_dumped_isNeitherFileNorGivenAway'],
  'no sending by sockets': ['dataplane_bytesThroughItsDoorbell_nobodyElseNotices'],
  "the host's end of a link believes nothing": [
    'dataplane_advertisementsOfARouter_nobodyElseNotices',
  ],
  'depth of what a child says': [
    'dataplane_reportsNestedHugeAndMany_nobodyElseNotices',
    'channel_reportNestedDeeply_isTakenOrDropped',
  ],
  'children print into pipes': ['inputOfTheControlPlane_read_isNotThere'],
};

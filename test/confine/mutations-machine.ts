/**
 * What keeps a control plane from other users of the machine, and from what its children print and
 * have captured, taken away one at a time.
 *
 * Used by mutations.ts, whose comment says what a mutation is.
 */
import type { Mutation } from './mutations.ts';

const OTHERS = 'test/control/record/records-of-others.test.ts';
const OUTPUT = 'test/control/children/output.test.ts';
const DESCRIPTORS = 'test/control/record/descriptors.test.ts';
const CAPTURE = 'test/control/children/capture-file.test.ts';

const STATE = 'src/control/record/state.ts';

const other = (
  name: string,
  file: string,
  find: string,
  replace: string,
  test: string,
): Mutation => {
  return { name, file, find, replace, test: [OTHERS, test] };
};
export const MACHINE_MUTATIONS: readonly Mutation[] = [
  other(
    'processes of others are theirs',
    'src/control/record/instances.ts',
    'owner === ourselves() || owner === 0 ? users : [owner];',
    'owner === -1 ? [owner] : users;',
    'theirRecordOfOurProcess_isNotBelieved',
  ),
  other(
    'a record is true',
    'src/control/record/instances.ts',
    'nameOf(instance) === name && isTrue(instance) ?',
    'nameOf(instance) === name ?',
    'theirRecordOfOurProcess_isNotBelieved',
  ),
  other(
    'a record has its own name',
    'src/control/record/instances.ts',
    'nameOf(instance) === name && isTrue(instance) ?',
    'isTrue(instance) ?',
    'fieldsOutOfForm_areNoRecord',
  ),
  other(
    'an address is held by our own',
    'src/control/record/instances.ts',
    '(each) => each.namespace === namespace && (isOurs(each) || each.owner === 0),',
    '(each) => each.namespace === namespace,',
    'theirRecordOfTheirProcess_isShownAndEndedButNeitherHeldNorAdoptedNorSwept',
  ),
  other(
    'nobody adopts of another',
    'src/control/service/adopt.ts',
    ' && each.namespace === namespace && isOurs(each),',
    ' && each.namespace === namespace,',
    'theirRecordOfTheirProcess_isShownAndEndedButNeitherHeldNorAdoptedNorSwept',
  ),
  other(
    'the directory is ours alone',
    STATE,
    'if ((mode & OTHERS_MAY_WRITE) === 0) return { fd, owner: uid };',
    'if (mode > 0) return { fd, owner: uid };',
    'directoryThatOthersMayWriteTo_countsForNothing',
  ),
  other(
    'the directory is ours',
    STATE,
    'if (found.owner === ourselves()) return realpathSync(path);',
    'return realpathSync(path);',
    'theirRecordOfOurProcess_isNotBelieved',
  ),
  other(
    'a file is of who its directory is',
    STATE,
    'uid !== owner || size',
    'size',
    'fileOfAThirdUserInTheirDirectory_countsForNothing',
  ),
  other(
    'no links',
    STATE,
    'const READ_SAFELY = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;',
    'const READ_SAFELY = O_RDONLY | O_NONBLOCK;',
    'linkInPlaceOfTheDirectory_isNotFollowed',
  ),
  other(
    'no waiting for a writer',
    STATE,
    'const READ_SAFELY = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;',
    'const READ_SAFELY = O_RDONLY | O_NOFOLLOW;',
    'namesThatAreNoRecords_areNotWaitedForNorFollowed',
  ),
  other(
    "the lock is its owner's",
    STATE,
    'if ((fstatSync(fd).mode & 0o077) !== 0) fchmodSync(fd, 0o600);',
    'void fchmodSync;',
    'lock_readByAnother_cannotBeHeld',
  ),
  other(
    'counters are memory that cannot shrink',
    'src/control/record/statistics.ts',
    'seals >= 0 && (seals & F_SEAL_SHRINK) !== 0 && isProcess',
    'seals > -1e9 && isProcess',
    'fileThatCanShrinkInPlaceOfTheCounters_isNotRead',
  ),
  other(
    'counters are a file',
    'src/control/record/statistics.ts',
    "if (!statSync(path).isFile()) throw new Error('no file');",
    'openSync(path, constants.O_RDONLY);',
    'fifoInPlaceOfTheCounters_statDoesNotWait',
  ),
  other(
    'names are shown as escapes',
    'src/printable.ts',
    'text.replace(UNPRINTABLE, escaped)',
    'text.replace(/^$/u, escaped)',
    'theirNames_printed_areShownAsEscapes',
  ),
  {
    name: 'a process is of its user',
    file: 'src/native/process.ts',
    find: ' || !users.includes(userOf(pid) ?? -1)',
    replace: '',
    test: [DESCRIPTORS, 'openProcess_anotherUsersOrAnotherProgram_refused'],
  },
  {
    name: 'a process runs its program',
    file: 'src/native/process.ts',
    find: "return now.program === '' ? mayBeHidden : now.program === program;",
    replace: 'return now.program.length + program.length > 0 || mayBeHidden;',
    test: [DESCRIPTORS, 'openProcess_anotherUsersOrAnotherProgram_refused'],
  },
  {
    name: 'a capture follows no link',
    file: 'src/control/children/capture-file.ts',
    find: 'O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK',
    replace: 'O_WRONLY | O_CREAT | O_NONBLOCK',
    test: [CAPTURE, 'capture_link_isNotFollowed'],
  },
  {
    name: 'a later capture opens nothing',
    file: 'src/control/children/capture-file.ts',
    find: 'O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW',
    replace: 'O_WRONLY | O_CREAT',
    test: [CAPTURE, 'capture_laterLife_takesAFreeNameAndOpensNothingThatIsThere'],
  },
  {
    name: 'children print into pipes',
    file: 'src/control/children/child.ts',
    find: "const stdio = ['ignore' as const, ...outputs.theirs, theirs, ...inherited.fds];",
    replace: "const stdio = ['inherit' as never, 1, 2, theirs, ...inherited.fds];",
    test: [OUTPUT, 'child_onATerminal_readsNothingThatIsTypedThere'],
  },
  {
    name: 'a terminal gets text',
    file: 'src/control/children/output.ts',
    find: 'Buffer.from(printableText(text))',
    replace: 'Buffer.from(text)',
    test: [OUTPUT, 'child_printsEscapesToATerminal_areShownAsText'],
  },
  {
    name: 'nobody waits for who reads',
    file: 'src/control/children/output.ts',
    find: "if (sys.syscall(callNumber('ppoll'), pollfd, 1, now, 0, 0) === 0) return 0;",
    replace: 'fd = fd > 2 ? 1 : fd;',
    test: [OUTPUT, 'child_floodsAReaderWhoDoesNotRead_controlPlaneGoesOn'],
  },
  {
    name: 'EPIPE is no end',
    file: 'src/child/channel.ts',
    find: "for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});",
    replace: '',
    test: [OUTPUT, 'orphan_printsMoreThanAPipeHolds_neitherEndsNorWaits'],
  },
];

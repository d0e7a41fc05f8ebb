/**
 * Bad input to the command line of a machine that could serve: exit code 2, nothing on standard
 * output, and one line that says what is wrong and, behind a semicolon, what to do. Endings:
 * nothing is left.
 *
 * What a machine may lack (npm, a compiler, packages) is test/control/children/launcher.test.ts.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Netlink } from '../../src/control/link/netlink.ts';
import { enterNamespace, linkNames } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs, type Outcome, run } from './programs.ts';
import { IX, ROOT, Serving } from './serving.ts';

enterNamespace();

/** Words, and what the one line says. */
const REFUSED: readonly [words: string, says: RegExp][] = [
  ['frobnicate', /unknown command/],
  ['serve', /missing required argument/],
  ['serve nosuch', /no application nosuch; use kv, echo/],
  ['serve kv word', /'word' is not a setting; write it like name=value/],
  ['serve kv --wrong', /unknown option '--wrong'/],
  ['serve kv --port 0', /-p takes a whole number from 1 to 65535, not '0'/],
  ['serve kv --ip 10.77.0.300', /'10.77.0.300' is not an IPv4 address; write it like/],
  ['serve kv --ip 127.0.0.1', /127.0.0.1 cannot be the address of a host; choose another/],
  ['serve kv --nic nosuch0', /there is no interface nosuch0; choose --nic veth/],
  ['serve kv --nic ixdown', /ixdown is down; try: ip link set ixdown up/],
  ['serve kv --nic lo', /lo is not an Ethernet interface; choose another/],
  ['serve kv --ip 10.99.0.1/24', /10.99.0.1 is an address of this machine \(ixother\); stop it/],
  ['serve kv --ip 10.99.0.2/24', /network that is there already .*ixother\); stop it or choose/],
  ['serve kv --domain kernel', /--domain takes inline, process, not 'kernel'/],
  ['serve kv --idle never', /--idle takes spin, adaptive, sleep, not 'never'/],
  ['serve kv --cpu 999', /there is no core 999; --cpu takes 0 to/],
  ['serve kv --threads 2', /kv keeps its values in one thread/],
  ['serve kv -m 0', /-m takes a whole number/],
  ['serve kv m=100000', /kv: m \(MiB\) must be a whole number from 1 to/],
  ['serve kv m=1400', /kv: -m 1400 needs \d+ MiB more application memory: start with more/],
  ['serve bulk bytes=x', /bulk: bytes takes a whole number/],
  ['serve kv --capture /nonexistent/x.pcap', /--capture .*ENOENT; give the path of a file/],
  ['serve kv --impair loss=2', /--impair: 'loss=2' is not an impairment; it takes loss/],
  ['run nosuch.ts', /there is no file .*nosuch.ts; give the path/],
  ['stat', /nothing runs here; start it with: npm start/],
  ['stop', /stop takes a name or an address, or --all; see: bin\/ix stat/],
  ['stop kv --all', /stop takes a name or an address, or --all/],
  ['stop kv', /nothing runs here as kv; see: bin\/ix stat/],
  ['stat --ip x', /'x' is not an IPv4 address/],
  ['bench nosuch', /there is no benchmark nosuch; there are: /],
  ['bench echo --rounds 0', /rounds.*; see: bin\/ix bench echo --help/],
];

function assertRefused({ exitCode, output, errors }: Outcome, says: RegExp): void {
  assert.equal(exitCode, 2, errors);
  assert.equal(output.toString(), '');
  assert.match(errors, says);
  assert.match(errors, /^ix: [^\n]+\n$/, 'one line');
}

const ix = (...words: string[]): Promise<Outcome> => run([IX, ...words], { cwd: ROOT });

describe('refusals', { skip: needs(), timeout: 120_000 }, () => {
  before(() => {
    const netlink = new Netlink();
    netlink.addVeth({ name: 'ixdown' }, { name: 'ixother' });
    const other = netlink.link('ixother')!;
    netlink.setUp(other.index);
    netlink.addAddress(other.index, (10 << 24) | (99 << 16) | 1, 24);
    netlink.close();
  });
  after(() => {
    const netlink = new Netlink();
    netlink.deleteLink(netlink.link('ixdown')!.index);
    netlink.close();
  });

  for (const [words, says] of REFUSED) {
    test(`${words.replaceAll(' ', '_')}_oneLineAndExit2`, async () => {
      assertRefused(await ix(...words.split(' ')), says);
      assert.deepEqual(linkNames(), ['ixdown', 'ixother'], 'nothing was left behind');
    });
  }
});

describe('endings', { skip: needs('setpriv'), timeout: 120_000 }, () => {
  test('addressServed_secondStart_oneLineNamesTheFirst', async () => {
    await using serving = await Serving.start(['echo']);
    const says = new RegExp(`^ix: 10.77.0.2 is already served by ix pid ${serving.facts.pid}; `);
    assertRefused(await ix('serve', 'kv'), says);
    await serving.stop();
  });

  test('nobody_nicAskedFor_oneLineNamesPrivilegeAndRemedy', async (t) => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const { exitCode } = await run([...nobody, 'test', '-r', join(ROOT, 'package.json')]);
    // A clone in somebody's home: then as root without capabilities, which the kernel treats alike.
    const stripped = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'];
    const who = exitCode === 0 ? nobody : stripped;
    t.diagnostic(who.join(' '));
    for (const nic of ['veth', 'tap']) {
      const outcome = await run([...who, IX, 'serve', 'kv', '--nic', nic], { cwd: ROOT });
      assertRefused(outcome, /not allowed to make .*CAP_NET_ADMIN.*; run as root, or: /);
    }
  });

  test('interruptedWhileServing_peersResetExit0NothingLeft', async () => {
    await using serving = await Serving.start(['kv', '--domain', 'process']);
    const client = await Client.open(serving.address, serving.port);
    const reset = once(client.socket, 'close').catch((error) => error.code);
    await serving.stop();
    assert.equal(await reset, 'ECONNRESET', 'not forgotten');
    for (const pid of serving.pids) assert.throws(() => process.kill(pid, 0), `${pid} is gone`);
  });

  for (const domain of ['inline', 'process']) {
    test(`${domain}_tiedKilled9_everythingDiesAndNextStartSweeps`, async () => {
      const first = await Serving.start(['kv', '--domain', domain, '--tied']);
      first.child.kill('SIGKILL');
      await first.exit;
      const started = Date.now();
      const isAlive = (pid: number): boolean => {
        try {
          process.kill(pid, 0);
          return true;
        } catch {
          return false;
        }
      };
      while (first.pids.some(isAlive) && Date.now() - started < 5000) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assert.deepEqual(first.pids.filter(isAlive), [], 'the kernel ends what it had started');
      await using second = await Serving.start(['kv']);
      assert.deepEqual(linkNames(), ['ix0', 'ix1'], 'the old links are gone');
      await second.stop();
    });
  }
});

/** Applications that cannot start: what they are, and the one line. `{}` is their directory. */
const UNSTARTABLE: readonly [name: string, text: string, says: RegExp][] = [
  ['noDefaultExport', 'export default 0;', /^ix: {}\/app.ts has no default export .*; write: /],
  ['syntaxError', 'const a = 0;\nexport defau f;', /^ix: {}\/app.ts:2: .*; correct this line/],
  ['enum', 'export enum A { b }', /^ix: {}\/app.ts:1: TypeScript enum is not supported.*; correct/],
  [
    'missingPackage',
    "import 'nosuch';",
    /^ix: .*'nosuch' .* {}\/app.ts; install it: npm --prefix {} /,
  ],
  ['missingFile', "import './no.ts';", /^ix: .*{}\/no.ts.*; correct .* --allow-read DIRECTORY/],
  [
    'noSuchName',
    "import { no } from 'node:fs'; export default () => no;",
    /^ix: {}\/app.ts:1: .* named 'no'; correct this/,
  ],
  [
    'noSuchNameInAProgram',
    "import { no } from 'node:fs';",
    /^ix: {}\/app.ts, or what it imports: .* named 'no'; correct the import/,
  ],
  [
    'unreadableFile',
    "import { readFileSync } from 'node:fs'; readFileSync('/etc/passwd');",
    /^ix: {}\/app.ts: .*'\/etc\/passwd'; .*allow it with --allow-read \/etc\/passwd/,
  ],
  [
    'unwritableFile',
    `import { writeFile } from 'node:fs/promises';
     export default (ix) => writeFile(import.meta.dirname + '/new', '');`,
    /^ix: {}\/app.ts: EROFS.*; allow it with --allow-write {}/,
  ],
  [
    'refusedCall',
    `import { once } from 'node:events'; import { spawn } from 'node:child_process';
     export default async (ix) => { await once(spawn('ls'), 'exit'); };`,
    /^ix: {}\/app.ts: spawn EPERM; a confined application may not .*--unconfined/,
  ],
  [
    'portInUse',
    'export default (ix) => { for (let i = 0; i < 2; i++) ix.listen(7, { received: () => 0 }); };',
    /^ix: port 7 is in use already \(IN_USE\); choose another/,
  ],
];

describe('applications that cannot start', { skip: needs(), timeout: 240_000 }, () => {
  const runText = async (
    text: string,
    domain: string,
    manifest?: string,
  ): Promise<Outcome & { where: string }> => {
    const where = mkdtempSync(join(tmpdir(), 'ix-acceptance-'));
    chmodSync(where, 0o755);
    try {
      writeFileSync(join(where, 'app.ts'), text);
      if (manifest !== undefined) writeFileSync(join(where, 'package.json'), manifest);
      const outcome = await ix('run', join(where, 'app.ts'), '--domain', domain);
      assert.deepEqual(linkNames(), [], 'nothing was left behind');
      return { where, ...outcome };
    } finally {
      rmSync(where, { recursive: true });
    }
  };

  test('moduleInAFolderThatSaysCommonJs_remedyNamesBothWays', async () => {
    const text = 'export default () => {};\n';
    const { where, ...outcome } = await runText(text, 'process', '{ "type": "commonjs" }');
    assert.equal(outcome.exitCode, 2);
    const problem = `ix: ${where}/app.ts:1: Unexpected token 'export'; `;
    const remedy =
      'its package.json says CommonJS: write "type": "module" there, or name it app.mts';
    assert.ok(outcome.errors.includes(`${problem}${remedy}\n`), outcome.errors);
  });

  for (const domain of ['inline', 'process']) {
    for (const [name, text, says] of UNSTARTABLE) {
      test(`${domain}_${name}_oneLineWithTheRemedyAndExit2`, async () => {
        const { where, ...outcome } = await runText(text, domain);
        assertRefused(outcome, new RegExp(says.source.replaceAll('{}', where)));
      });
    }

    test(`${domain}_faultOfItsOwn_namedWithItsStackAndExit1`, async () => {
      const text = "export default () => {\n  throw new Error('not my day');\n};\n";
      const { where, exitCode, output, errors } = await runText(text, domain);
      assert.equal(exitCode, 1);
      assert.equal(output.toString(), '');
      const said = `^ix: ${where}/app.ts failed to start: Error: not my day\n +at .*app.ts:2:9`;
      assert.match(errors, new RegExp(said));
    });
  }
});

/**
 * Where the XDP program runs and how frames are copied: `serve`, `stat` and `doctor` say it; what
 * is insisted on is that or nothing.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { enterNamespace } from '../control/namespace.ts';
import { makeVeth } from '../nic/links.ts';
import { needs, run } from './programs.ts';
import { IX, Serving } from './serving.ts';

enterNamespace();

const said = async (...words: string[]): Promise<string> =>
  (await run([IX, ...words])).output.toString();

/** What a command that is refused says: one line, exit code 2. */
async function refusal(...words: string[]): Promise<string> {
  const { exitCode, output, errors } = await run([IX, 'serve', 'echo', ...words]);
  assert.equal(exitCode, 2, errors);
  assert.equal(output.toString(), '');
  assert.match(errors, /^ix: [^\n]+\n$/);
  return errors;
}

describe('xdp', { skip: needs(), timeout: 300_000 }, () => {
  test('vethOfOurOwn_serveStatAndDoctorSayModeCopyAndWhy', async () => {
    await using serving = await Serving.start(['echo', '--domain', 'inline']);
    const { xdp } = serving.facts;
    assert.deepEqual([xdp?.mode, xdp?.copy], ['generic', 'copy']);
    assert.match(xdp?.why ?? '', /generic mode is the faster one.*; generic mode has no zero-copy/);
    const line = `veth: generic XDP, copy (${xdp?.why})`;
    assert.ok((await said('stat')).includes(`\n  ${line}\n`));
    assert.deepEqual(JSON.parse(await said('stat', '--json')).instances[0].xdp, xdp);
    assert.ok((await said('doctor')).includes(`echo at ${serving.address}: ${line}`));
    await serving.stop();
  });

  test('nativeCopyInsisted_isNativeCopy', async () => {
    await using serving = await Serving.start(['echo', '--xdp', 'native-copy']);
    const why = 'copies were asked for';
    assert.deepEqual(serving.facts.xdp, { mode: 'native', copy: 'copy', why });
    await serving.stop();
  });

  test('zerocopyInsisted_driverHasNone_oneLineAndExit2', async () => {
    assert.match(await refusal('--xdp', 'zerocopy'), /zero-copy mode: .*leave out --xdp zerocopy/);
  });

  test('nativeRefused_theKernelsOwnWordsAreSaid', async (t) => {
    t.after(makeVeth('ixva', 'ixvb'));
    for (const name of ['ixva', 'ixvb']) {
      execFileSync('ip', ['link', 'set', name, 'mtu', '9000']);
    }
    const nic = ['--nic', 'ixva', '--ip', '10.99.0.2/24', '--domain', 'inline'];
    assert.match(await refusal(...nic, '--xdp', 'native'), /Peer MTU is too large to set XDP/);
    await using serving = await Serving.start(['echo', ...nic]);
    const { xdp } = serving.facts;
    assert.equal(xdp?.mode, 'generic');
    assert.match(
      xdp?.why ?? '',
      /^native mode refused: (\w+: )?Peer MTU is too large to set XDP \(ERANGE/,
    );
  });
});

/** Every scenario of every packet script in this folder (script.ts says how they are written). */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Player } from './player.ts';
import { parse, ScriptError } from './script.ts';

const FOLDER = dirname(fileURLToPath(import.meta.url));

for (const file of globSync('*.script', { cwd: FOLDER }).sort()) {
  for (const scenario of parse(file, readFileSync(join(FOLDER, file), 'utf8'))) {
    test(`${basename(file, '.script')}: ${scenario.name}`, async () => {
      new Player(scenario).play();
      // So that the runner's pipe is emptied: with --test-force-exit the rest would be lost.
      await setImmediate();
    });
  }
}

/** What a script says when it does not come true. */
function failure(source: string): string {
  const [scenario] = parse('test', source);
  try {
    new Player(scenario!).play();
  } catch (error) {
    assert.ok(error instanceof ScriptError, `${error}`);
    return error.message.split('\n')[0]!;
  }
  return 'it came true';
}

const OPEN = '== x\nlisten\n< S 0 <mss 1000>\n> SA 0 ack 1\n+10 < A 1 ack 1\naccept\n';

test('script_wrongExpectation_failsAtItsLine', () => {
  assert.equal(failure(`${OPEN}write 10\n> PA 1:11\n`), 'it came true');
  assert.match(failure(`${OPEN}write 10\n> PA 1:12\n`), /^test:8: the length differs/);
  assert.match(failure(`${OPEN}write 10\n> A 1:11\n`), /^test:8: flags differs/);
  assert.match(failure(`${OPEN}write 10\n> PA 1:11 ack 2\n`), /^test:8: ack differs/);
  assert.match(failure(`${OPEN}write 10\n> PA 1:11 <ts>\n`), /^test:8: ts differs/);
  assert.match(failure(`${OPEN}write 10\nquiet 5\n`), /^test:8: before this line there was/);
  assert.match(failure(`${OPEN}> A 1\n`), /^test:7: nothing came/);
  assert.match(failure(`${OPEN}write 10\n+5 > PA 1:11\n`), /^test:8: wanted at/);
  assert.match(failure(`${OPEN}state closed\n`), /^test:7: it is established/);
  assert.match(failure(`${OPEN}field cwnd <100\n`), /^test:7: it is \d+/);
  assert.match(failure(`${OPEN}dance\n`), /^test:7: unknown word dance/);
});

test('script_badSyntax_namesTheLine', () => {
  for (const line of ['< Q 0', '< S zero', '< S 0 <speed 3>', '+9..3 < S 0', '< S 0 ack x']) {
    assert.throws(() => parse('test', `== x\n${line}`), /test:2: /, line);
  }
  assert.throws(() => parse('test', '< S 0'), /before the first/);
  assert.throws(() => parse('test', '== x\nhost loud'), /not name=value/);
});

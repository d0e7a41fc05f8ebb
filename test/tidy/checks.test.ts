/**
 * Every check of the tidy test complains where it should: of each, a tree that it refuses, in these
 * words, and its neighbour that it lets pass.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Check,
  COLUMNS,
  callersThatDoNotCall,
  FILE_LINES,
  FUNCTION_LINES,
  headless,
  importsOut,
  importsUp,
  longFiles,
  longFunctions,
  longLines,
  pathsGone,
  roomsAsDrawn,
  typesTwice,
} from './checks.ts';
import { Plan } from './rooms.ts';
import { Tree } from './source.ts';

const PLAN = new Plan('top  what people call\nleft right\nground  under both');
const LONG = 'x'.repeat(COLUMNS);

const said = (check: Check, texts: Record<string, string>): string => check(new Tree(texts)).join();

const importing = (path: string): string => `import { a } from '${path}';\nimport('${path}');\n`;

describe('imports', () => {
  test('importUp_andSideways_areFound_downAndOfAType_too', () => {
    const up = importsUp(PLAN);
    assert.equal(said(up, { 'src/top/a.ts': importing('../left/b.ts') }), '');
    assert.equal(said(up, { 'src/left/a.ts': importing('./b.ts') }), '');
    assert.match(said(up, { 'src/left/a.ts': importing('../right/b.ts') }), /^[^,]*below left$/);
    assert.match(said(up, { 'src/ground/a.ts': "import type { T } from '../top/b.ts';" }), /below/);
    assert.match(said(up, { 'src/ground/a.ts': "export * from '../top/b.ts';" }), /below ground/);
    assert.match(said(up, { 'src/attic/a.ts': importing('../top/b.ts') }), /give attic a floor/);
  });

  test('whatOnlyLooksLikeAnImport_isNone', () => {
    const text = "// import { a } from '../top/b.ts';\nconst s = \"import('../top/b.ts')\";\n";
    assert.equal(said(importsUp(PLAN), { 'src/ground/a.ts': text }), '');
  });

  test('srcImportingABenchmark_isFound_benchmarkImportingSrc_isNot', () => {
    assert.match(said(importsOut, { 'src/a.ts': importing('../bench/b.ts') }), /src stands below/);
    assert.match(said(importsOut, { 'src/a/a.ts': importing('../../tools/b.ts') }), /tools\/b/);
    assert.equal(said(importsOut, { 'bench/b.ts': importing('../src/a.ts') }), '');
    assert.equal(said(importsOut, { 'src/a.ts': importing('./b.ts') }), '');
  });
});

test('roomDrawnOrThere_butNotBoth_isFound', () => {
  const drawn = roomsAsDrawn(PLAN);
  const all = {
    'src/top/a.ts': '',
    'src/left/a.ts': '',
    'src/right/a.ts': '',
    'src/ground.ts': '',
  };
  assert.equal(said(drawn, { ...all, 'test/attic/a.ts': '' }), '');
  assert.equal(said(drawn, { ...all, 'src/attic/a.ts': '' }), 'attic is not drawn: draw it');
  const { 'src/left/a.ts': _, ...others } = all;
  assert.equal(said(drawn, others), 'left is drawn, not there');
});

describe('lines', () => {
  const linesFound = (...lines: string[]): number[] =>
    longLines(new Tree({ 'src/a.ts': lines.join('\n') })).map((line) => Number(line.split(':')[1]));

  test('longLine_ofCodeOrComment_isFound_stringAlone_isNot', () => {
    assert.deepEqual(linesFound('short();', `call(${LONG});`, `// ${LONG}`), [2, 3]);
    assert.deepEqual(linesFound('a = {', `  b:`, `  '${LONG}',`, `  key: '${LONG}',`, '}'), [4]);
  });

  test('longLine_ofATable_isNot_behindIt_isFound', () => {
    const table = ['// biome-ignore format: a table', 'a = [', `  f(${LONG}),`, '];'];
    assert.deepEqual(linesFound(...table, `g(${LONG});`), [5]);
    assert.deepEqual(linesFound(`f(${LONG}); // biome-ignore format: a line`), [1]);
  });

  test('functionOf71Lines_isFound_withItsName_of70_isNot', () => {
    const of = (lines: number) => ({
      'src/a.ts': `function long(a: number): void {\n${'  f();\n'.repeat(lines - 2)}}\n`,
    });
    assert.match(said(longFunctions, of(FUNCTION_LINES + 1)), /^src\/a.ts: long has 71 lines/);
    assert.equal(said(longFunctions, of(FUNCTION_LINES)), '');
  });

  test('fileOf501Lines_isFound_of500_isNot', () => {
    const of = (lines: number) => ({ 'src/a.ts': 'f();\n'.repeat(lines) });
    assert.match(said(longFiles, of(FILE_LINES + 1)), /^src\/a.ts has 501 lines/);
    assert.equal(said(longFiles, of(FILE_LINES)), '');
  });
});

describe('comments', () => {
  test('fileThatBeginsWithCode_isFound_testNot', () => {
    const code = "import './b.ts';\n/** Too late. */\n";
    assert.match(said(headless, { 'src/a.ts': code, 'src/b.ts': '' }), /^src\/a.ts .*,src\/b.ts /);
    assert.equal(said(headless, { 'src/a.ts': `/** A. */\n${code}`, 'test/a.test.ts': code }), '');
  });

  test('pathThatIsGone_isFound_inCommentsOnly', () => {
    const text = "/** As in gone.ts\n * and tcp/b.ts. See b.ts. */\nconst a = '// c.ts'; // d.ts\n";
    const tree = { 'src/a.ts': text, 'src/tcp/b.ts': '' };
    assert.deepEqual(pathsGone(new Tree(tree)), [
      'src/a.ts:1 names gone.ts, which is not there',
      'src/a.ts:3 names d.ts, which is not there',
    ]);
    assert.equal(said(pathsGone, { ...tree, 'src/gone.ts': '', 'test/d.ts': '' }), '');
  });

  test('pathOfADocument_isFound_whenItIsGone_whatAReaderWrites_isNot', () => {
    const document = { 'docs/a.md': 'See src/a.ts; write app.ts, NAME.ts or *.ts.' };
    assert.match(said(pathsGone, document), /^docs\/a.md names src\/a.ts, which is not there$/);
    assert.equal(said(pathsGone, { ...document, 'src/a.ts': '' }), '');
  });

  test('callerThatOnlyMentionsIt_orImportsItByWayOfAnother_isFound', () => {
    const callee = { 'src/a.ts': '/** Called by b.ts\n * and sim/c.ts. */\n' };
    const direct = { 'src/b.ts': "import { a } from './a.ts';", 'sim/c.ts': "f('src/a.ts');" };
    const doNotCall = (texts: Record<string, string>) =>
      said(callersThatDoNotCall, { ...callee, ...direct, ...texts });
    assert.equal(doNotCall({}), '');
    assert.equal(doNotCall({ 'sim/c.ts': "new URL('../src/a.ts', import.meta.url);" }), '');
    assert.equal(doNotCall({ 'sim/c.ts': "start('a.ts');" }), '');
    assert.match(
      doNotCall({ 'sim/c.ts': "new URL('./a.ts', import.meta.url);" }),
      /sim\/c.ts does/,
    );
    assert.match(doNotCall({ 'src/b.ts': '// a.ts' }), /^src\/a.ts:1: b.ts does not use it/);
    assert.match(doNotCall({ 'src/b.ts': "f('another/a.ts');" }), /b.ts does not use it/);
    assert.match(doNotCall({ 'src/b.ts': "import '../sim/c.ts';" }), /b.ts does not use it/);
    assert.match(doNotCall({ 'sim/c.ts': '' }), /sim\/c.ts does not use it/);
  });

  test('callerOfASentenceWithin_isFound', () => {
    const text = '/** Written by hand; implemented by b.ts. Read first: c.ts. */\n';
    const tree = { 'src/a.ts': text, 'src/b.ts': '', 'src/c.ts': '' };
    assert.match(said(callersThatDoNotCall, tree), /^[^,]*b.ts does not use it[^,]*$/);
  });
});

test('typeDeclaredTwice_isFound_underAnotherName_too_smallOrOther_isNot', () => {
  const first = 'export interface A {\n  a: string;\n  readonly b?: number;\n  c(): void;\n}\n';
  const twice = (text: string) => said(typesTwice, { 'src/a.ts': first, 'src/b.ts': text });
  assert.match(twice(first), /^src\/b.ts: A is A of src\/a.ts again/);
  assert.match(twice('type B = {\n  c(): void;\n  b: number;\n  a: string;\n};\n'), /B is A of/);
  assert.equal(twice('interface A {\n  a: string;\n  b: number;\n  d(): void;\n}\n'), '');
  assert.equal(twice('interface A {\n  a: string;\n  b: number;\n}\n'), '');
});

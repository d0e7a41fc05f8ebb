import assert from 'node:assert/strict';
import { lstatSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { LONG_FILES, LONG_FUNCTIONS } from './exceptions.ts';
import { Plan, roomOf } from './rooms.ts';
import { exists, found, ours, parse, ROOT, read, SOURCES, type Source } from './source.ts';

const COLUMNS = 100;
const FUNCTION_LINES = 70;
const FILE_LINES = 500;
const DOCUMENTS = ['README.md', 'STYLE.md', ...found('docs/**/*.md'), ...found('findings/**/*.sh')];
/** What a reader of README writes. */
const EXAMPLES = ['shout.ts', 'app.ts'];
const sources = SOURCES.map((path) => parse(path));
const project = sources.filter(({ path }) => ours(path));
const byPath = new Map(sources.map((source) => [source.path, source]));

const none = (found: readonly string[]): void =>
  assert.equal(found.length, 0, `\n${found.slice(0, 20).join('\n')}`);

describe('rooms', () => {
  const plan = Plan.drawn();

  test('everyImport_goesDown', () => {
    const wrong = project.flatMap(({ path, imports }) => imports.map((to) => plan.judge(path, to)));
    none(wrong.filter(Boolean));
  });

  test('everyRoomDrawn_isThere_andEveryRoomThere_isDrawn', () => {
    const there = new Set(project.map(({ path }) => roomOf(path)).filter(Boolean));
    assert.deepEqual([...plan.rooms].sort(), [...there].sort());
  });

  test('nothingOfSrc_importsWhatIsOutside', () => {
    const out = project.filter(({ path }) => path.startsWith('src/'));
    none(
      out.flatMap(({ path, imports }) =>
        imports
          .filter((to) => /^(sim|bench|test)\//.test(to))
          .map((to) => `${path} imports ${to}: src stands below`),
      ),
    );
  });

  test('importUp_andSideways_areFound', () => {
    const small = new Plan('top  what people call\nleft right\nground  under both');
    assert.equal(small.judge('src/top/a.ts', 'src/left/b.ts'), '');
    assert.equal(small.judge('src/left/a.ts', 'src/left/b.ts'), '');
    assert.match(small.judge('src/left/a.ts', 'src/right/b.ts'), /below left/);
    assert.match(small.judge('src/ground/a.ts', 'src/top/b.ts'), /below ground/);
    assert.match(small.judge('src/attic/a.ts', 'src/top/b.ts'), /give attic a floor/);
  });
});

test('lines_fitInto100Columns', () => {
  none(
    sources.flatMap(({ path, text }) =>
      longLines(text.split('\n')).map((line) => `${path}:${line}: more than 100 columns: break it`),
    ),
  );
});

test('longLine_ofCode_isFound_stringAloneAndTable_areNot', () => {
  const long = 'x'.repeat(COLUMNS);
  assert.deepEqual(longLines(['short', `call(${long});`, `// ${long}`]), [2, 3]);
  assert.deepEqual(longLines([`  '${long}',`, `  \`${long}\` +`, `  key: '${long}',`]), [3]);
  const table = [
    '// biome-ignore format: a table',
    'const a = [',
    `  f(${long}),`,
    '];',
    `g(${long});`,
  ];
  assert.deepEqual(longLines(table), [5]);
  assert.deepEqual(longLines([`f(${long}); // biome-ignore format: a line`]), [1]);
});

/**
 * A string that stands alone is not broken: who searches for it shall find it. Tables are laid out
 * by hand, and say so in a line above.
 */
function longLines(lines: readonly string[]): number[] {
  const long: number[] = [];
  let tableIndent = -1;
  for (const [i, line] of lines.entries()) {
    const indent = line.search(/\S/);
    if (/^\s*\/\/ biome-ignore format/.test(line)) tableIndent = indent;
    else if (tableIndent >= 0 && indent <= tableIndent && /[;,]$/.test(line)) tableIndent = -1;
    const isAlone = /^\s*(?:['"].*['"]|`[^`]*`|\/(?![*/]).*\/\w*)[,;)]*(?: \+)?$/.test(line);
    if (line.length > COLUMNS && tableIndent < 0 && !isAlone) long.push(i + 1);
  }
  return long;
}

test('functions_haveAtMost70Lines_filesAtMost500', () => {
  const tooLong = project.flatMap(({ path, functions }) =>
    functions.filter(({ lines }) => lines > FUNCTION_LINES).map(({ name }) => `${path} ${name}`),
  );
  assert.deepEqual(tooLong, Object.keys(LONG_FUNCTIONS));
  none(
    project.flatMap(({ path, text }) => {
      const lines = text.split('\n').length - 1;
      return lines > FILE_LINES && !(path in LONG_FILES)
        ? [`${path} has ${lines} lines: find the part that wants a file of its own`]
        : [];
    }),
  );
});

test('functionOf71Lines_isMeasured_withItsName', () => {
  const body = '  f();\n'.repeat(FUNCTION_LINES - 1);
  const { functions } = parse('src/a.ts', `function long(a: number): void {\n${body}}\n`);
  assert.deepEqual(functions, [{ name: 'long', lines: FUNCTION_LINES + 1 }]);
});

describe('comments', () => {
  test('pathAndCallerThatAreNot_areFound_inCommentsOnly', () => {
    const { comments } = parse(
      'src/a.ts',
      "/** Called by gone.ts\n * and tcp/tcp.ts. See b.ts. */\nconst a = '// c.ts'; // Read by d.ts\n",
    );
    const texts = comments.map(({ text }) => text);
    assert.deepEqual(texts.flatMap(pathsIn), ['gone.ts', 'tcp/tcp.ts', 'b.ts', 'd.ts']);
    assert.deepEqual(texts.flatMap(callersIn), ['gone.ts', 'tcp/tcp.ts', 'd.ts']);
    assert.ok(!isThere('gone.ts', 'src/a.ts') && isThere('tcp/tcp.ts', 'src/a.ts'));
    assert.ok(isCaller('tcp/tcp.ts', 'src/tcp/flows.ts'), 'it imports it');
    assert.ok(!isCaller('arena/list.ts', 'src/tcp/tcp.ts'), 'it stands below it');
  });

  test('everyPathNamed_isThere', () => {
    none(
      project.flatMap(({ path, comments }) =>
        comments.flatMap(({ line, text }) =>
          pathsIn(text)
            .filter((named) => !isThere(named, path))
            .map((named) => `${path}:${line} names ${named}, which is not there`),
        ),
      ),
    );
  });

  test('everyCaller_calls', () => {
    none(
      project.flatMap(({ path, comments }) =>
        comments.flatMap(({ line, text }) =>
          callersIn(text).flatMap((caller) =>
            isCaller(caller, path)
              ? []
              : [`${path}:${line}: ${caller} does not use it: name who does`],
          ),
        ),
      ),
    );
  });
});

test('documents_everyPathNamed_isThere', () => {
  none(
    DOCUMENTS.flatMap((document) =>
      pathsIn(read(document))
        .filter((named) => !EXAMPLES.includes(named))
        .filter((named) => !isThere(named, document))
        .map((named) => `${document} names ${named}, which is not there`),
    ),
  );
});

test('scripts_everyPathNamed_isThere', () => {
  const scripts = found('{.ci,bin,native,test}/**/*').filter(isScript);
  assert.ok(scripts.includes('bin/ix') && scripts.includes('test/drivers/guest/start.sh'));
  none(
    scripts.flatMap((script) =>
      pathsOfScript(read(script))
        .filter((named) => !isThere(named, script))
        .map((named) => `${script} names ${named}, which is not there`),
    ),
  );
});

test('script_pathBelowAVariable_orOfAMachine_isTakenFromTheRoot', () => {
  const script = 'exec "$node" "$root/a/b.ts" $here/c.sh; $node /p/src/d.ts # see e.c; *.ts';
  assert.deepEqual(pathsOfScript(script), ['a/b.ts', 'c.sh', 'src/d.ts', 'e.c']);
});

const isScript = (path: string): boolean =>
  lstatSync(join(ROOT, path)).isFile() && /^#!.*\bsh\b|^#!.*\bbash\b/.test(read(path));

/** Where a variable's folder is, is known when it runs; a machine of test/drivers has us in /p. */
const pathsOfScript = (text: string): string[] => {
  const fromRoot = text.replace(/\$\{?\w+\}?"?\/|(?<=[\s"'])\/[pt]\//g, '');
  return [
    ...fromRoot.matchAll(/(?<![\w./*<{}$-])(?:[a-z][\w.-]*\/)*[a-z][\w.-]*\.(?:ts|sh|c)\b/g),
  ].map(([path]) => path);
};

/**
 * Files of ours in a text: `arp.ts`, `net/v4/arp.ts`, `src/net/v4/arp.ts`; NAME.ts and *.ts are no
 * files.
 */
function pathsIn(text: string): string[] {
  return [
    ...text.matchAll(/(?<![\w./*<{}-])(?:[a-z][\w.-]*\/)*[a-z][\w-]*(?:\.(?:live|test))*\.ts\b/g),
  ].map(([path]) => path);
}

/**
 * As it is written: from the root, from src, test or the file's own folder; a bare name may be any
 * one file's.
 */
function filesNamed(named: string, from: string): string[] {
  const places = [named, `src/${named}`, `test/${named}`, join(dirname(from), named)];
  const at = places.filter(exists);
  if (at.length > 0 || named.includes('/')) {
    return at.length > 0 ? at : SOURCES.filter((path) => path.endsWith(`/${named}`));
  }
  return SOURCES.filter((path) => basename(path) === named);
}

const isThere = (named: string, from: string): boolean => filesNamed(named, from).length > 0;

/** The files of a sentence `Called by a.ts, b.ts and the simulator (c.ts).` */
function callersIn(text: string): string[] {
  const joined = text.replace(/\s+/g, ' ');
  return [
    ...joined.matchAll(/\b(?:Called|Used|Started|Made|Read|Written) by (.*?)(?:\. |\.$|;|$)/g),
  ].flatMap(([, list]) => pathsIn(list!));
}

/** It imports the file, maybe by way of another, or names it to start it. */
function isCaller(caller: string, of: string): boolean {
  const reaches = (path: string, seen: Set<string>): boolean => {
    const source: Source | undefined = byPath.get(path);
    if (!source || seen.has(path)) return false;
    seen.add(path);
    return source.imports.includes(of) || source.imports.some((next) => reaches(next, seen));
  };
  const starts = (path: string): boolean => byPath.get(path)?.text.includes(basename(of)) ?? false;
  return filesNamed(caller, of).some((path) => starts(path) || reaches(path, new Set()));
}

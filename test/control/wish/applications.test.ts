/** What a name means, and that nobody's code is loaded to know what it wants. */
import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const loaded: string[] = [];
registerHooks({
  load: (url, context, next) => {
    loaded.push(url);
    return next(url, context);
  },
});
const { applicationFor, commandsToTry, findApplication, isProgram } = await import(
  '../../../src/control/wish/applications.ts'
);
const { parseRunOptions } = await import('../../../src/control/wish/options.ts');
await import('../../../src/cli/serve.ts');

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const KV = here('../../../src/apps/kv/kv.ts');

test('controlPlane_knowsWhatApplicationsWant_withoutAnyOfTheirCode', () => {
  assert.equal(findApplication('kv').wants.keepalive, 7200);
  const apps = loaded.filter((url) => url.includes('/src/apps/'));
  const names = apps.map((url) => url.replace(/^.*\/src\/apps\//, '')).sort();
  assert.deepEqual(names, ['built-in.ts', 'kv/wants.ts']);
});

test('builtIn_byNameOrByPath_isTheSame', () => {
  const byName = findApplication('kv', { m: '8' });
  assert.deepEqual(byName, findApplication(KV, { m: '8' }));
  assert.equal(byName.module, KV);
  assert.deepEqual(byName.options, { m: '8' });
  for (const name of ['echo', 'bulk']) assert.equal(findApplication(name).wants.connect, 'none');
});

test('module_withoutADefaultExport_isANodeProgram_andWhatFollowsItsArguments', () => {
  const programs = [
    "import http from 'node:http';\nhttp.createServer().listen(1);",
    'module.exports = () => {};',
    '// export default\nexport const a = 1;',
    'export function defaults() {}',
    'export { a, defaulted };',
  ];
  const applications = [
    "import { no } from 'node:fs'; export default () => no;",
    'export default function app(ix) {}',
    'const app = () => {};\nexport default app;',
    'export { app as default };',
    'export {\n  other,\n  app as default,\n};',
    "export { default } from './app.ts';",
  ];
  assert.deepEqual(
    programs.map(isProgram),
    programs.map(() => true),
  );
  assert.deepEqual(
    applications.map(isProgram),
    applications.map(() => false),
  );
  const program = here('../../acceptance/apps/node-server.ts');
  assert.deepEqual(applicationFor(program, ['8080', '-v', 'a=b']).args, ['8080', '-v', 'a=b']);
  const { args, options } = applicationFor(KV, ['m=8']);
  assert.deepEqual([args, options], [undefined, { m: '8' }]);
  assert.throws(() => applicationFor(KV, ['8080']), /not a setting/);
  assert.throws(() => applicationFor(KV, ['prot=5000']), /kv has no setting 'prot'; it takes m,/);
});

test('stranger_saysNothing', () => {
  assert.deepEqual(findApplication(here('../children/endless-application.ts')).wants, {});
});

test('noSuchName_offersWhatThereIs', () => {
  for (const name of ['nothing', 'built-in', 'toString']) {
    assert.throws(
      () => findApplication(name),
      /there is no application \S+; use kv, echo or the path of a module/,
    );
  }
  assert.throws(() => findApplication('./nothing.ts'), /there is no file \.\/nothing\.ts; give/);
});

test('commandsToTry_nameAddressAndPort', () => {
  const [first] = commandsToTry(findApplication('kv'), '10.77.0.2', [11211]);
  assert.match(first!, /^printf 'set a 0 0 5\\r\\nhello\\r\\n.*' \| nc 10\.77\.0\.2 11211$/);
  assert.deepEqual(commandsToTry(findApplication('echo'), '10.77.0.2', [7]), [
    'echo hello | nc -N 10.77.0.2 7',
    'bin/ix stat',
  ]);
  assert.deepEqual(commandsToTry(findApplication('echo'), '10.77.0.2', []), ['bin/ix stat']);
});

test('environment_isWhatIsWritten_orOurOwn_andNothingElse', () => {
  process.env['IX_TEST_SECRET'] = 'kept quiet';
  const { env } = parseRunOptions({ env: ['A=b=c', 'IX_TEST_SECRET', 'IX_TEST_MISSING'] });
  assert.deepEqual(env, { A: 'b=c', IX_TEST_SECRET: 'kept quiet' });
  assert.deepEqual(parseRunOptions({}).env, {});
});

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
const { commandsToTry, findApplication } = await import(
  '../../../src/control/wish/applications.ts'
);
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

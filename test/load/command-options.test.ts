import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDurationMs, parseTarget, settingsOf } from '../../src/load/command-options.ts';
import { generatorOptions } from '../../src/load/generator/options.ts';
import { asText } from '../../src/load/point/point.ts';

const KV = { host: '10.77.0.2', port: 11_211 };
const optionsOf = (given: Record<string, string | boolean>, target = KV) =>
  generatorOptions(asText(settingsOf(target, given)));

test('a_workload_gives_defaults_and_options_replace_them', () => {
  const etc = optionsOf({ workload: 'etc' });
  assert.deepEqual([etc.keySize, etc.arrival, etc.update], ['fb_key', 'pareto', 0.033]);
  const own = optionsOf({ workload: 'etc', update: '0.5', valueSize: 'uniform:1,9' });
  assert.deepEqual([own.keySize, own.valueSize, own.update], ['fb_key', 'uniform:1,9', 0.5]);
  const usr = optionsOf({ workload: 'usr' });
  assert.deepEqual([usr.keySize, usr.valueSize, usr.update], ['19', '2', 0.002]);
});

test('a_workload_file_is_read_and_options_go_before_it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ix-load-'));
  const file = join(folder, 'own.json');
  writeFileSync(file, '{"keySize": 40, "valueSize": "exponential:300", "popularity": "zipf:1.2"}');
  const own = optionsOf({ workload: file, keySize: '50' });
  assert.deepEqual([own.keySize, own.valueSize, own.zipf], ['50', 'exponential:300', 1.2]);
  writeFileSync(file, '{"host": "1.2.3.4"}');
  assert.throws(() => optionsOf({ workload: file }), /'host' means nothing; it takes keySize/);
  writeFileSync(file, 'keys');
  assert.throws(() => optionsOf({ workload: file }), /cannot be read/);
  assert.throws(() => optionsOf({ workload: join(folder, 'none') }), /no workload and no file/);
  rmSync(folder, { recursive: true });
});

test('times_phases_and_protocol_come_from_the_words', () => {
  const options = optionsOf({ time: '2m', warmup: '250ms', drain: '1', loadOnly: true });
  assert.deepEqual([options.durationMs, options.warmupMs, options.drainMs], [120_000, 250, 1000]);
  assert.equal(options.fill, 'only');
  assert.equal(optionsOf({ load: false, quiet: true }).fill, 'no');
  assert.equal(optionsOf({}, { host: '10.77.0.2', port: 7 }).protocol, 'echo');
  assert.throws(() => parseDurationMs('1h', '--time'), /--time takes a time, not '1h'/);
});

test('what_a_generator_refuses_is_told_in_the_words_of_the_command_line', () => {
  const refused = (given: Record<string, string>) => () => optionsOf(given);
  assert.throws(refused({ multiGet: '0' }), /--multi-get must be at least 1; see: bin\/ix load/);
  assert.throws(refused({ time: '0' }), /--time must be at least 1/);
  assert.throws(refused({ popularity: 'zipf:x' }), /--popularity must be uniform, zipf/);
  assert.throws(refused({ keySize: 'gev:1' }), /--key-size 'gev:1' is not a distribution/);
  for (const text of ['x', '1.2.3.4', '1.2.3.4:', 'host:80']) {
    assert.throws(() => parseTarget(text), /is not a server; write it like/);
  }
});

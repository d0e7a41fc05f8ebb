import assert from 'node:assert/strict';
import { test } from 'node:test';
import { echoOptions, kvOptions } from '../../../src/load/closed/options.ts';
import { LoadOptionError } from '../../../src/load/workload/words.ts';

const SERVER = { host: '10.0.0.1', port: '7' };

test('defaults_stand_where_nothing_is_said', () => {
  const options = echoOptions(SERVER);
  assert.deepEqual(
    [options.port, options.connections, options.depth, options.size, options.clock],
    [7, 1, 1, 64, 'batch'],
  );
  assert.equal(kvOptions({ ...SERVER, hitRatio: '0.5' }).hitRatio, 0.5);
});

test('a_wrong_option_is_refused_by_name', () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ ...SERVER, depth: 'x' }, /option depth must be a number from 1 to 1024/],
    [{ ...SERVER, depth: '' }, /option depth must be a number/],
    [{ ...SERVER, depth: '0' }, /option depth must be at least 1/],
    [{ ...SERVER, size: '64.5' }, /option size must be a whole number/],
    [{ ...SERVER, sise: '64' }, /option sise is not an option/],
    [{ port: '7' }, /option host is missing/],
    [{ ...SERVER, host: 'server' }, /option host must be an IPv4 address/],
    [{ ...SERVER, clock: 'slow' }, /option clock must be batch or fine/],
    [{ ...SERVER, connections: '200000', depth: '1000' }, /connections times depth/],
  ];
  for (const [options, message] of cases) {
    assert.throws(
      () => echoOptions(options),
      (error) => {
        assert.ok(error instanceof LoadOptionError && error.code === 'IX_LOAD_OPTION');
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

/**
 * `--keepalive`, and what applications of ours have without it, on the way to the dataplane's TCP.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findApplication } from '../../../src/control/wish/applications.ts';
import { parseRunOptions } from '../../../src/control/wish/options.ts';
import { planOf } from '../../../src/control/wish/plan.ts';

const configured = (name: string, given: Record<string, string>): number | undefined =>
  planOf(findApplication(name), parseRunOptions(given), 'tap').dataplane.tcp?.keepaliveMs;

test('kv_noOption_twoHours', () => {
  assert.equal(configured('kv', {}), 7_200_000, 'as memcached, which leaves the time to Linux');
});

test('kv_option_comesFirst', () => {
  assert.equal(configured('kv', { keepalive: '60' }), 60_000);
  assert.equal(configured('kv', { keepalive: '0' }), undefined, 'never');
});

test('otherApplication_onlyWhenAsked', () => {
  assert.equal(configured('echo', {}), undefined);
  assert.equal(configured('echo', { keepalive: '7200' }), 7_200_000);
});

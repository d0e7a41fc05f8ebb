import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ratesOf } from '../../src/cli/stat.ts';
import { metricName } from '../../src/control/record/prometheus.ts';

test('rates_twoReadings_perSecond', () => {
  assert.deepEqual(ratesOf({ a: 10, b: 5 }, { a: 110, b: 5, c: 3 }, 2), { a: 50, b: 0, c: 2 });
});

test('metricName_camelCase_snakeCaseTotal', () => {
  assert.equal(metricName('tcpOutOfOrderDropped'), 'ix_tcp_out_of_order_dropped_total');
});

test('gauge_isWhatItIsNow_noRateAndNoTotal', () => {
  assert.deepEqual(ratesOf({ tcpFlows: 10 }, { tcpFlows: 4 }, 2), { tcpFlows: 4 });
  assert.equal(metricName('tcpFlows'), 'ix_tcp_flows');
});

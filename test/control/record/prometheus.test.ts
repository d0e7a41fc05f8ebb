/** The exposition of counters that a dataplane wrote, which may lie. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Instance } from '../../../src/control/record/instances.ts';
import { exposition } from '../../../src/control/record/prometheus.ts';
import { COUNTER_NAMES } from '../../../src/counters.ts';
import { bucketOf, LATENCY_CELLS, LatencyCells } from '../../../src/latency.ts';

const instance = (app: string): Instance => ({ app, address: '10.77.0.2' }) as unknown as Instance;

test('exposition_oneServiceLies_itsLiesAreLeftOutAndTheOthersStay', async () => {
  const lies = {
    rxFrames: -1,
    rxBytes: Number.POSITIVE_INFINITY,
    txFrames: Number.NaN,
    'a name\n': 1,
    __proto__x: 1,
    txBytes: 7,
  };
  const text = await exposition([
    [instance('liar'), lies, []],
    [instance('kv'), { rxFrames: 5 }, []],
  ]);
  const values = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  assert.deepEqual(values, [
    'ix_counters_left_out{app="liar",address="10.77.0.2"} 5',
    'ix_counters_left_out{app="kv",address="10.77.0.2"} 0',
    'ix_tx_bytes_total{app="liar",address="10.77.0.2"} 7',
    'ix_rx_frames_total{app="kv",address="10.77.0.2"} 5',
  ]);
});

test('exposition_everyCounterOfOurs_isThere', async () => {
  const counts = Object.fromEntries(COUNTER_NAMES.map((name) => [name, 1]));
  const text = await exposition([[instance('kv'), counts, []]]);
  const values = text.split('\n').filter((line) => line.startsWith('ix_') && line.endsWith(' 1'));
  assert.equal(values.length, COUNTER_NAMES.length);
});

test('exposition_latencies_areAHistogramOfEachThread_inSeconds', async () => {
  const cells = new Float64Array(LATENCY_CELLS);
  for (const us of [3, 3, 100, 70_000]) {
    cells[0]! += us;
    cells[1 + bucketOf(us)]! += 1;
  }
  const threads = [new LatencyCells(cells), new LatencyCells()];
  const text = await exposition([[instance('a"\\\nb'), {}, threads]]);
  const lines = text.split('\n').filter((line) => line.startsWith('ix_batch_latency'));
  const labels = 'app="a\\"\\\\\\nb",address="10.77.0.2",thread="0"';
  const of = (le: string): string | undefined =>
    lines.find((line) => line.startsWith(`ix_batch_latency_seconds_bucket{${labels},le="${le}"}`));
  assert.match(of('0.000002')!, / 0$/);
  assert.match(of('0.000004')!, / 2$/);
  assert.match(of('0.000128')!, / 3$/);
  assert.match(of('+Inf')!, / 4$/);
  assert.ok(lines.includes(`ix_batch_latency_seconds_sum{${labels}} 0.070106`));
  assert.ok(lines.includes(`ix_batch_latency_seconds_count{${labels}} 4`));
  assert.equal(lines.length, 2 * 27);
  assert.match(text, /^# TYPE ix_batch_latency_seconds histogram$/m);
});

/**
 * Counters in the Prometheus exposition format, one metric a counter, labelled with `app` and
 * `address`: `ix_rx_frames_total`; and of each thread a histogram of how long its batches took.
 *
 * - Names and counts are a dataplane's, which may lie: what cannot be a counter (below 0, infinite,
 *   not a number; a name that is none) is left out, and `ix_counters_left_out` says how many. The
 *   other services are not touched by it.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { GAUGES } from '../../counters.ts';
import { meaningOf } from '../../explain/explain.ts';
import type { LatencyCells } from '../../latency.ts';
import type { Instance } from './instances.ts';

/** As src/counters.ts has them. */
const COUNTER_NAME = /^[a-z][a-zA-Z0-9]{0,63}$/;

/** A service, its counters, and of each thread the latencies of its batches. */
export type Sample = readonly [Instance, Record<string, number>, readonly LatencyCells[]];

export async function exposition(samples: readonly Sample[]): Promise<string> {
  const registry = new Registry();
  const metrics = new Map<string, Counter<'app' | 'address'> | Gauge<'app' | 'address'>>();
  const leftOut = new Gauge({
    name: 'ix_counters_left_out',
    help: 'counters of the dataplane whose value or name cannot be that of a counter',
    labelNames: ['app', 'address'],
    registers: [registry],
  });
  for (const [instance, counts] of samples) {
    const { app, address } = instance;
    leftOut.set({ app, address }, 0);
    for (const [counter, count] of Object.entries(counts)) {
      if (!COUNTER_NAME.test(counter) || !(count >= 0 && count < Number.POSITIVE_INFINITY)) {
        leftOut.inc({ app, address });
        continue;
      }
      const name = metricName(counter);
      const Metric = GAUGES.has(counter) ? Gauge : Counter;
      const metric =
        metrics.get(name) ??
        new Metric({
          name,
          help: meaningOf(counter)?.[1] ?? `counter ${counter} of the dataplane`,
          labelNames: ['app', 'address'],
          registers: [registry],
        });
      metrics.set(name, metric);
      metric.inc({ app, address }, count);
    }
  }
  return (await registry.metrics()) + latencies(samples);
}

const LATENCY = 'ix_batch_latency_seconds';
/** A bucket ends at each power of two, microseconds. */
const LATENCY_BITS = 24;

/** Of each thread, as a histogram; nothing when there is no service. */
function latencies(samples: readonly Sample[]): string {
  const lines = samples.flatMap(([{ app, address }, , threads]) =>
    threads.flatMap((cells, thread) => {
      const labels = `app="${escaped(app)}",address="${escaped(address)}",thread="${thread}"`;
      const { count } = cells;
      const buckets = Array.from({ length: LATENCY_BITS }, (_, bits) => {
        const le = 2 ** (bits + 1) / 1e6;
        return `${LATENCY}_bucket{${labels},le="${le}"} ${cells.below(bits + 1)}`;
      });
      return [
        ...buckets,
        `${LATENCY}_bucket{${labels},le="+Inf"} ${count}`,
        `${LATENCY}_sum{${labels}} ${cells.sumUs / 1e6}`,
        `${LATENCY}_count{${labels}} ${count}`,
      ];
    }),
  );
  if (lines.length === 0) return '';
  const help = 'from the beginning of a batch to its doorbell';
  return `# HELP ${LATENCY} ${help}\n# TYPE ${LATENCY} histogram\n${lines.join('\n')}\n`;
}

/** Of the text format: what may not stand in a label's value. */
const escaped = (text: string): string =>
  text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));

/** rxFrames -> ix_rx_frames_total, tcpFlows -> ix_tcp_flows */
export function metricName(counter: string): string {
  const words = counter.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return `ix_${words}${GAUGES.has(counter) ? '' : '_total'}`;
}

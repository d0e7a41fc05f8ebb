/**
 * Counters in the Prometheus exposition format, one metric a counter: `ix_rx_frames_total{app,
 * address}`.
 */
import { Counter, Registry } from 'prom-client';
import type { Instance } from './instances.ts';

export async function exposition(
  samples: readonly (readonly [Instance, Record<string, number>])[],
): Promise<string> {
  const registry = new Registry();
  const metrics = new Map<string, Counter<'app' | 'address'>>();
  for (const [instance, counts] of samples) {
    for (const [counter, count] of Object.entries(counts)) {
      const name = metricName(counter);
      const metric =
        metrics.get(name) ??
        new Counter({
          name,
          help: `counter ${counter} of the dataplane`,
          labelNames: ['app', 'address'],
          registers: [registry],
        });
      metrics.set(name, metric);
      metric.inc({ app: instance.app, address: instance.address }, count);
    }
  }
  return registry.metrics();
}

/** rxFrames -> ix_rx_frames_total */
export const metricName = (counter: string): string =>
  `ix_${counter.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;

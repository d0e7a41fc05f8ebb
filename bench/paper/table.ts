/**
 * The numbers behind the plots of an experiment as rows of text: a row per series and x, median and
 * spread per metric.
 */
import { formatMetric } from '../harness/rounds.ts';
import type { Finding } from './report.ts';

export interface Table {
  head: string[];
  rows: string[][];
}

const KIB = 1024;

function format(metric: string, value: number): string {
  if (metric === 'bitsPerSecond') return `${(value / 1e9).toPrecision(3)} Gbit/s`;
  if (metric.endsWith('Bytes')) return `${(value / KIB / KIB).toFixed(0)} MiB`;
  if (metric.startsWith('bytesPer')) return `${value.toFixed(0)} B`;
  if (metric === 'stageNs') return `${value.toFixed(0)} ns`;
  return formatMetric(metric, value);
}

export function tableOf({ series, charts }: Finding): Table {
  const metrics = [
    ...new Set(series.flatMap(({ points }) => points.flatMap((p) => Object.keys(p.metrics)))),
  ];
  const names = charts.find((chart) => chart.names !== undefined)?.names ?? {};
  const rows = series.flatMap(({ title, points }) =>
    points.map(({ x, metrics: measured }) => [
      title,
      names[x] ?? x.toLocaleString('en'),
      ...metrics.map((metric) => {
        const found = measured[metric];
        if (!found) return '';
        const spread =
          found.values.length > 1
            ? ` (${format(metric, found.min)} to ${format(metric, found.max)})`
            : '';
        return format(metric, found.median) + spread;
      }),
    ]),
  );
  const label = charts[0]?.x.metric === undefined ? (charts[0]?.x.label ?? 'x') : 'point';
  return { head: ['', label, ...metrics], rows };
}

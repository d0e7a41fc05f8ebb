/**
 * The kinds of server that two trees of the project are compared by, as lines of a sweep.
 *
 * - A round of a line measures both trees, one after the other; who comes first changes from round
 *   to round, so that a machine that grows slower favours nobody.
 * - Ratios are ours / base: `<kind>VsBase` of messages a second with 64 connections, and for echo
 *   `rttVsBase` and `rttProcessVsBase` of the round trip with one message in flight.
 */
import { startTree, WORKING_TREE } from '../harness/base.ts';
import { onLink } from '../harness/bench.ts';
import type { Spread } from '../harness/statistics.ts';
import { echo, kvGets } from '../paper/clients.ts';
import type { Context, Series } from '../paper/experiment.ts';
import { type Line, metricAt, present, type Round, ratioOfMetrics } from '../paper/sweep.ts';

const X = 64;
const SATURATING = { connections: X };
const RATE = 'messagesPerSecond';

export const KINDS = ['echo', 'kv', 'echoProcess', 'kvProcess'] as const;
export type Kind = (typeof KINDS)[number];

/** A name of its own, beside a line of ours alone in the same sweep. */
const lineOf = (kind: Kind): string => `${kind} and base`;

/** The ratios of a kind, the metric behind each, and which way is better. */
export const ratiosOf = (
  kind: Kind,
): { name: string; metric: string; better: 'higher' | 'lower' }[] => [
  { name: `${kind}VsBase`, metric: RATE, better: 'higher' },
  ...(kind.startsWith('echo')
    ? [{ name: `${kind.replace('echo', 'rtt')}VsBase`, metric: 'rttNs', better: 'lower' as const }]
    : []),
];

/** Of a sweep over `baseLine`s, those ratios that both trees have values for. */
export const measuredAgainstBase = (
  series: readonly Series[],
  kinds: readonly Kind[],
): Record<string, Spread> =>
  present(
    Object.fromEntries(
      kinds.flatMap((kind) =>
        ratiosOf(kind).map(({ name, metric }): [string, Spread | undefined] => [
          name,
          ratioOfMetrics(
            metricAt(series, lineOf(kind), metric, X),
            metricAt(series, lineOf(kind), `base ${metric}`, X),
          ),
        ]),
      ),
    ),
  );

/** One kind of server, of both trees. */
export function baseLine(kind: Kind, context: Context, tree: string): Line {
  let round = 0;
  return {
    name: lineOf(kind),
    title: `${kind}, this tree and the base`,
    round: async ({ point }: Round) => {
      const arms = [
        { tree: WORKING_TREE, prefix: '' },
        { tree, prefix: 'base ' },
      ];
      if (round++ % 2 === 1) arms.reverse();
      await point(X, async () => {
        const sample: Record<string, number> = {};
        for (const arm of arms) {
          const measured = await serveAndMeasure(kind, context, arm.tree);
          for (const [name, value] of Object.entries(measured)) sample[arm.prefix + name] = value;
        }
        return sample;
      });
    },
  };
}

function serveAndMeasure(
  kind: Kind,
  context: Context,
  tree: string,
): Promise<Record<string, number>> {
  const app = kind.startsWith('kv') ? 'kv' : 'echo';
  const domain = kind.endsWith('Process') ? 'process' : 'inline';
  const { serverCpu: cpu, idle } = context.settings;
  return onLink(
    'ours',
    (address) => startTree(tree, { app, address, cpu, idle, domain }),
    async (address): Promise<Record<string, number>> => {
      if (app === 'kv') return { [RATE]: (await kvGets(context, address, SATURATING))[RATE]! };
      const saturated = await echo(context, address, SATURATING);
      const single = await echo(context, address, { connections: 1, clock: 'fine' });
      return { [RATE]: saturated[RATE]!, rttNs: single['p50Ns']! };
    },
  );
}

/**
 * The clients of the experiments. Always our dataplane, on the client's core, with the run's times:
 * so two contenders differ in their servers alone.
 */
import type { Sample } from '../harness/rounds.ts';
import { runClient } from '../harness/run.ts';
import type { Context } from './experiment.ts';

export const ECHO_PORT = 7;
export const KV_PORT = 11_211;

const times = ({ settings }: Context) => ({
  warmupMs: Math.round(settings.warmupSeconds * 1000),
  durationMs: Math.round(settings.seconds * 1000),
});

export const echoPlan = (
  context: Context,
  host: string,
  more: Record<string, string | number>,
  module = 'echo-client',
) => ({
  module,
  cpu: context.settings.clientCpu,
  options: { host, port: ECHO_PORT, size: 64, ...times(context), ...more },
});

/** Messages a second, and the round trip's median and 99th percentile. */
export async function echo(
  context: Context,
  host: string,
  more: Record<string, string | number>,
  module?: string,
): Promise<Sample> {
  const result = await runClient(echoPlan(context, host, more, module));
  const { p50Ns, p99Ns } = result.latency;
  return { messagesPerSecond: result.messagesPerSecond, p50Ns, p99Ns };
}

export async function kvGets(
  context: Context,
  host: string,
  more: Record<string, string | number>,
): Promise<Sample> {
  const options = { host, port: KV_PORT, keys: 20_000, ...times(context), ...more };
  const result = await runClient({
    ...{ module: 'kv-client', cpu: context.settings.clientCpu, options },
  });
  const { p50Ns, p99Ns } = result.latency;
  return { messagesPerSecond: result.messagesPerSecond, p50Ns, p99Ns };
}

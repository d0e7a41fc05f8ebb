/**
 * `ix bench protection`: what the boundary between dataplane and application costs. Echo and kv, the application in a
 * process of its own (domain process) and inside the elastic thread (domain inline), in turn.
 *
 * Ratios, process / inline: processVsInline (echo) and kvProcessVsInline (requests per second, above 1 is faster);
 * rttProcessVsInline (median round trip of one connection, below 1 is faster). The paper's protection costs a VM exit
 * a batch (OSDI'14 section 4.3); ours two futex hand-overs.
 */
import { onLink, runBench } from './harness/bench.ts';
import { echoRoundTrip, echoSaturation, kvSaturation } from './harness/measure.ts';
import { type BenchOptions, parseBenchOptions } from './harness/options.ts';
import type { RatioPlan } from './harness/report.ts';
import type { Contender, Sample } from './harness/rounds.ts';
import { startOurs } from './harness/run.ts';

const MEMORY_MIB = 256;

const RATIOS: readonly RatioPlan[] = [
  {
    name: 'processVsInline',
    metric: 'messagesPerSecond',
    mine: 'echoProcess',
    theirs: 'echoInline',
  },
  { name: 'kvProcessVsInline', metric: 'messagesPerSecond', mine: 'kvProcess', theirs: 'kvInline' },
  { name: 'rttProcessVsInline', metric: 'rttNs', mine: 'echoProcess', theirs: 'echoInline' },
];

export default async function protection(args: string[]): Promise<void> {
  const options = parseBenchOptions('protection', 'domain process beside domain inline', args);
  if (!options) return;
  const { connections, depth, size, seconds, idle } = options;
  await runBench({
    name: 'protection',
    options,
    settings: { connections, depth, size, seconds, idle },
    contenders: [
      contender('echo', 'process', options),
      contender('echo', 'inline', options),
      contender('kv', 'process', options),
      contender('kv', 'inline', options),
    ],
    ratios: RATIOS,
  });
}

function contender(
  app: 'echo' | 'kv',
  domain: 'inline' | 'process',
  options: BenchOptions,
): Contender {
  const { serverCpu: cpu, idle } = options;
  const memory = app === 'kv' ? { memory: MEMORY_MIB } : {};
  const measure = async (address: string): Promise<Sample> =>
    app === 'kv'
      ? kvSaturation(address, options)
      : {
          ...(await echoSaturation(address, options)),
          ...(await echoRoundTrip(address, options)),
        };
  const start = (address: string) => startOurs({ app, address, cpu, idle, domain, ...memory });
  return {
    name: `${app}${domain === 'process' ? 'Process' : 'Inline'}`,
    title: `${app}, domain ${domain}`,
    run: () => onLink('ours', start, measure),
  };
}

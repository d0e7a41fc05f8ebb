/**
 * `ix bench protection`: what the boundary between dataplane and application costs. Echo and kv,
 * the application in a process of its own (domain process) and inside the elastic thread (domain
 * inline), in turn.
 *
 * - Ratios, process / inline: processVsInline (echo) and kvProcessVsInline (requests per second,
 *   above 1 is faster); rttProcessVsInline (median round trip of one connection, below 1 is
 *   faster).
 * - In the results, `boundary`: what it adds to a round trip, in us, round by round; and
 *   `contextSwitch`: what the kernel needs on the server's core to go from one process to another
 *   (bench/peers/context-switch.c), measured in the same rounds.
 * - Their ratio is addedContextSwitches: a protected round trip enters the application and comes
 *   back, so two are the least, and three at most are the target. The paper's protection costs a VM
 *   exit a batch (OSDI'14 section 4.3).
 * - Not here: what either side allocates per message, which takes millions of them:
 *   test/acceptance/allocation.live.test.ts.
 */
import { onLink, runBench } from './harness/bench.ts';
import { compilePeer } from './harness/compile.ts';
import { echoRoundTrip, echoSaturation, kvSaturation } from './harness/measure.ts';
import { type BenchOptions, parseBenchOptions } from './harness/options.ts';
import { compilerMissing } from './harness/peers.ts';
import { measuredBy } from './harness/process.ts';
import type { RatioPlan } from './harness/report.ts';
import {
  type Contender,
  type Results,
  type Sample,
  summarise,
  valuesOf,
} from './harness/rounds.ts';
import { startOurs } from './harness/run.ts';

const MEMORY_MIB = 256;
const SWITCHES_MS = 300;
const ADDED_SWITCHES_MAX = 3;

const RATIOS: readonly RatioPlan[] = [
  {
    name: 'processVsInline',
    metric: 'messagesPerSecond',
    mine: 'echoProcess',
    theirs: 'echoInline',
  },
  { name: 'kvProcessVsInline', metric: 'messagesPerSecond', mine: 'kvProcess', theirs: 'kvInline' },
  { name: 'rttProcessVsInline', metric: 'rttNs', mine: 'echoProcess', theirs: 'echoInline' },
  {
    name: 'addedContextSwitches',
    metric: 'addedUs',
    mine: 'boundary',
    theirs: 'contextSwitch',
    theirMetric: 'switchUs',
    atMost: ADDED_SWITCHES_MAX,
  },
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
      contextSwitch(options),
      contender('echo', 'inline', options),
      contender('kv', 'process', options),
      contender('kv', 'inline', options),
    ],
    ratios: RATIOS,
    derive: boundary,
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

/** Between the two that are compared, so that it has seen the same machine. */
function contextSwitch({ serverCpu }: BenchOptions): Contender {
  const run = async (): Promise<Sample> => {
    const command = [compilePeer('context-switch'), `${serverCpu}`, `${SWITCHES_MS}`];
    const { switchNs } = await measuredBy<{ switchNs: number }>(serverCpu, command);
    return { switchUs: switchNs / 1000 };
  };
  const title = 'Linux, from process to process';
  return { name: 'contextSwitch', title, missing: compilerMissing(), run };
}

/** What the boundary adds to a round trip. */
export function boundary(results: Results): Results {
  const inline = valuesOf(results, 'echoInline', 'rttNs') ?? [];
  const process = valuesOf(results, 'echoProcess', 'rttNs') ?? [];
  const samples = process.map((ns, round) => ({ addedUs: (ns - inline[round]!) / 1000 }));
  const title = 'what the boundary adds';
  return { boundary: { title, metrics: summarise(samples) } };
}

/**
 * The words of `bin/ix load` as settings of a generator.
 *
 * - Names, units and workload files only. What a value may be, the generator checks
 *   (generator/options.ts), since a benchmark or another machine may give it as well.
 * - A workload file is one JSON object with the names of FILE_NAMES; the command line goes before
 *   it.
 */
import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { OptionError } from '../errors.ts';
import { type GeneratorSettings, generatorOptions } from './generator/options.ts';
import { ARRIVALS } from './workload/arrivals.ts';
import { DISTRIBUTION_FORMS } from './workload/distribution.ts';
import { LoadOptionError } from './workload/words.ts';
import { WORKLOADS } from './workload/workload.ts';

/** Everything that may be given, as commander leaves it. */
export type Given = Record<string, string | boolean | undefined>;

export function withLoadOptions(command: Command): Command {
  const names = Object.keys(WORKLOADS).join(', ');
  return command
    .argument('[target]', 'HOST:PORT; with --nic cable: kv or echo, which is started too')
    .optionsGroup('What is asked')
    .option('--protocol <name>', 'memcached or echo (default: memcached; echo for port 7)')
    .option('--workload <name|file>', `${names}, or a JSON file of your own (default: fixed)`)
    .option('--key-size <distribution>', 'bytes of a key')
    .option('--value-size <distribution>', 'bytes of a value')
    .option('--update <share>', 'share of requests that are SETs')
    .option('--multi-get <keys>', 'keys of one GET (default: 1)')
    .option('--records <count>', 'keys stored before the measurement (default: 10000)')
    .option('--hit-ratio <share>', 'share of the keys asked for that are stored (default: 1)')
    .option('--popularity <law>', 'uniform, zipf or zipf:EXPONENT (default: uniform)')
    .option('--size <bytes>', 'echo: bytes of a message (default: 64)')
    .option('--seed <number>', 'of keys, values and arrivals (default: 1)')
    .optionsGroup('How')
    .option('--connections <count>', 'connections (default: 16)')
    .option('--depth <count>', 'most requests in flight on each (default: 1)')
    .option('--rate <per second>', 'open loop: requests due per second (default: closed loop)')
    .option('--arrival <kind>', `open loop: ${ARRIVALS.join(', ')} (default: the workload's)`)
    .option('--churn <requests>', 'open a connection anew after so many requests')
    .option('--time <duration>', 'measured time (default: 5s)')
    .option('--warmup <duration>', 'before it (default: 1s)')
    .option('--rush <duration>', 'open loop: so long of the warm-up at full speed (default: 0s)')
    .option('--drain <duration>', 'how long answers are waited for after it (default: 500ms)')
    .option('--no-load', 'the keys are stored already')
    .option('--load-only', 'store the keys and nothing else')
    .option('--scan <rates>', 'one point for each rate: FROM:TO:STEP, or with commas')
    .option('--search <objective>', 'the highest rate within an objective: p99:500us')
    .optionsGroup('From where')
    .option('--via <stack>', 'dataplane (ours) or kernel: ordinary sockets (default: dataplane)')
    .option('--nic <name>', 'interface of our dataplane, veth or cable (default: the way there)')
    .option('--ip <address/length>', "the generator's own address on it")
    .option('--cpu <cores>', 'pin to this core; several with commas')
    .option('--server-cpu <core>', 'cable: core of the server')
    .option('--threads <count>', 'via kernel: generators, a core each (default: 1)')
    .option('--agents <addresses>', 'use these generators too: HOST:PORT,...')
    .option('--agent <address>', 'be one: wait for loads at [HOST:]PORT until Ctrl-C')
    .option('--token <secret>', 'of agents (default: IX_LOAD_TOKEN)')
    .option('--prepare <duration>', 'several generators: time to be ready together (default: 3s)')
    .optionsGroup('What is told')
    .option('--json', 'one JSON object, histograms included')
    .option('--csv', 'one line a point')
    .option('--quiet', 'no progress on standard error')
    .option(
      '--windows <count>',
      'percentiles of so many parts of the time as well (JSON, one generator)',
    )
    .addOption(new Option('--naive <count>', 'for tests').hideHelp())
    .addHelpText('after', `\nDistributions: ${DISTRIBUTION_FORMS}\nMore: docs/LOAD.md`);
}

const FILE_NAMES = [
  ...['keySize', 'valueSize', 'update', 'arrival', 'popularity'],
  ...['multiGet', 'hitRatio', 'records', 'size'],
] as const;

/** Options that a generator takes as they are. */
const PLAIN = [
  ...['protocol', 'keySize', 'valueSize', 'update', 'multiGet', 'records', 'hitRatio'],
  ...['popularity', 'size', 'seed', 'connections', 'depth', 'rate', 'arrival', 'churn', 'naive'],
  'windows',
] as const;

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000 };

/** '500ms', '2s', '1m'; a bare number is seconds. */
export function parseDurationMs(text: string, option: string): number {
  const [, amount, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  if (amount !== undefined) return Math.round(Number(amount) * UNITS_MS[unit]!);
  throw new OptionError(`${option} takes a time, not '${text}'`, 'write it like 500ms or 2s');
}

/** 'HOST:PORT' */
export function parseTarget(text: string): { host: string; port: number } {
  const [, host, port] = /^(\d+\.\d+\.\d+\.\d+):(\d{1,5})$/.exec(text) ?? [];
  if (host !== undefined) return { host, port: Number(port) };
  throw new OptionError(`'${text}' is not a server`, 'write it like 10.77.0.2:11211');
}

/** Settings of the whole load. Throws an OptionError that names the option. */
export function settingsOf(
  target: { host: string; port: number },
  given: Given,
): GeneratorSettings {
  const settings: Record<string, string> = { ...workloadOf(given['workload']) };
  for (const name of PLAIN) {
    const value = given[name];
    if (typeof value === 'string') settings[name] = value;
  }
  if (target.port === 7) settings['protocol'] ??= 'echo';
  const time = (name: string, setting: string, otherwise: string): void => {
    const text = (given[name] as string | undefined) ?? otherwise;
    settings[setting] = `${parseDurationMs(text, `--${name}`)}`;
  };
  time('time', 'durationMs', '5s');
  time('warmup', 'warmupMs', '1s');
  time('rush', 'rushMs', '0s');
  time('drain', 'drainMs', '500ms');
  if (given['load'] === false) settings['fill'] = 'no';
  if (given['loadOnly'] === true) settings['fill'] = 'only';
  if (given['quiet'] !== true) settings['progressMs'] = '1000';
  const all = { ...settings, host: target.host, port: `${target.port}` };
  check(all);
  return all;
}

function check(settings: Record<string, string>): void {
  try {
    generatorOptions(settings);
  } catch (error) {
    if (!(error instanceof LoadOptionError)) throw error;
    const problem = error.message.replace(
      /^option (\w+)/,
      (_, name: string) => `--${dashed(name)}`,
    );
    throw new OptionError(problem, 'see: bin/ix load --help');
  }
}

const WRITTEN: Record<string, string> = {
  durationMs: 'time',
  warmupMs: 'warmup',
  rushMs: 'rush',
  drainMs: 'drain',
};
const dashed = (name: string): string =>
  WRITTEN[name] ?? name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function workloadOf(name: string | boolean | undefined): Record<string, string> {
  if (typeof name !== 'string') return {};
  if (name in WORKLOADS) return { workload: name };
  let file: unknown;
  try {
    file = JSON.parse(readFileSync(name, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isMissing = code === 'ENOENT';
    const why = isMissing ? 'is no workload and no file' : `cannot be read (${code ?? message})`;
    const known = Object.keys(WORKLOADS).join(', ');
    throw new OptionError(`--workload ${name} ${why}`, `there are ${known}, or a JSON file`);
  }
  const entries = Object.entries((file ?? {}) as Record<string, unknown>);
  const stranger = entries.find(([key]) => !(FILE_NAMES as readonly string[]).includes(key));
  if (stranger !== undefined) {
    const remedy = `it takes ${FILE_NAMES.join(', ')}`;
    throw new OptionError(`--workload ${name}: '${stranger[0]}' means nothing`, remedy);
  }
  return Object.fromEntries(entries.map(([key, value]) => [key, String(value)]));
}

/**
 * `ix load`: a load generator for memcached and echo servers.
 *
 * - Results go to standard output: a table, --csv or --json. Progress and warnings go to standard
 *   error.
 * - Exit code 0: measured; 1: --search found no rate within its objective; 2: it could not be.
 * - One generator here and one on each agent; via kernel as many here as --threads.
 *
 * Read first: src/load/generator/generator.ts, docs/LOAD.md.
 */
import { availableParallelism } from 'node:os';
import { OptionError } from '../errors.ts';
import { parseAgentAddress, remoteMember, serveAgent } from '../load/agent.ts';
import { type Given, parseDurationMs, parseTarget, settingsOf } from '../load/command-options.ts';
import {
  CSV_HEADER,
  csvRow,
  detailsOf,
  formatNs,
  formatProgress,
  formatRow,
  rowOf,
  TABLE_HEADER,
  warningsOf,
} from '../load/format.ts';
import type { GeneratorSettings } from '../load/generator/options.ts';
import { CABLE_HOST } from '../load/point/cable.ts';
import type { Carrier } from '../load/point/point.ts';
import { checkIp, dataplaneCarrier } from '../load/point/way.ts';
import type { LoadProgress, LoadResult } from '../load/result/result.ts';
import { parseObjective, parseRates, percentileNs, scanRates, searchRate } from '../load/scan.ts';
import { localMember, type Member, together } from '../load/together.ts';

const CABLE_PORTS: Record<string, number> = { kv: 11_211, echo: 7 };
const EXIT_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const text = (given: Given, name: string): string | undefined => given[name] as string | undefined;

export async function load(target: string | undefined, given: Given): Promise<void> {
  // The generators end with this process, and its exit handlers take down what they made.
  for (const signal of EXIT_SIGNALS) process.once(signal, () => process.exit(130));
  if (given['agent'] !== undefined) return beAgent(given);
  if (target === undefined) throw new OptionError('a server is needed', 'ix load HOST:PORT');
  const onCable = given['nic'] === 'cable';
  const server = onCable ? cableTarget(target) : parseTarget(target);
  const settings = settingsOf(server, given);
  checkCombination(given);
  const { search, scan } = {
    search: given['search'] === undefined ? undefined : parseObjective(`${given['search']}`),
    scan: given['scan'] === undefined ? undefined : parseRates(`${given['scan']}`),
  };
  const carriers = onCable ? [cableCarrier(target, given)] : carriersFor(server.host, given);
  const run = together(membersFor(carriers, given), prepareMsOf(given));
  const output = new Output(given);
  if (search !== undefined) {
    const found = await searchRate(run, settings, search, output.point);
    output.end({ ...found, results: found.points });
    if (!given['json'] && !given['csv']) tellFound(found.best, search.percent);
    if (found.best === undefined) process.exitCode = 1;
  } else {
    const rates = scan ?? [Number(settings.rate ?? 0)];
    output.end({ results: await scanRates(run, settings, rates, output.point) });
  }
}

function checkCombination(given: Given): void {
  const clash = (one: string, other: string): void => {
    if (given[one] === undefined || given[other] === undefined) return;
    throw new OptionError(`--${one} and --${other} exclude each other`, 'choose one');
  };
  for (const [one, other] of [
    ['search', 'scan'],
    ['search', 'rate'],
    ['scan', 'rate'],
    ['json', 'csv'],
  ] as const) {
    clash(one, other);
  }
  if (given['load'] === false && given['loadOnly']) {
    throw new OptionError('--no-load and --load-only exclude each other', 'choose one');
  }
}

// --- generators ---

const prepareMsOf = (given: Given): number =>
  parseDurationMs(text(given, 'prepare') ?? '3s', '--prepare');

function cableTarget(app: string): { host: string; port: number } {
  const port = CABLE_PORTS[app];
  if (port !== undefined) return { host: CABLE_HOST, port };
  throw new OptionError(`'${app}' is no server for a cable`, 'it takes kv or echo');
}

function cableCarrier(app: string, given: Given): Carrier {
  const [cpu] = coresOf(given);
  const serverCpu = text(given, 'serverCpu');
  return {
    via: 'cable',
    app,
    ...(cpu === undefined ? {} : { cpu }),
    ...(serverCpu === undefined ? {} : { serverCpu: core(serverCpu, '--server-cpu') }),
  };
}

function core(word: string, option: string): number {
  const cores = availableParallelism();
  if (/^\d+$/.test(word) && Number(word) < cores) return Number(word);
  throw new OptionError(`${option}: there is no core ${word}`, `it takes 0 to ${cores - 1}`);
}

const coresOf = (given: Given): number[] =>
  text(given, 'cpu')
    ?.split(',')
    .map((word) => core(word, '--cpu')) ?? [];

function carriersFor(host: string, given: Given): Carrier[] {
  const via = text(given, 'via') ?? 'dataplane';
  const cores = coresOf(given);
  const threads = Number(text(given, 'threads') ?? 1);
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    throw new OptionError('--threads takes a whole number from 1 to 64');
  }
  if (via === 'kernel') {
    return Array.from({ length: threads }, (_, i) => {
      const cpu = cores[i % cores.length];
      return { via: 'kernel', ...(cpu === undefined ? {} : { cpu }) };
    });
  }
  if (via !== 'dataplane') throw new OptionError(`--via takes dataplane or kernel, not '${via}'`);
  if (threads > 1) {
    const remedy = 'use --via kernel, or agents with an interface of their own';
    throw new OptionError('our dataplane has one generator an interface', remedy);
  }
  const { nic, ip } = { nic: text(given, 'nic'), ip: text(given, 'ip') };
  checkIp(ip);
  const [cpu] = cores;
  const carrier = dataplaneCarrier(host, { ...(nic && { nic }), ...(ip && { ip }) });
  return [{ ...carrier, ...(cpu === undefined ? {} : { cpu }) }];
}

const tokenOf = (given: Given): string =>
  text(given, 'token') ?? process.env['IX_LOAD_TOKEN'] ?? '';

function membersFor(carriers: readonly Carrier[], given: Given): Member[] {
  const agents = text(given, 'agents')?.split(',').map(parseAgentAddress) ?? [];
  const [first, ...others] = carriers;
  const tell = given['quiet'] === true ? undefined : progressTeller();
  return [
    localMember(first!, tell),
    ...others.map((carrier) => localMember(carrier)),
    ...agents.map((address) => remoteMember(address, tokenOf(given))),
  ];
}

function progressTeller(): (progress: LoadProgress) => void {
  let before = { ms: performance.now(), answered: 0 };
  return (progress) => {
    const now = { ms: performance.now(), answered: progress.answered };
    const isNew = now.answered < before.answered;
    const answered = now.answered - (isNew ? 0 : before.answered);
    const seconds = (now.ms - before.ms) / 1000;
    before = now;
    console.error(`ix load: ${formatProgress(progress, answered / seconds)}`);
  };
}

async function beAgent(given: Given): Promise<void> {
  const address = parseAgentAddress(`${given['agent']}`);
  const run: Member['run'] = (settings: GeneratorSettings, startInMs, signal) => {
    const [carrier] = carriersFor(String(settings.host), given);
    return localMember(carrier!).run(settings, startInMs, signal);
  };
  await serveAgent(address, tokenOf(given), { name: 'agent', run });
  console.log(`ix: load agent at ${address.host}:${address.port}, Ctrl-C ends it`);
  await new Promise(() => {});
}

// --- what is told ---

class Output {
  readonly #given: Given;
  #rows = 0;

  constructor(given: Given) {
    this.#given = given;
  }

  /** A point has been measured. */
  readonly point = (result: LoadResult): void => {
    for (const line of warningsOf(result)) console.error(`ix load: ${line}`);
    const { json, csv } = this.#given;
    if (json) return;
    if (this.#rows === 0) console.log(csv ? CSV_HEADER : formatRow(TABLE_HEADER));
    this.#rows++;
    console.log(csv ? csvRow(result) : formatRow(rowOf(result)));
  };

  end(all: { results: LoadResult[] }): void {
    const { json, csv } = this.#given;
    if (json) console.log(JSON.stringify(all));
    else if (!csv && all.results.length === 1) {
      for (const line of detailsOf(all.results[0]!)) console.log(line);
    }
  }
}

function tellFound(best: LoadResult | undefined, percent: number): void {
  if (best === undefined) {
    console.log('no rate that was tried is within the objective');
    return;
  }
  const rate = Math.round(best.offeredPerSecond ?? 0).toLocaleString('en');
  console.log(
    `highest rate within the objective: ${rate}/s, p${percent} ${formatNs(percentileNs(best, percent))}`,
  );
}

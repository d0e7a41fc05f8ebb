/**
 * `ix bench synflood`: what 200,000 SYNs a second from spoofed addresses leave of a server.
 *
 * - kv by AF_XDP on one core, as users run it. On the other the flood (synflood/flood.ts) and
 *   honest clients on the kernel's TCP (synflood/client.ts): established connections with a fixed
 *   offered load, and new ones all the time.
 * - The same is measured without the flood. Both share the client's core with what sends: the
 *   offered load is one that the client can make beside the flood.
 * - Passes (exit code 0) when established connections keep 80 % of their rate, none is lost, and
 *   every new client is served. Ratios: `floodVsCalm`, answers a second with the flood over those
 *   without.
 */
import { Command } from 'commander';
import { parseAddress } from '../src/control/link/address.ts';
import { Netlink } from '../src/control/link/netlink.ts';
import { liveInstances } from '../src/control/record/instances.ts';
import { readStatistics } from '../src/control/record/statistics.ts';
import { type Service, startService } from '../src/control/service/service.ts';
import { findApplication } from '../src/control/wish/applications.ts';
import { parseRunOptions } from '../src/control/wish/options.ts';
import { planOf } from '../src/control/wish/plan.ts';
import { readInterface, setOffloads } from '../src/nic/privileged/interface.ts';
import { progress } from './harness/bench.ts';
import { peerSource } from './harness/compile.ts';
import { describeMachine, type Machine } from './harness/machine.ts';
import {
  CLIENT_ADDRESS,
  CLIENT_LINK,
  enterPrivateNetwork,
  makeBenchLink,
  PREFIX_LENGTH,
  SERVER_LINK,
} from './harness/network.ts';
import { number, readOptions } from './harness/options.ts';
import { type Running, resultOf, startPinned } from './harness/process.ts';
import { ratioOf, type Spread, spreadOf } from './harness/statistics.ts';
import type { ClientResult } from './synflood/client.ts';

const SERVER_CPU = 1;
const OTHERS_CPU = 0;
const PORT = 11_211;
const GATEWAY = '10.78.0.254';
/** The flood is there before the first client and after the last one. */
const FLOOD_EXTRA_S = 3;
const KEEP = 0.8;
const COUNTERS = [
  'tcpSynIn',
  'tcpCookiesOut',
  'tcpCookiesIn',
  'tcpBacklogFull',
  'rxFrames',
] as const;

export interface FloodOptions {
  seconds: number;
  rounds: number;
  /** SYNs a second. */
  rate: number;
  /** Requests a second on established connections. */
  load: number;
  domain: string;
}

export interface Round {
  calm: ClientResult;
  flood: ClientResult;
  sentRate: number;
  counters: Record<string, number>;
}

export interface FloodReport {
  bench: 'synflood';
  machine: Machine;
  rounds: number;
  settings: FloodOptions;
  results: Round[];
  ratios: { floodVsCalm: Spread };
  problems: string[];
}

export default async function main(args: string[]): Promise<void> {
  const parsed = parse(args);
  if (!parsed) return;
  enterPrivateNetwork();
  const report = await synFlood(parsed.options);
  if (parsed.json) console.log(JSON.stringify(report));
  else print(report);
  if (report.problems.length > 0) process.exitCode = 1;
}

function parse(args: string[]): { options: FloodOptions; json: boolean } | undefined {
  const amount = number(0, 1e7, false);
  const command = new Command('ix bench synflood')
    .description('established and new clients of a server under a flood of spoofed SYNs')
    .option('--json', 'print one JSON object', false)
    .option('--quick', 'one round of two seconds', false)
    .option('--rounds <count>', 'rounds (default: 3; quick: 1)', amount)
    .option('--seconds <time>', 'of each half of a round (default: 5; quick: 2)', amount)
    .option('--rate <count>', 'SYNs a second', amount, 200_000)
    .option('--load <count>', 'requests a second on established connections', amount, 20_000)
    .option('--domain <name>', 'inline or process', 'inline');
  if (!readOptions(command, args)) return undefined;
  const { json, quick, rounds, seconds, rate, load, domain } = command.opts();
  const some = { rounds: rounds ?? (quick ? 1 : 3), seconds: seconds ?? (quick ? 2 : 5) };
  return { options: { ...some, rate, load, domain }, json };
}

/** In the network namespace of this process, which nobody else uses. */
export async function synFlood(options: FloodOptions): Promise<FloodReport> {
  const machine = describeMachine();
  const results: Round[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    const calm = await measure({ ...options, rate: 0 });
    const flood = await measure(options);
    const { sentRate, counters } = flood;
    results.push({ calm: calm.client, flood: flood.client, sentRate, counters });
    const { client } = flood;
    progress(
      `round ${round} of ${options.rounds}: ${Math.round(sentRate)} SYN/s, ` +
        `${Math.round(client.rate)} answers/s (calm: ${Math.round(calm.client.rate)}), ` +
        `${client.fresh.served} of ${client.fresh.tried} new clients served`,
    );
  }
  const rates = (of: 'calm' | 'flood') => results.map((each) => each[of].rate);
  const ratios = { floodVsCalm: ratioOf(rates('flood'), rates('calm')) };
  const problems = problemsOf(results, ratios.floodVsCalm, options);
  return {
    bench: 'synflood',
    machine,
    rounds: options.rounds,
    settings: options,
    results,
    ratios,
    problems,
  };
}

function problemsOf(results: readonly Round[], kept: Spread, { rate }: FloodOptions): string[] {
  const problems: string[] = [];
  if (kept.median < KEEP) {
    problems.push(`established connections kept ${(kept.median * 100).toFixed(0)} % of their rate`);
  }
  for (const { flood, sentRate } of results) {
    const { lost, fresh } = flood;
    if (lost > 0) problems.push(`${lost} established connections were lost`);
    if (fresh.served < fresh.tried) {
      problems.push(`${fresh.tried - fresh.served} of ${fresh.tried} new clients were not served`);
    }
    if (sentRate < rate * 0.95)
      problems.push(`the flood came to ${Math.round(sentRate)} SYN/s only`);
  }
  return problems;
}

interface Half {
  client: ClientResult;
  sentRate: number;
  counters: Record<string, number>;
}

/** A fresh server, with or without the flood. */
async function measure(options: FloodOptions): Promise<Half> {
  const link = makeBenchLink('ours');
  try {
    prepareLinks();
    const given = {
      ip: `${link.serverAddress}/${PREFIX_LENGTH}`,
      cpu: `${SERVER_CPU}`,
      memory: '64',
      domain: options.domain,
    };
    const service = await startService(
      planOf(findApplication('kv'), parseRunOptions(given), SERVER_LINK),
    );
    try {
      return await clientsAndFlood(service, options);
    } finally {
      await service.stop();
      service.takeDown();
    }
  } finally {
    link.remove();
  }
}

/**
 * The client's end is the kernel's; the server's way out is through a gateway that the flood plays.
 */
function prepareLinks(): void {
  setOffloads(CLIENT_LINK, false, ['txChecksum', 'tso', 'gso']);
  const netlink = new Netlink();
  const client = parseAddress(CLIENT_ADDRESS);
  const gateway = parseAddress(GATEWAY);
  netlink.addAddress(netlink.link(CLIENT_LINK)!.index, client, PREFIX_LENGTH);
  const { index } = netlink.link(SERVER_LINK)!;
  netlink.addHostRoute(index, gateway, client);
  netlink.addDefaultRoute(index, gateway);
  netlink.close();
}

async function clientsAndFlood(service: Service, options: FloodOptions): Promise<Half> {
  const { seconds, rate, load } = options;
  const server = service.address;
  const mac = Array.from(readInterface(SERVER_LINK).mac, (byte) => byte.toString(16)).join(':');
  const start = (file: string, ...words: (string | number)[]): Running =>
    startPinned(OTHERS_CPU, [
      process.execPath,
      peerSource(`../synflood/${file}`),
      ...words.map(String),
    ]);
  const floodSeconds = seconds + FLOOD_EXTRA_S;
  const flood = start('flood.ts', CLIENT_LINK, GATEWAY, server, mac, PORT, floodSeconds, rate);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const client = start('client.ts', server, PORT, seconds, load);
  try {
    const [told, sent] = await Promise.all([
      resultOf<ClientResult>(client),
      resultOf<{ rate: number }>(flood),
    ]);
    const mine = liveInstances().find(({ control }) => control.pid === process.pid);
    const all = mine ? readStatistics(mine) : {};
    return {
      client: told,
      sentRate: sent.rate,
      counters: Object.fromEntries(COUNTERS.map((name) => [name, all[name] ?? 0])),
    };
  } finally {
    await Promise.all([client.stop(), flood.stop()]);
  }
}

function print({ results, ratios, problems, settings }: FloodReport): void {
  const { floodVsCalm } = ratios;
  const median = (of: (round: Round) => number): string =>
    Math.round(spreadOf(results.map(of)).median).toLocaleString('en');
  console.log(`${median((r) => r.sentRate)} SYN/s from spoofed addresses, ${settings.domain}`);
  console.log(
    `  answers/s      ${median((r) => r.flood.rate)}, without ${median((r) => r.calm.rate)}`,
  );
  console.log(
    `  kept           ${(floodVsCalm.median * 100).toFixed(1)} % ` +
      `(${(floodVsCalm.min * 100).toFixed(1)} to ${(floodVsCalm.max * 100).toFixed(1)})`,
  );
  console.log(
    `  new clients    ${median((r) => r.flood.fresh.served)} of ${median((r) => r.flood.fresh.tried)} ` +
      `served, median ${median((r) => r.flood.fresh.medianMs)} ms, most ${median((r) => r.flood.fresh.maxMs)} ms`,
  );
  for (const name of COUNTERS)
    console.log(`  ${name.padEnd(14)} ${median((r) => r.counters[name]!)}`);
  for (const problem of problems) console.log(`  FAILED: ${problem}`);
  if (problems.length === 0) console.log('  passed');
}

/**
 * `ix bench soak`: random, spoilt and sound frames at full rate over a veth for ten minutes, and
 * what is left then. Half of the strangers speak IPv4, half IPv6.
 *
 * - The server (kv, as users run it) on one core; on the other the frame source (soak/strangers.ts)
 *   and a well-behaved client on the kernel's TCP (soak/client.ts), whose every answer is checked.
 * - Passes when the server never ended, the client had no error, every frame that arrived is in a
 *   counter (soak/accounts.ts), and all pools are full again once the strangers are gone. Exit code
 *   1 otherwise.
 * - Repeated by its seed, as far as a network repeats itself. With IX_VERIFY=1 invariants are
 *   checked on the way.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import type { ThreadState } from '../src/child/config.ts';
import { Netlink } from '../src/control/link/netlink.ts';
import { liveInstances } from '../src/control/record/instances.ts';
import { readStatistics } from '../src/control/record/statistics.ts';
import { type Service, startService } from '../src/control/service/service.ts';
import { findApplication } from '../src/control/wish/applications.ts';
import { parseRunOptions } from '../src/control/wish/options.ts';
import { planOf } from '../src/control/wish/plan.ts';
import { readInterface, setOffloads } from '../src/nic/privileged/interface.ts';
import { formatIpv6 } from '../src/wire/ipv6-text.ts';
import { progress } from './harness/bench.ts';
import { peerSource } from './harness/compile.ts';
import {
  CLIENT_LINK,
  enterPrivateNetwork,
  makeBenchLink,
  PREFIX_LENGTH,
  SERVER_LINK,
} from './harness/network.ts';
import { domain as domainOf, readOptions } from './harness/options.ts';
import { type Running, resultOf, startPinned } from './harness/process.ts';
import { type Balance, balancesOf, type Counts, dropsOf } from './soak/accounts.ts';
import { CLIENT, SERVED_PORT, SERVER6 } from './soak/addresses.ts';

const SERVER_CPU = 1;
const OTHERS_CPU = 0;
/**
 * Handshakes that a spoilt source began are given up after 63 s, TIME-WAIT after 60 s; twice that
 * is a leak.
 */
const SETTLE_MS = 140_000;
/** Duplicate address detection: a random second at most, and one more. */
const ADDRESS_MS = 2500;
const SETTLE_STEP_MS = 500;

export interface SoakOptions {
  minutes: number;
  seed: number;
  domain: string;
}

export interface SoakReport {
  seed: number;
  seconds: number;
  verify: boolean;
  passed: boolean;
  /** One sentence each. */
  problems: string[];
  strangers: { frames: number; rate: number; opened: number; opened6: number; left: number };
  client: { exchanges: number; errors: number; reason?: string; p50Us: number; p99Us: number };
  received: number;
  balances: Balance[];
  drops: Counts;
  /** What the kernel dropped because the server was full: the source is faster. */
  kernelDrops: Counts;
  /** When all pools were full again, seconds after the last frame; -1: never. */
  settledSeconds: number;
  state: ThreadState;
}

export default async function main(args: string[]): Promise<void> {
  const parsed = parse(args);
  if (!parsed) return;
  const { options, json } = parsed;
  enterPrivateNetwork();
  const report = await soak(options);
  if (json) console.log(JSON.stringify({ bench: 'soak', ...report }));
  else print(report);
  if (!report.passed) process.exitCode = 1;
}

const minutesOf = (text: string): number => {
  const minutes = Number(text);
  if (minutes > 0 && minutes <= 10_000) return minutes;
  throw new InvalidArgumentError('takes a number above 0, at most 10000.');
};
const seedOf = (text: string): number => {
  if (/^-?\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError('takes a whole number.');
};

/** undefined: help was asked for and printed. */
function parse(args: string[]): { options: SoakOptions; json: boolean } | undefined {
  const command = new Command('ix bench soak')
    .description('hostile frames at full rate, and what is left of a server after them')
    .option('--minutes <time>', 'how long', minutesOf, 10)
    .option('--seed <number>', 'of everything random', seedOf, Date.now() % 2 ** 31)
    .option('--domain <name>', 'inline or process', domainOf, 'inline')
    .option('--json', 'print one JSON object', false);
  if (!readOptions(command, args)) return undefined;
  const { json, minutes, seed, domain } = command.opts();
  return { options: { minutes, seed, domain }, json };
}

/** In the network namespace of this process, which nobody else uses. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const link = makeBenchLink('ours');
  try {
    prepareClientLink();
    return await soakOn(link.serverAddress, options);
  } finally {
    link.remove();
  }
}

async function soakOn(server: string, options: SoakOptions): Promise<SoakReport> {
  const given = {
    ip: `${server}/${PREFIX_LENGTH}`,
    ip6: `${formatIpv6(SERVER6)}/64`,
    cpu: `${SERVER_CPU}`,
    memory: '256',
    domain: options.domain,
  };
  const service = await startService(
    planOf(findApplication('kv'), parseRunOptions(given), SERVER_LINK),
  );
  // While the server asks whether its IPv6 address is taken, a stranger's question for it means yes
  // (RFC 4862 5.4.3).
  await sleep(ADDRESS_MS);
  let died: string | undefined;
  void service.dataplane.ended.then(({ how, failure }) => {
    died = failure ?? how;
  });
  try {
    progress(`soak of ${options.minutes} minutes, seed ${options.seed}`);
    const others = await runOthers(server, options);
    progress('the strangers are gone; waiting for what they left behind to end');
    const settled = died === undefined ? await settle(service) : undefined;
    return judge(options, others, settled, died);
  } finally {
    await service.stop();
    service.takeDown();
  }
}

/** The client's end is the kernel's: an address, whole checksums, frames of the MTU. */
function prepareClientLink(): void {
  setOffloads(CLIENT_LINK, false, ['txChecksum', 'tso', 'gso']);
  const netlink = new Netlink();
  netlink.addAddress(netlink.link(CLIENT_LINK)!.index, CLIENT, PREFIX_LENGTH);
  netlink.close();
}

interface Others {
  strangers: SoakReport['strangers'];
  client: SoakReport['client'];
}

async function runOthers(server: string, { minutes, seed }: SoakOptions): Promise<Others> {
  const mac = Array.from(readInterface(SERVER_LINK).mac, (byte) => byte.toString(16)).join(':');
  const seconds = `${minutes * 60}`;
  const start = (file: string, ...words: string[]): Running =>
    startPinned(OTHERS_CPU, [process.execPath, peerSource(`../soak/${file}`), ...words]);
  const client = start('client.ts', server, `${SERVED_PORT}`, seconds, `${seed}`);
  const strangers = start('strangers.ts', CLIENT_LINK, server, mac, seconds, `${seed}`);
  try {
    const [told, sent] = await Promise.all([
      resultOf<SoakReport['client']>(client),
      resultOf<SoakReport['strangers']>(strangers),
    ]);
    return { client: told, strangers: sent };
  } finally {
    await Promise.all([client.stop(), strangers.stop()]);
  }
}

interface Settled {
  state: ThreadState;
  seconds: number;
  counts: Counts;
}

const isHome = ({ flows, receiveHeld, transmitHeld }: ThreadState): boolean =>
  flows === 0 && receiveHeld === 0 && transmitHeld === 0;

async function settle(service: Service): Promise<Settled> {
  const start = performance.now();
  for (;;) {
    const state = (await service.dataplane.state())[0]!;
    const elapsed = performance.now() - start;
    if (isHome(state) || elapsed > SETTLE_MS) {
      const mine = liveInstances().find((each) => each.address === service.address);
      const counts = mine ? readStatistics(mine) : {};
      return { state, seconds: isHome(state) ? elapsed / 1000 : -1, counts };
    }
    await sleep(SETTLE_STEP_MS);
  }
}

const NOTHING: ThreadState = {
  ...{ flows: -1, timers: -1, receiveHeld: -1, transmitHeld: -1, allocatedBytes: 0 },
  kernelDrops: {},
};

function judge(
  { minutes, seed }: SoakOptions,
  { strangers, client }: Others,
  settled: Settled | undefined,
  died: string | undefined,
): SoakReport {
  const { state, seconds, counts } = settled ?? { state: NOTHING, seconds: -1, counts: {} };
  const balances = balancesOf(counts);
  const problems: string[] = [];
  if (died !== undefined) problems.push(`the server ended: ${died}`);
  if (client.errors > 0) problems.push(`the client had ${client.errors} errors: ${client.reason}`);
  if (client.exchanges === 0) problems.push('the client was not served');
  if (strangers.opened === 0) problems.push('no stranger got a connection');
  if (strangers.opened6 === 0) problems.push('no stranger got a connection over IPv6');
  for (const { layer, arrived, explained } of balances) {
    if (arrived === explained) continue;
    problems.push(`${layer}: ${arrived} arrived, ${explained} are in the counters`);
  }
  if (settled && !isHome(state)) {
    const { flows, receiveHeld, transmitHeld } = state;
    problems.push(`left: ${flows} flows, ${receiveHeld} + ${transmitHeld} frames`);
  }
  return {
    ...{ seed, seconds: minutes * 60, verify: process.env['IX_VERIFY'] === '1' },
    ...{ passed: problems.length === 0, problems, strangers, client },
    ...{ received: counts['rxFrames'] ?? 0, balances, drops: dropsOf(counts) },
    ...{ kernelDrops: state.kernelDrops, settledSeconds: seconds, state },
  };
}

function print(report: SoakReport): void {
  const { strangers, client, received, drops, kernelDrops } = report;
  const count = (n: number): string => Math.round(n).toLocaleString('en');
  console.log(
    `${report.seconds} s, seed ${report.seed}${report.verify ? ', invariants checked' : ''}`,
  );
  console.log(`  sent       ${count(strangers.frames)} frames, ${count(strangers.rate)} a second`);
  console.log(
    `  received   ${count(received)}, ${count(strangers.opened)} connections of strangers, ${count(strangers.opened6)} by IPv6`,
  );
  console.log(`  client     ${count(client.exchanges)} exchanges, ${client.errors} errors,`);
  console.log(`             median ${client.p50Us} us, 99th percentile ${client.p99Us} us`);
  for (const [name, n] of Object.entries({ ...drops, ...kernelDrops })) {
    console.log(`  ${name.padEnd(24)} ${count(n).padStart(16)}`);
  }
  console.log(`  settled after ${report.settledSeconds.toFixed(1)} s`);
  for (const problem of report.problems) console.log(`  FAILED: ${problem}`);
  if (report.passed) console.log('  passed');
}

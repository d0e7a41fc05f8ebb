/**
 * From a seed to a scenario: hosts, network, flows, accidents.
 *
 * - Each run takes a few features and leaves most out (swarm testing): a run with every impairment
 *   at once would seldom get as far as a subtle bug.
 *
 * Called by run.ts. Read first: plan.ts, workloads.ts; Groce et al., "Swarm testing" (2012).
 */
import { limitsFor } from '../src/limits.ts';
import { IP6_MTU_MIN } from '../src/wire/ipv6.ts';
import { drawExtras } from './extras.ts';
import type { HostPlan } from './host.ts';
import { Path, type PathOptions } from './path.ts';
import type { FlowPlan, Scenario } from './plan.ts';
import { Random } from './random.ts';
import { WORKLOADS, type Workload } from './workloads.ts';
import { startBeforeWrap } from './wrap.ts';

const SECOND = 1_000_000;
const SERVER_PORT = 7;
const CLIENT_PORT_FIRST = 20_000;
const BYTES_MAX = [1000, 30_000, 100_000, 300_000, 1_500_000] as const;

function drawHost(random: Random, mtu: number, isTight: boolean, isIpv6: boolean): HostPlan {
  const wraps = random.pick([2 ** 31, 2 ** 32, 2 ** 31 * 1000, 2 ** 32 * 1000, 2 ** 33]);
  const flows = isTight ? random.pick([4, 8, 64]) : 128;
  const isNear = random.chance(0.6);
  const startUs = isNear ? wraps - random.magnitude(1, 100 * SECOND) : random.magnitude(1, 2 ** 43);
  return {
    kind: random.chance(0.35) ? 'ix' : 'raw',
    isIpv6,
    mtu: isIpv6 ? Math.max(mtu, IP6_MTU_MIN) : mtu,
    startUs: Math.floor(startUs),
    turnUs: random.pick([1, 1, 5, 20, 100]),
    txRing: isTight ? random.pick([16, 64]) : 192,
    rxRing: isTight ? random.pick([32, 128]) : 512,
    secret0: random.word(),
    secret1: random.word(),
    limits: {
      ...limitsFor({ flows: 64 }),
      receiveFrames: isTight ? random.pick([48, 96, 192]) : 640,
      transmitFrames: isTight ? random.pick([16, 32, 64]) : 256,
      flows,
      listeners: 4,
      udpSockets: 8,
      sendSpans: flows * (isTight ? 8 : 16), // 8 is what TCP promises to each
      neighbours: 8,
      reassemblies: 2,
      timers: 256,
      applicationBytes: 2 * 2 ** 20,
    },
  };
}

function drawPath(random: Random, isHarsh: boolean): PathOptions {
  const delayUs = random.pick([1, 10, 50, 500, 5000, 20_000, 75_000]);
  const o: PathOptions = { delayUs };
  const often = (probability: number): boolean => random.chance(probability);
  if (often(0.3)) {
    o.rate = random.pick([0.125, 1.25, 12.5, 125, 1250]);
    o.queueBytes = random.pick([6000, 20_000, 100_000, 400_000]);
  }
  if (often(0.4)) {
    o.jitterUs = random.magnitude(1, delayUs * 2);
    o.inOrder = often(0.5);
  }
  if (often(0.45))
    o.loss = isHarsh ? random.pick([0.05, 0.15, 0.3]) : random.pick([0.0005, 0.005, 0.03]);
  if (often(0.1)) o.burst = isHarsh ? { enter: 0.01, exit: 0.15 } : { enter: 0.001, exit: 0.3 };
  if (often(0.2)) o.duplicate = random.pick([0.001, 0.02, 0.3]);
  if (often(0.2)) o.corrupt = random.pick([0.0005, 0.01]);
  if (often(0.25)) {
    o.reorder = random.pick([0.002, 0.02, 0.3]);
    o.reorderUs = random.magnitude(10, 100_000);
  }
  return o;
}

function pickWorkload(random: Random): Workload {
  const sum = WORKLOADS.reduce((total, w) => total + w.weight, 0);
  let left = random.below(sum);
  return WORKLOADS.find((w) => (left -= w.weight) < 0)!;
}

function drawFlows(random: Random, hosts: HostPlan[]): FlowPlan[] {
  const flows: FlowPlan[] = [];
  const isMany = random.chance(0.12);
  const count = isMany ? random.between(20, 120) : random.pick([1, 1, 2, 3, 4, 6, 10]);
  const bytesMax = isMany ? 3000 : random.pick(BYTES_MAX) / Math.min(count, 4);
  const favourite = pickWorkload(random);
  const spread = random.pick([0, 1000, SECOND, 20 * SECOND]);
  const mayRepeat = !isMany && random.chance(0.3);
  for (let id = 1; id <= count; id++) {
    const workload = random.chance(0.5) ? favourite : pickWorkload(random);
    const client = random.below(hosts.length);
    const server = (client + random.between(1, hosts.length - 1)) % hosts.length;
    const isRaw = (host: number): boolean => hosts[host]!.kind === 'raw';
    const isRefused =
      ((workload.raw === 'client' || workload.raw === 'both') && !isRaw(client)) ||
      ((workload.raw === 'server' || workload.raw === 'both') && !isRaw(server));
    const { name, draw } = isRefused ? WORKLOADS[2]! : workload;
    const least = random.chance(0.4) ? bytesMax / 10 : 1;
    const drawn = draw(random, random.magnitude(least, bytesMax));
    const clientPort = CLIENT_PORT_FIRST + id * 37;
    const isSimultaneous = drawn.flow?.isSimultaneous === true;
    flows.push({
      ...{ id, kind: name, client, server, clientPort },
      serverPort: isSimultaneous ? 10_000 + id : SERVER_PORT,
      startUs: random.below(spread + 1),
      acceptUs: 0,
      rejects: false,
      isSimultaneous: false,
      isClean: true,
      again: mayRepeat && isRaw(client) ? random.pick([0, 0, 1, 3]) : 0,
      againUs: random.pick([0, 10, 1000, 20_000, 10 * SECOND]),
      ends: [drawn.client, drawn.server],
      ...drawn.flow,
    });
  }
  return flows;
}

/** Accidents: what happens to hosts and links while flows are under way. */
function drawAccidents(random: Random, s: Scenario, isHarsh: boolean): void {
  const span = 60 * SECOND;
  const hosts = s.hosts.length;
  const host = (): number => random.below(hosts);
  if (random.chance(0.12)) {
    for (let i = random.between(1, 4); i > 0; i--) {
      const a = host();
      const b = (a + random.between(1, hosts - 1)) % hosts;
      const us = random.magnitude(1000, isHarsh ? 600 * SECOND : 10 * SECOND);
      s.partitions.push({ atUs: random.magnitude(1000, span), us, a, b });
    }
  }
  if (random.chance(0.12)) {
    for (let i = random.between(1, 6); i > 0; i--) {
      s.stalls.push({
        atUs: random.magnitude(100, span),
        us: random.magnitude(100, 2 * SECOND),
        host: host(),
      });
    }
  }
  if (random.chance(0.08)) {
    const from = host();
    const to = (from + random.between(1, hosts - 1)) % hosts;
    for (let i = random.between(1, 3); i > 0; i--) {
      const mtu = random.pick([600, 900, 1280, 1400, 1500]);
      s.mtuChanges.push({ atUs: random.magnitude(1, span), from, to, mtu });
    }
  }
  if (random.chance(0.06)) s.deaths.push({ atUs: random.magnitude(1000, span), host: host() });
}

export function makeScenario(seed: number): Scenario {
  const root = new Random(seed);
  const random = root.fork(1);
  const isPlain = random.chance(0.2);
  const isHarsh = !isPlain && random.chance(0.15);
  const isTight = !isPlain && random.chance(0.15);
  const hostCount = random.pick([2, 2, 2, 3, 4]);
  const isIpv6 = (seed & 3) === 3; // every fourth run
  const mtu = random.pick([1500, 1500, 1500, 1400, 576]);
  const hosts = Array.from({ length: hostCount }, (_, i) => {
    const own = root.fork(100 + i);
    return drawHost(own, own.chance(0.15) ? 1000 : mtu, isTight, isIpv6);
  });
  const isSame = random.chance(0.3);
  const shared = drawPath(root.fork(3), isHarsh);
  const paths = hosts.map((_, from) =>
    hosts.map((__, to) => {
      const own = root.fork(200 + from * 16 + to);
      if (isPlain) return { delayUs: shared.delayUs! };
      return isSame ? shared : drawPath(own, isHarsh);
    }),
  );
  const s: Scenario = {
    ...{
      seed,
      hosts,
      paths,
      partitions: [],
      mtuChanges: [],
      stalls: [],
      deaths: [],
      reboots: [],
      datagrams: [],
      forgeries: [],
    },
    flows: drawFlows(root.fork(4), hosts),
    listeners: hosts.map((_, host) => ({ host, port: SERVER_PORT, backlog: isTight ? 4 : 128 })),
    isGentle: !isHarsh && !isTight,
    isPerfect: isPlain,
  };
  const hunter = root.fork(6);
  if (hunter.chance(0.4)) startBeforeWrap(s, hunter.pick(s.flows), hunter);
  if (!isPlain) drawAccidents(root.fork(5), s, isHarsh);
  drawExtras(root.fork(7), s, isPlain);
  s.isPerfect &&= paths.every((row) => row.every((path) => Path.isPerfect(path)));
  return s;
}

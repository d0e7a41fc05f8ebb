/**
 * Features of a scenario that are drawn from streams of their own: one more of them changes nothing
 * of what a seed had.
 *
 * - ECN and congestion controllers of hosts, TCP options that they lack, routers that mark, black
 *   holes (a smaller MTU, and no word about it), hosts that reboot, applications that lose
 *   patience, datagrams, small backlogs and forgers.
 *
 * Called by scenario.ts.
 */
import type { Scenario } from './plan.ts';
import type { Random } from './random.ts';

const SECOND = 1_000_000;
const UDP_PORT_FIRST = 30_000;

/** `random` is for this alone. `isPlain`: nothing that harms a frame. */
export function drawExtras(random: Random, s: Scenario, isPlain: boolean): void {
  drawEcn(random.fork(1), s, isPlain);
  drawDatagrams(random.fork(2), s);
  drawLacks(random.fork(4), s);
  drawBacklogs(random.fork(5), s, isPlain);
  drawHolds(random.fork(6), s);
  if (isPlain) return;
  const own = random.fork(3);
  const span = 60 * SECOND;
  const host = (): number => own.below(s.hosts.length);
  if (own.chance(0.08)) {
    const from = host();
    const to = (from + own.between(1, s.hosts.length - 1)) % s.hosts.length;
    const mtu = own.pick([600, 900, 1280, 1400]);
    const atUs = own.chance(0.5) ? 0 : own.magnitude(1, span);
    s.mtuChanges.push({ atUs, from, to, mtu, isSilent: true });
    if (own.chance(0.5)) {
      const later = atUs + own.magnitude(SECOND, 2 * span);
      s.mtuChanges.push({ atUs: later, from, to, mtu: 1500, isSilent: true });
    }
  }
  if (own.chance(0.05) && s.deaths.length === 0) {
    const us = own.magnitude(1000, 30 * SECOND);
    s.reboots.push({
      atUs: own.magnitude(1000, span),
      us,
      host: host(),
      reconnects: own.chance(0.7),
    });
  }
  for (const flow of s.flows) {
    if (!own.chance(0.15) || s.hosts[flow.client]!.kind !== 'raw') continue;
    flow.ends[0].userTimeoutMs = own.magnitude(500, 400_000);
    flow.isClean = false;
  }
  drawLostPower(random.fork(7), s);
}

/**
 * A client loses power while it sends, and connects again from the same port: a server that only
 * reads has nothing unanswered, so to it the old connection is still there (RFC 9293 3.5.1).
 */
function drawLostPower(random: Random, s: Scenario): void {
  if (!random.chance(0.04) || s.deaths.length + s.reboots.length > 0) return;
  const uploads = s.flows.filter(({ ends: [client, server], again, isClean }) => {
    return isClean && again === 0 && client.total > 1 && server.total === 0;
  });
  if (uploads.length === 0) return;
  const { client, startUs, ends } = random.pick(uploads);
  const gapUs = random.magnitude(SECOND / 10, 10 * SECOND);
  Object.assign(ends[0], { chunk: Math.ceil(ends[0].total / random.between(2, 8)), gapUs });
  s.reboots.push({
    atUs: startUs + random.magnitude(gapUs / 100, gapUs),
    us: random.magnitude(1000, 30 * SECOND),
    host: client,
    reconnects: true,
  });
}

function drawHolds(random: Random, s: Scenario): void {
  for (const host of s.hosts) if (random.chance(0.5)) host.holdAckUs = random.pick([5, 100, 2000]);
}

function drawEcn(random: Random, s: Scenario, isPlain: boolean): void {
  const isEverywhere = random.chance(0.2);
  for (const host of s.hosts) {
    if (random.chance(0.2)) host.congestion = random.pick(['newReno', 'dctcp']);
    if (isEverywhere) host.ecn = 'ask';
    else if (random.chance(0.3)) host.ecn = random.pick(['ask', 'off']);
  }
  if (isPlain) return;
  for (const path of s.paths.flat()) {
    if (!isEverywhere && !random.chance(0.1)) continue;
    if (path.rate) path.markBytes = (path.queueBytes ?? 262_144) / 4;
    else if (random.chance(0.5)) path.mark = random.pick([0.01, 0.1, 0.5]);
  }
}

/** In half of the runs there are hosts as of 1990; a flow has what both its ends know. */
function drawLacks(random: Random, s: Scenario): void {
  if (random.chance(0.5)) return;
  for (const host of s.hosts) {
    if (random.chance(0.2)) host.lacks = { sack: false, timestamps: false, windowScale: false };
    else {
      host.lacks = {
        ...(random.chance(0.4) && { sack: false }),
        ...(random.chance(0.4) && { timestamps: false }),
        ...(random.chance(0.2) && { windowScale: false }),
      };
    }
  }
}

/** Backlogs that are soon full, so that SYN cookies are out, and who tries to profit from that. */
function drawBacklogs(random: Random, s: Scenario, isPlain: boolean): void {
  if (isPlain || !random.chance(0.2)) return;
  for (const listener of s.listeners) listener.backlog = random.pick([1, 1, 2]);
  s.isGentle = false; // a handshake may find the backlog full for longer than its patience lasts
  if (s.hosts.some(({ isIpv6 }) => isIpv6)) return;
  for (let i = random.between(1, 30); i > 0; i--) {
    const from = random.below(s.hosts.length);
    const to = (from + random.between(1, s.hosts.length - 1)) % s.hosts.length;
    const ports = { fromPort: 60_000 + i, toPort: s.listeners[0]!.port };
    const forged = { from, to, ...ports, seq: random.word(), ack: random.word() };
    s.forgeries.push({ atUs: random.magnitude(100, 100 * SECOND), forged });
  }
}

function drawDatagrams(random: Random, s: Scenario): void {
  const raw = s.hosts.flatMap(({ kind }, index) => (kind === 'raw' ? [index] : []));
  if (raw.length < 2 || !random.chance(0.25)) return;
  for (let i = random.between(1, 4); i > 0; i--) {
    const from = random.pick(raw);
    const to = random.pick(raw.filter((host) => host !== from));
    s.datagrams.push({
      ...{ from, to, port: UDP_PORT_FIRST + s.datagrams.length },
      atUs: random.magnitude(1, 20 * SECOND),
      gapUs: random.magnitude(1, SECOND),
      count: random.between(1, 60),
      bytesMax: random.pick([40, 1400, 1472, 1900, 6000]),
    });
  }
}

/**
 * What must hold of a run as a whole: progress while it lasts, outcomes and pools at its end.
 *
 * - A clean flow on a gentle network between living hosts must deliver every byte and end in order
 *   on both sides. Any other flow must end, and what arrived is a prefix of what was sent (the
 *   endpoints check that themselves).
 * - Progress is judged in virtual time, with bounds that leave room for exponential backoff: 60 s
 *   between tries.
 *
 * Called by run.ts.
 */
import { DEAD } from '../src/gate/abi.ts';
import type { Endpoint } from './endpoint.ts';
import { checkHome, heldDropped, pressure } from './home.ts';
import { waitOf } from './plan.ts';
import type { Run } from './run.ts';
import { Violation } from './violation.ts';

const SECOND = 1_000_000;
/**
 * Longest silence of a flow beyond its plan's own waits: retries are used up by then (13 x 60 s at
 * most).
 */
const STUCK_US = 1000 * SECOND;
/** The same where no frame is ever harmed. */
const STUCK_PERFECT_US = 2 * SECOND;
/**
 * An application whose peer is gone for so long gives up; one that has stopped reading, sooner: it
 * holds frames.
 */
const PATIENCE_US = 1200 * SECOND;
const PATIENCE_HOLDING_US = 300 * SECOND;
const FRAMES_PER_FLOW = 400;
const FRAMES_PER_SEGMENT = 60;
const FRAMES_ALWAYS = 20_000;

/** Nothing of the flow can be relied on: a host died, or one end left early. */
function isLopsided(e: Endpoint): boolean {
  const isGone = (end: Endpoint): boolean => !end.host.isAlive || end.isDead || end.isAbsent;
  return isGone(e.peer) || e.flow.ends.some((end) => !Number.isFinite(end.pauseUs));
}

/** Nothing was lost, late or out of order so far, by the network's doing or the hosts'. */
function isPerfect({ scenario, network, hosts }: Run): boolean {
  const isWhole = (host: Run['hosts'][number]): boolean => heldDropped(host) + pressure(host) === 0;
  return scenario.isPerfect && network.harmed === 0 && hosts.every(isWhole);
}

/** When the end last did something, or could have by its own plan. */
function lastOf(e: Endpoint): number {
  const waits = [e.progressAt, e.mayReadAt, e.mayWriteAt, e.mayCloseAt];
  const accept = e.side === 1 && !e.isOpen ? e.progressAt + e.flow.acceptUs : 0;
  return Math.max(accept, ...waits.filter(Number.isFinite));
}

export function watch(run: Run): void {
  const { schedule, world, scenario } = run;
  const now = schedule.now;
  for (const e of world.endpoints) {
    if (e.isDead || !e.host.isAlive || e.isAbsent || now < e.flow.startUs) continue;
    const silent = now - Math.max(lastOf(e), lastOf(e.peer), e.flow.startUs);
    checkPatience(e, silent);
    const isForsaken = e.peer.isDead || !e.peer.host.isAlive;
    if (e.side === 1 && !e.isOpen && isForsaken && silent > 200 * SECOND) {
      e.isAbsent = true; // its client never came through
      continue;
    }
    if (isLopsided(e)) {
      const isHolding = e.flow.ends.some((end) => !Number.isFinite(end.pauseUs));
      const patience = isHolding ? PATIENCE_HOLDING_US : PATIENCE_US;
      if (silent > patience && !e.isAborted) {
        e.hasGivenUp = true;
        e.host.application.giveUp(e);
      }
      if (silent <= 2 * PATIENCE_US) continue;
    }
    const longest = scenario.partitions.reduce((most, p) => Math.max(most, p.us), 0);
    const bound = isPerfect(run) ? STUCK_PERFECT_US : STUCK_US + longest;
    if (silent > bound) e.fail(`stuck for ${(silent / SECOND).toFixed(1)} s`);
  }
  checkFrames(run);
}

/**
 * An application that has set a user timeout must not wait longer; the first look comes with a
 * timeout, at most 60 s.
 */
function checkPatience(e: Endpoint, silentUs: number): void {
  const { userTimeoutMs } = e.plan;
  if (userTimeoutMs === 0 || !e.isOpen || e.accepted === e.acked) return;
  const most = userTimeoutMs * 1000 + 130 * SECOND;
  if (silentUs > most) e.fail(`waits for more than its ${userTimeoutMs} ms`);
}

/** Two stacks must not talk for ever about nothing. */
function checkFrames({ scenario, network }: Run): void {
  let segments = 0;
  for (const flow of scenario.flows) {
    for (const end of flow.ends) segments += end.total / Math.min(500, end.chunk);
  }
  const most =
    FRAMES_ALWAYS + scenario.flows.length * FRAMES_PER_FLOW + segments * FRAMES_PER_SEGMENT;
  if (network.sent > most)
    throw new Violation(`${network.sent} frames are too many for this scenario`);
}

/**
 * ARP asks three times, a second apart: a client may find nobody, its server then hears of nothing.
 */
function isUnreachable(e: Endpoint): boolean {
  return e.reason === DEAD.unreachable && !e.isOpen && e.side === 0;
}

/**
 * Its side was closed and acknowledged for a minute, and the peer still read: FIN-WAIT-2 is not for
 * ever.
 */
function isForgotten(e: Endpoint): boolean {
  const reads = e.peer.plan;
  const isSlow = reads.readChunk > 0 || reads.pauseAt >= 0;
  return e.reason === DEAD.timeout && e.isClosing && e.acked === e.plan.total && isSlow;
}

/** Every endpoint that lives has ended: how? */
export function checkOutcomes(run: Run): void {
  const { scenario, world } = run;
  for (const e of world.endpoints) {
    const { flow, peer } = e;
    if (!e.host.isAlive || !peer.host.isAlive || e.isAborted) continue;
    if (peer.isAborted && !peer.hasGivenUp) continue;
    if (isUnreachable(e) || isUnreachable(peer)) continue;
    if (flow.isClean && scenario.isGentle) {
      e.check(e.deaths === 1, 'has never lived');
      const isWell = e.reason === DEAD.closed || isForgotten(e);
      e.check(isWell, `a clean flow died for reason ${e.reason}`);
      e.check(e.accepted === e.plan.total, 'has not sent all');
      e.check(e.received === peer.plan.total, 'has not received all');
      if (e.host.plan.kind === 'raw')
        e.check(e.acked === e.plan.total, 'was not told of all acknowledgements');
    }
    if (flow.serverPort === 9 && e.side === 0 && scenario.isGentle && e.plan.userTimeoutMs === 0) {
      e.check(e.reason === DEAD.refused, `nobody listens, but it died for reason ${e.reason}`);
    }
  }
  if (isPerfect(run)) checkPerfect(run);
}

/** Where nothing is lost and nothing is late, nobody may time out or send twice. */
function checkPerfect({ hosts, observer, scenario }: Run): void {
  const isLazy = scenario.flows.some(
    (flow) => waitOf(flow) > 0 || flow.rejects || !flow.isClean || flow.serverPort === 9,
  );
  for (const { env, index, isAlive } of hosts) {
    if (!isAlive) return;
    const timeouts = env.counters.get('tcpTimeouts');
    if (timeouts > 0 && !isLazy)
      throw new Violation(`host ${index + 1}: ${timeouts} timeouts on a perfect network`);
  }
  if (observer.resentInside > 0 && !isLazy)
    throw new Violation(`${observer.resentInside} bytes were sent twice on a perfect network`);
}

/** Nothing may be lost where nothing is harmed, but what a receiver had no room for. */
function checkDatagrams(run: Run): void {
  const drops = ['udpQueueFull', 'ipReassemblyFull', 'ipReassemblyTimeout', 'txNoFrame'] as const;
  const isWhole = run.hosts.every(({ env }) => drops.every((name) => env.counters.get(name) === 0));
  if (!isPerfect(run) || !isWhole) return;
  for (const { plan, sent, arrived } of run.datagrams) {
    if (arrived.length === sent.length) continue;
    const text = `${sent.length} datagrams were sent, ${arrived.length} arrived`;
    throw new Violation(`port ${plan.port}: ${text} on a perfect network`);
  }
}

/** Long after the last flow: everything is home. */
export function checkEnd(run: Run): void {
  const { hosts, network } = run;
  checkDatagrams(run);

  for (const host of hosts) if (host.isAlive) checkHome(host);
  if (network.inFlight > 0) throw new Violation('frames are on their way for ever');
}

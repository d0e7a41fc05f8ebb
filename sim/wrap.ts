/**
 * Sequence numbers wrap once in 4 GiB, and int32 changes its sign there and halfway: a run of a
 * megabyte meets neither. So secrets are chosen with which one flow begins shortly before such an
 * edge.
 *
 * Called by scenario.ts. Read first: src/tcp/iss.ts.
 */
import { describeIpv4 } from '../src/net/ip.ts';
import { ConnectionHash, initialSequence, TICKS_PER_MS } from '../src/tcp/iss.ts';
import { addressOf, wireKeyOf } from './address.ts';
import type { FlowPlan, Scenario } from './plan.ts';
import type { Random } from './random.ts';

/**
 * The clock part of the number moves until the SYN is there, some 20 ms; the client's own only by
 * what waits before it.
 */
const SLACK = { client: 20_000, server: 20 * TICKS_PER_MS };
const TRIES = 30_000;

const IPV4 = { describe: describeIpv4 };

/** Changes the secrets of one end's host. Without luck nothing changes. */
export function startBeforeWrap(s: Scenario, flow: FlowPlan, random: Random): void {
  const side = random.pick([0, 1]);
  const [own, peer] = side === 0 ? [flow.client, flow.server] : [flow.server, flow.client];
  const [local, remote] =
    side === 0 ? [flow.clientPort, flow.serverPort] : [flow.serverPort, flow.clientPort];
  const host = s.hosts[own]!;
  if (host.isIpv6) return; // what the number is made from is a hash with the same secrets
  const us = host.startUs + flow.startUs;
  const edge = random.pick([0, -(2 ** 31)]);
  const near = flow.ends[side]!.total + (side === 0 ? SLACK.client : SLACK.server);
  const ports = (remote << 16) | local;
  const ms = Math.floor(us / 1000) | 0;
  for (let i = 0; i < TRIES; i++) {
    const secret0 = random.word();
    const hash = new ConnectionHash(wireKeyOf(secret0, host.secret1), IPV4);
    hash.of(addressOf(peer), ports, addressOf(own));
    const iss = initialSequence(ms, hash);
    const left = (edge - iss) >>> 0;
    if (left === 0 || left > near) continue;
    host.secret0 = secret0;
    return;
  }
}

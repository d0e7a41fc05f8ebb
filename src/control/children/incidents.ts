/**
 * What the control plane says of an application that misbehaves, of a dataplane that dies, and of a
 * link that changes: one line for people, one object for programs (--json). The formats are stable.
 *
 * - `ended`: it died, failed or was killed, and is started again in `restartInSeconds`; `restarts`
 *   counts from 1.
 * - `restarted`: it is up again, under a new pid.
 * - `hanging`: it has not returned from a batch for so long; the dataplane goes on without it. At
 *   `restartAfterSeconds` it is killed (cause 'hang'); absent: never.
 * - `quota`: it has asked for more than it may have; `refused` is how often since this was last
 *   said. Of `perSource` it is its peers that have asked: one or more of them has as many
 *   connections as a source may have.
 * - `dataplane-ended`, `dataplane-restarted`: the same of the dataplane that it ran on.
 * - `link`, `link-renamed`: what became of a link, by name; `seconds` is how long it was what it
 *   was before.
 * - `checksums`: how many packets were refused for a checksum that their sender has left to
 *   hardware.
 *
 * Made by application-process.ts, control/service/life.ts, control/service/service.ts and
 * control/service/link-care.ts, printed by cli/serve.ts.
 */
import type { Quotas } from '../../limits.ts';
import { printable } from '../../printable.ts';
import type { LinkState } from '../record/instances.ts';

interface Named {
  application: string;
  pid: number;
}

export interface Ended extends Named {
  event: 'ended';
  cause: 'signal' | 'exit' | 'failure' | 'hang' | 'start';
  /** Of cause 'signal': 'SIGSEGV'. */
  signal?: string;
  /** Of cause 'exit'. */
  exitCode?: number;
  /** Of cause 'failure': what it said. */
  message?: string;
  /** Of causes 'hang' and 'start': how long. */
  seconds?: number;
  restartInSeconds: number;
  restarts: number;
}

export interface Restarted extends Named {
  event: 'restarted';
  restarts: number;
}

export interface Hanging extends Named {
  event: 'hanging';
  seconds: number;
  restartAfterSeconds?: number;
}

export interface QuotaUsedUp extends Named {
  event: 'quota';
  quota: keyof Quotas;
  refused: number;
}

interface OfDataplane extends Named {
  address: string;
  restarts: number;
}

/** `pid` is the dataplane's; absent: it could not be started. */
export interface DataplaneEnded extends Omit<OfDataplane, 'pid'> {
  event: 'dataplane-ended';
  pid?: number;
  /** 'signal SIGKILL' */
  how: string;
  /** What it said of the reason. */
  message?: string;
  restartInSeconds: number;
}

export interface DataplaneRestarted extends OfDataplane {
  event: 'dataplane-restarted';
  /** Domain process: the application's pid. */
  applicationPid?: number;
}

interface OfLink {
  application: string;
  address: string;
  interface: string;
}

export interface LinkChanged extends OfLink {
  event: 'link';
  state: LinkState;
  /** How long it was what it was before. */
  seconds: number;
  /** Of state gone: it is in another network namespace now. */
  isMoved: boolean;
}

export interface LinkRenamed extends OfLink {
  event: 'link-renamed';
  was: string;
}

export interface ChecksumsRefused extends OfLink {
  event: 'checksums';
  refused: number;
}

export type Incident =
  | LinkChanged
  | LinkRenamed
  | ChecksumsRefused
  | Ended
  | Restarted
  | Hanging
  | QuotaUsedUp
  | DataplaneEnded
  | DataplaneRestarted;

const seconds = (value: number): string => `${value.toFixed(1)} s`;

/** 1st, 2nd, 3rd, 4th, 11th. */
export function ordinal(n: number): string {
  const suffix = n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${suffix}`;
}

function causeOf(ended: Ended): string {
  if (ended.cause === 'signal') return `killed by ${ended.signal}`;
  if (ended.cause === 'exit') return `exited with code ${ended.exitCode}`;
  if (ended.cause === 'failure') return `failed (${ended.message})`;
  const time = seconds(ended.seconds ?? 0);
  if (ended.cause === 'start') return `was not ready within ${time} and was killed`;
  return `did not return from a batch for ${time} and was killed`;
}

/** The line, without `ix: `. */
export function describe(incident: Incident): string {
  if ('interface' in incident) {
    const { application, address } = incident;
    const name = printable(incident.interface);
    return `link ${name} of ${application} at ${address}: ${happenedToLink(incident)}`;
  }
  const { application, pid } = incident;
  const number = pid === undefined ? '' : ` (pid ${pid})`;
  if (incident.event === 'quota' && incident.quota === 'perSource') {
    const what = 'a source has as many connections as one may (--quota perSource)';
    return `peers of ${application}${number}: ${what}, refused ${incident.refused} times`;
  }
  if (incident.event === 'dataplane-ended' || incident.event === 'dataplane-restarted') {
    return `dataplane of ${application} at ${incident.address}${number}: ${happened(incident)}`;
  }
  return `application ${application}${number}: ${happened(incident)}`;
}

function happenedToLink(incident: LinkChanged | LinkRenamed | ChecksumsRefused): string {
  if (incident.event === 'link-renamed') return `was ${printable(incident.was)} until now`;
  if (incident.event === 'checksums') {
    const why = 'came with a checksum left to hardware that is not there, and were dropped';
    const remedy = 'where they are sent: ethtool -K INTERFACE tx off';
    return `${incident.refused} packets ${why}; ${remedy}`;
  }
  switch (incident.state) {
    case 'up':
      return `up again after ${seconds(incident.seconds)}`;
    case 'down':
      return 'down, nothing is received or sent until it is up again';
    case 'no carrier':
      return 'no carrier, its other end is down or unplugged';
    case 'gone':
      return incident.isMoved ? 'moved to another network namespace' : 'removed';
  }
}

function happened(incident: Exclude<Incident, OfLink>): string {
  switch (incident.event) {
    case 'ended': {
      const again = `restarted in ${seconds(incident.restartInSeconds)}`;
      return `${causeOf(incident)}, ${again} (${ordinal(incident.restarts)} time)`;
    }
    case 'dataplane-ended': {
      const { how, message, restartInSeconds, restarts } = incident;
      const why = message === undefined ? how : `${how}: ${message}`;
      const again = `restarted in ${seconds(restartInSeconds)} (${ordinal(restarts)} time)`;
      return `ended (${why}), its connections are lost, ${again}`;
    }
    case 'restarted':
    case 'dataplane-restarted':
      return 'ready again';
    case 'hanging': {
      const { restartAfterSeconds: limit } = incident;
      const then = limit === undefined ? 'it is left alone' : `restarted after ${seconds(limit)}`;
      return `has not returned from a batch for ${seconds(incident.seconds)}, ${then}`;
    }
    case 'quota':
      return `quota of ${incident.quota} is used up, refused ${incident.refused} times`;
  }
}

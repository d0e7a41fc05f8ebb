/**
 * What a case of the suite is: one thing that a hostile application tries, and what must come of
 * it.
 *
 * - `run` happens in the application's process, confined as in production; what it returns goes
 *   back over its own connection and is compared there with `expects`, or looked at by `check`. So
 *   this module and the cases are loaded on both sides.
 * - `ends`: the application does not survive it. This is what its control plane must say of that.
 * - What every case must leave behind (victims undisturbed, pools full, same dataplane) is
 *   scene.ts's.
 */
import type { Ended, Incident } from '../../src/control/children/incidents.ts';
import { CALL, EVENT, MAPPED_V4 } from '../../src/gate/abi.ts';
import { parseAddress } from '../../src/libix/address.ts';
import type { HostileGate } from './hostile/gate.ts';

export interface Given {
  /** Name of the case. */
  attack: string;
  /** The flow by which it was asked. */
  flow: number;
  /** The host's address, a server there that keeps what it gets, and one that reads nothing. */
  host: string;
  sink: number;
  deaf: number;
  /** A port of the host that drops every SYN and every datagram. */
  mute: number;
  /** Processes of others: control planes, dataplanes, applications. */
  pids: number[];
  /** Files that the machine has and the application was not given. */
  files: string[];
  /** A directory that it may write to. */
  allowed: string;
}

/** What the host saw meanwhile. */
export interface Observed {
  /** Bytes that came to the sink, and their distinct values. */
  sink: { bytes: number; values: number[]; connections: number };
  /** How much each counter of the hostile dataplane grew. */
  counters: Record<string, number>;
  /** How much each of the host's counters grew (/proc/net/snmp). */
  host: Record<string, number>;
  /** Flags of what the control plane prints into, before and after. */
  control: { before: string[]; after: string[] };
}

export interface Case {
  name: string;
  run(gate: HostileGate, given: Given): unknown;
  expects?: unknown;
  /** On the host, while it runs. */
  meanwhile?(address: string): Promise<void>;
  /** More comes to the hostile service at once than its queue holds. */
  floods?: boolean;
  check?(value: never, observed: Observed): void;
  ends?: Partial<Ended>;
  /** It survives, and is named all the same: what is said of it, in order. */
  named?: readonly Partial<Incident>[];
}

/** Four words of an address. */
export const mapped = (text: string): number[] => [0, 0, MAPPED_V4, parseAddress(text)];
export const ANY = [0, 0, 0, 0];
export const INT_MAX = 2 ** 31 - 1;
export const INT_MIN = -(2 ** 31);

/** The distinct values, in order. */
export const distinct = (values: Iterable<number>): number[] =>
  [...new Set(values)].sort((a, b) => a - b);

/** A flow to the host that is connected. */
export function open(gate: HostileGate, { host, sink }: Given, port = sink): number {
  const flow = gate.call(CALL.connect, 99, ...mapped(host), port);
  if (flow <= 0 || !gate.until(EVENT.connected, flow)) throw new Error(`connect: ${flow}`);
  return flow;
}

/** Waits without a turn; the dataplane has nothing of us. */
export function pause(gate: HostileGate, ms: number): void {
  const end = performance.now() + ms;
  for (let left = ms; left > 0; left = end - performance.now()) gate.rest(left);
}

/** Stops this thread. */
export function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

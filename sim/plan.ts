/**
 * What a run is made of: hosts, paths, flows, and what befalls them. Plain data, all of it drawn
 * from the seed.
 */
import type { Forged } from './forge.ts';
import type { HostPlan } from './host.ts';
import type { PathOptions } from './path.ts';

/** How one end of a flow behaves. Sizes are bytes, times microseconds. */
export interface EndPlan {
  /** Sent in all, of which `initial` at once and `outUnit` more for every `inUnit` received. */
  total: number;
  initial: number;
  inUnit: number;
  outUnit: number;
  /** Largest single send, and the pause behind each. */
  chunk: number;
  gapUs: number;
  /** Send before the handshake is complete. */
  sendsEarly: boolean;
  /**
   * 0: sent from constant memory; else from a ring that is overwritten when its bytes are
   * acknowledged.
   */
  ringBytes: number;
  /** 0: all that there is is read at once; else so much, every readGapUs. */
  readChunk: number;
  readGapUs: number;
  /** Reading stops here for pauseUs (Infinity: for ever); -1: it does not. */
  pauseAt: number;
  pauseUs: number;
  /**
   * Closes when all is sent, when all is sent and received, when the peer has ended, or not by
   * itself.
   */
  close: 'sent' | 'done' | 'ended' | 'never';
  closeGapUs: number;
  /** Half-close as soon as all is sent. */
  shutsDown: boolean;
  /** Aborts when so many bytes were sent and received; -1: it does not. */
  abortAt: number;
  keepaliveMs: number;
  /** 0: the usual retries. */
  userTimeoutMs: number;
}

export interface FlowPlan {
  id: number;
  kind: string;
  client: number;
  server: number;
  clientPort: number;
  serverPort: number;
  startUs: number;
  /** The server's application lets a knock wait for so long. */
  acceptUs: number;
  rejects: boolean;
  /** Both sides connect, nobody listens. */
  isSimultaneous: boolean;
  /**
   * On a gentle network between living hosts every byte must arrive and both ends must close in
   * order.
   */
  isClean: boolean;
  /**
   * When both ends have died: the same again, under the same four-tuple, so often and after so
   * long.
   */
  again: number;
  againUs: number;
  /** Client's, server's. */
  ends: readonly [EndPlan, EndPlan];
}

/** Datagrams from one raw host to another, on a port of their own. */
export interface DatagramPlan {
  from: number;
  to: number;
  port: number;
  atUs: number;
  gapUs: number;
  count: number;
  bytesMax: number;
}

export interface Scenario {
  seed: number;
  hosts: HostPlan[];
  listeners: { host: number; port: number; backlog: number }[];
  flows: FlowPlan[];
  /** paths[from][to] */
  paths: PathOptions[][];
  /** Nothing passes between the two hosts in both directions. */
  partitions: { atUs: number; us: number; a: number; b: number }[];
  /** The path's MTU changes; silent: nobody is told what does not fit. */
  mtuChanges: { atUs: number; from: number; to: number; mtu: number; isSilent?: boolean }[];
  /** A host does nothing for a while. */
  stalls: { atUs: number; us: number; host: number }[];
  deaths: { atUs: number; host: number }[];
  /**
   * A host dies and is there again after a while, remembering nothing; its clients may connect
   * again as before.
   */
  reboots: { atUs: number; us: number; host: number; reconnects: boolean }[];
  datagrams: DatagramPlan[];
  /** Acknowledgements of nothing, in another host's name. */
  forgeries: { atUs: number; forged: Forged }[];
  /** Loss is rare and partitions are short: a clean flow must survive. */
  isGentle: boolean;
  /** No frame is harmed and no host stalls: nothing may time out. */
  isPerfect: boolean;
}

/** The longest that an end may do nothing by its own plan. */
export function waitOf(flow: FlowPlan): number {
  const waits = flow.ends.flatMap((end) => [
    end.gapUs,
    end.readGapUs,
    end.closeGapUs,
    Number.isFinite(end.pauseUs) ? end.pauseUs : 0,
  ]);
  return Math.max(flow.acceptUs, ...waits);
}

export const reader = (): EndPlan => ({
  total: 0,
  initial: 0,
  inUnit: 1,
  outUnit: 0,
  chunk: 1,
  gapUs: 0,
  sendsEarly: false,
  ringBytes: 0,
  readChunk: 0,
  readGapUs: 0,
  pauseAt: -1,
  pauseUs: 0,
  close: 'ended',
  closeGapUs: 0,
  shutsDown: false,
  abortAt: -1,
  keepaliveMs: 0,
  userTimeoutMs: 0,
});

/**
 * Frames that came to a thread whose flow they are not of: they go on to the one that has it, and
 * to nobody else.
 *
 * - Whoever steers frames (nic/flow-groups.ts) does not see the ports of IP fragments, behind
 *   extension headers and tags, and in what an ICMP error quotes; a NIC may have a table of its
 *   own, or change it. So whoever gets a segment, a datagram or an error asks here whose it is,
 *   when it has been reassembled and parsed. TCP asks only where it has no flow.
 * - The owner sees the frame as if it had come to it at once, and its table says that it is its
 *   own: nothing is handed on twice for one reason.
 * - Fragments of one datagram may come to several threads: addresses and identification name the
 *   one that puts them together, as if they were ports.
 * - A frame that is handed on has been copied; it is still the caller's. What the owner has no room
 *   for is dropped and counted (nic/around/siblings.ts).
 * - What is too long for a frame stays where it was put together: only UDP takes it, cut.
 * - One thread, or nobody who knows: everything is ours, at the price of one comparison.
 *
 * Called by tcp/input.ts, net/udp.ts, net/v4/icmp.ts, net/v6/icmpv6.ts, net/ipv4-input.ts and
 * net/ipv6-input.ts. Read first: nic/flow-groups.ts; docs/ARCHITECTURE.md "Several threads".
 */
import { MAPPED_V4 } from '../../gate/abi.ts';
import type { FlowThreads } from '../../nic/flow-groups.ts';
import type { SiblingThreads } from '../../nic/nic.ts';
import { flowThreadsOf } from '../../nic/toeplitz.ts';
import { IP_DESTINATION, IP_SOURCE, IP_VERSION_IHL } from '../../wire/ipv4.ts';
import { IP6_DESTINATION, IP6_SOURCE } from '../../wire/ipv6.ts';
import { type Environment, NO_FRAME } from './environment.ts';

const REMOTE = 0;
const LOCAL = 4;

export class Owners {
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  /** undefined: everything is ours. */
  readonly #groups: FlowThreads | undefined;
  readonly #siblings: SiblingThreads | undefined;
  readonly #thread: number;
  readonly #threads: number;

  constructor({ arena, config, nic }: Environment) {
    const { flowGroups, thread = 0, threads = 1 } = config;
    this.#view = arena.view;
    this.#u8 = arena.u8;
    this.#siblings = threads > 1 ? nic.siblings : undefined;
    this.#groups = flowGroups && this.#siblings && flowThreadsOf(flowGroups);
    this.#thread = thread;
    this.#threads = threads;
  }

  /**
   * What came in `frame`, whose IP header is at `ip`, whose ports are at `ports` and which ends at
   * `end`. True: it was another's, and is on its way.
   */
  handsOn(frame: number, ip: number, ports: number, end: number): boolean {
    const groups = this.#groups;
    if (groups === undefined || frame === NO_FRAME) return false;
    this.#addresses(groups, ip, REMOTE, LOCAL);
    const sum = groups.sumOf(this.#view.getUint16(ports));
    return this.#to(groups.threadOf(sum, this.#view.getUint16(ports + 2)), frame, end);
  }

  /** An error about what we have sent: the IP header at `quote`, the ports at `ports`. */
  handsOnError(frame: number, quote: number, ports: number, end: number): boolean {
    const groups = this.#groups;
    if (groups === undefined || frame === NO_FRAME) return false;
    this.#addresses(groups, quote, LOCAL, REMOTE);
    const sum = groups.sumOf(this.#view.getUint16(ports + 2));
    return this.#to(groups.threadOf(sum, this.#view.getUint16(ports)), frame, end);
  }

  /** A fragment of the datagram `id`. */
  handsOnFragment(frame: number, ip: number, id: number, end: number): boolean {
    const groups = this.#groups;
    if (groups === undefined || frame === NO_FRAME) return false;
    this.#addresses(groups, ip, REMOTE, LOCAL);
    return this.#to(groups.threadOf(groups.sumOf(id >>> 16), id & 0xffff), frame, end);
  }

  /**
   * A datagram of our flow, for whose port there is no socket here. A port that a thread's stack
   * has picked (`picks`) is that thread's, whatever the flow.
   */
  handsOnPort(frame: number, port: number, end: number): boolean {
    if (this.#siblings === undefined || frame === NO_FRAME) return false;
    return this.#to(port % this.#threads, frame, end);
  }

  /** Whether this thread may pick the port for a datagram socket. */
  picks(port: number): boolean {
    return this.#siblings === undefined || port % this.#threads === this.#thread;
  }

  #to(thread: number, frame: number, end: number): boolean {
    if (thread === this.#thread) return false;
    this.#siblings!.handOn(thread, frame, end - frame);
    return true;
  }

  /** Source and destination of an IP header as the words of `source` and `destination`. */
  #addresses(groups: FlowThreads, ip: number, source: number, destination: number): void {
    const { words } = groups;
    const view = this.#view;
    if (this.#u8[ip + IP_VERSION_IHL]! >> 4 === 4) {
      words.fill(0);
      words[source + 2] = MAPPED_V4;
      words[source + 3] = view.getInt32(ip + IP_SOURCE);
      words[destination + 2] = MAPPED_V4;
      words[destination + 3] = view.getInt32(ip + IP_DESTINATION);
      return;
    }
    for (let w = 0; w < 4; w++) {
      words[source + w] = view.getInt32(ip + IP6_SOURCE + 4 * w);
      words[destination + w] = view.getInt32(ip + IP6_DESTINATION + 4 * w);
    }
  }
}

/**
 * ICMP errors about our segments, and neighbours who do not answer.
 *
 * - Anyone can send an error: the quoted sequence number must be of data in flight (RFC 5927 4.1),
 *   and a synchronized connection never dies of one (soft errors, RFC 5927 5.2): its timeout will
 *   only be told as `unreachable`.
 * - A SYN in flight is given up at once: no such port or protocol is `refused`.
 * - "Fragmentation needed" lowers the MSS, down to PATH_MTU_MIN, and what is in flight is sent
 *   again in smaller pieces.
 *
 * Called by tcp.ts, for net/. Read first: RFC 5927; RFC 1122 4.2.3.9; RFC 1191.
 */
import { DEAD } from '../gate/abi.ts';
import type { Environment } from '../net/both/environment.ts';
import { isToken } from '../net/v6/destinations.ts';
import { VERIFY } from '../verify.ts';
import { TCP_HEADER_BYTES } from '../wire/tcp.ts';
import { PATH_MTU_MIN } from './constants.ts';
import type { Flows } from './flows.ts';
import type { Opening } from './open.ts';
import type { PathMtu } from './path-mtu.ts';
import type { Recovery } from './recovery.ts';
import type { IpLayer } from './segment.ts';
import type { SendQueue } from './send-queue.ts';
import { geq, lt } from './seq.ts';
import { FLAG, STATE, TCB } from './tcb.ts';
import type { Teardown } from './teardown.ts';

const UNREACHABLE = 3;
const TIME_EXCEEDED = 11;
const PROTOCOL_UNREACHABLE = 2;
const PORT_UNREACHABLE = 3;
const FRAGMENTATION_NEEDED = 4;

export class IcmpErrors {
  /** VERIFY: flows that were looked at. */
  steps = 0;
  /** A byte for each neighbour of either protocol: it has failed since the last `settle`. */
  readonly #failed: Uint8Array;
  #hasFailures = false;
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #opening: Opening;
  readonly #sendQueue: SendQueue;
  readonly #teardown: Teardown;
  readonly #recovery: Recovery;
  readonly #ip: IpLayer;
  readonly #pathMtu: PathMtu;

  constructor(
    env: Environment,
    flows: Flows,
    ip: IpLayer,
    opening: Opening,
    sendQueue: SendQueue,
    teardown: Teardown,
    recovery: Recovery,
    pathMtu: PathMtu,
  ) {
    this.#failed = new Uint8Array(env.limits.neighbours * 2);
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#opening = opening;
    this.#sendQueue = sendQueue;
    this.#teardown = teardown;
    this.#recovery = recovery;
    this.#ip = ip;
    this.#pathMtu = pathMtu;
  }

  /** `ports` is remote << 16 | local; `mtu` is only meaningful for "fragmentation needed". */
  error(
    type: number,
    code: number,
    remote: number,
    ports: number,
    local: number,
    sequence: number,
    mtu: number,
  ): void {
    if (type !== UNREACHABLE && type !== TIME_EXCEEDED) return;
    const row = this.#flows.table.find(remote, ports, local);
    if (row < 0) return;
    const i32 = this.#i32;
    const inFlight = geq(sequence, i32[row + TCB.sndUna]!) && lt(sequence, i32[row + TCB.sndMax]!);
    if (!inFlight) return;
    if (type === UNREACHABLE && code === FRAGMENTATION_NEEDED) this.#tooBig(row, mtu);
    else if (i32[row + TCB.state] === STATE.synSent) {
      const isPort =
        type === UNREACHABLE && (code === PORT_UNREACHABLE || code === PROTOCOL_UNREACHABLE);
      this.#teardown.finish(row, isPort ? DEAD.refused : DEAD.unreachable);
    } else i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.softError;
  }

  #tooBig(row: number, mtu: number): void {
    const i32 = this.#i32;
    const remote = i32[row + TCB.remote]!;
    if (mtu >= this.#ip.linkMtu(remote) || i32[row + TCB.state]! < STATE.established) return;
    const path = Math.max(mtu, PATH_MTU_MIN);
    const before = i32[row + TCB.mss]!;
    const named = i32[row + TCB.peerMss]!;
    const fits = path - this.#ip.headerBytes(remote) - TCP_HEADER_BYTES;
    this.#opening.setMss(row, Math.min(named, fits));
    if (i32[row + TCB.mss]! >= before) {
      i32[row + TCB.mss] = before; // never larger than it was
      return;
    }
    this.#pathMtu.lowered(row, false);
    if ((i32[row + TCB.flags]! & FLAG.sack) !== 0) {
      this.#recovery.tooLong(row);
      return;
    }
    i32[row + TCB.sndNxt] = i32[row + TCB.sndUna]!;
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~(FLAG.timing | FLAG.rexmit);
    this.#sendQueue.rewind(row);
    this.#flows.output.push(row);
  }

  /**
   * No way to a neighbour (ARP or neighbour discovery gave up): it is noted, because a thousand may
   * fail at once, and what waits for them is looked for once.
   */
  neighbourFailed(neighbour: number, isIpv6: boolean): void {
    // Neighbours of IPv4 and of IPv6 have the same numbers.
    this.#failed[(neighbour << 1) | (isIpv6 ? 1 : 0)] = 1;
    this.#hasFailures = true;
  }

  /** SYNs that wait for neighbours who have failed are given up. */
  settle(): void {
    if (!this.#hasFailures) return;
    const i32 = this.#i32;
    const { connecting } = this.#flows;
    for (let row = connecting.head; row !== 0; ) {
      if (VERIFY) this.steps++;
      const next = connecting.next(row);
      const family = isToken(i32[row + TCB.remote]!) ? 1 : 0;
      const isFailed = this.#failed[(i32[row + TCB.neighbour]! << 1) | family] === 1;
      if (isFailed && i32[row + TCB.state] === STATE.synSent) {
        this.#teardown.finish(row, DEAD.unreachable);
      }
      row = next;
    }
    this.#failed.fill(0);
    this.#hasFailures = false;
  }
}

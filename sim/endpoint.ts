/**
 * One end of a flow: what its application has done, what it must do, what it may rely on.
 *
 * - The plan says how much it sends, when more may be sent (a request unlocks a response, an echo
 *   unlocks itself), how it reads, and how it ends. raw-application.ts and ix-application.ts act it
 *   out.
 * - Every received byte is compared with the stream; positions tell loss and repetition.
 */
import { firstWrong, keyOf } from './content.ts';
import type { Host } from './host.ts';
import type { EndPlan, FlowPlan } from './plan.ts';
import { Violation } from './violation.ts';

export class Endpoint {
  readonly flow: FlowPlan;
  readonly side: 0 | 1;
  readonly plan: EndPlan;
  readonly host: Host;
  readonly key: number;
  peer!: Endpoint;
  /** Ring of application memory that the stream is sent from; -1: sent from the pattern itself. */
  ring = -1;
  isOpen = false;
  /** Bytes that the stack (or libix) took, and that are known to be acknowledged. */
  accepted = 0;
  acked = 0;
  /** Bytes handed to the application, and given back by it. */
  received = 0;
  consumed = 0;
  /** The peer's FIN was told. */
  hasEnded = false;
  /** The application has closed, shut down, or aborted. */
  isClosing = false;
  isShut = false;
  isAborted = false;
  /** It has aborted because its peer was gone. */
  hasGivenUp = false;
  /** It will never be: its flow did not reach it. */
  isAbsent = false;
  deaths = 0;
  reason = -1;
  /** Not before this time. */
  mayWriteAt = 0;
  mayReadAt = 0;
  mayCloseAt = -1;
  hasPaused = false;
  /** Something last went on at this time. */
  progressAt = 0;

  constructor(flow: FlowPlan, side: 0 | 1, host: Host) {
    this.flow = flow;
    this.side = side;
    this.plan = flow.ends[side];
    this.host = host;
    this.key = keyOf(flow.client, flow.clientPort, flow.server, flow.serverPort);
    if (this.plan.ringBytes > 0 && flow.id < 1000 && host.plan.kind === 'raw')
      this.ring = host.alloc(this.plan.ringBytes);
  }

  get name(): string {
    const { flow, host } = this;
    const role = this.side === 0 ? 'client' : 'server';
    return `flow ${flow.id} (${flow.kind}) ${role} on host ${host.index + 1}`;
  }

  /** The other end's host, and both ports. */
  get route(): { remote: number; from: number; to: number } {
    const { client, server, clientPort, serverPort } = this.flow;
    return this.side === 0
      ? { remote: server, from: clientPort, to: serverPort }
      : { remote: client, from: serverPort, to: clientPort };
  }

  get isDead(): boolean {
    return this.deaths > 0;
  }

  /** Bytes that may be sent in all by now. */
  get allowed(): number {
    const { total, initial, inUnit, outUnit } = this.plan;
    return Math.min(total, initial + Math.floor(this.received / inUnit) * outUnit);
  }

  fail(text: string): never {
    throw new Violation(`${this.name}: ${text}`);
  }

  check(holds: boolean, text: string): void {
    if (!holds) this.fail(text);
  }

  /** Received bytes at `offset` are those of the stream from `position` on. */
  verify(pattern: Buffer, offset: number, length: number, position: number): void {
    const wrong = firstWrong(pattern, this.host.memory, offset, length, this.key, position);
    if (wrong >= 0) this.fail(`wrong byte at position ${position + wrong}`);
    const end = position + length;
    this.check(
      end <= this.peer.accepted,
      `received ${end} bytes, the peer has sent ${this.peer.accepted}`,
    );
  }

  /** How many of the bytes that are there the plan reads now; sets when it reads on. */
  readable(now: number): number {
    const { plan } = this;
    const bytes = this.received - this.consumed;
    if (plan.pauseAt >= 0 && !this.hasPaused && this.received >= plan.pauseAt) {
      this.hasPaused = true;
      this.mayReadAt = now + plan.pauseUs;
      return Math.max(0, plan.pauseAt - this.consumed);
    }
    if (plan.readChunk === 0 || bytes === 0) return bytes;
    this.mayReadAt = now + plan.readGapUs;
    return Math.min(bytes, plan.readChunk);
  }

  /** Whether the application now wants to close its side for good. */
  get wantsClose(): boolean {
    const { plan } = this;
    if (!this.isOpen || this.isClosing) return false;
    const isSent = this.accepted === plan.total;
    const isRead = this.consumed === this.received;
    switch (plan.close) {
      case 'sent':
        return isSent;
      case 'done':
        return isSent && isRead && this.received === this.peer.plan.total;
      case 'ended':
        return this.hasEnded && isRead && this.accepted === this.allowed;
      default:
        return false;
    }
  }

  get wantsAbort(): boolean {
    const { abortAt } = this.plan;
    return (
      this.isOpen && !this.isAborted && abortAt >= 0 && this.accepted + this.received >= abortAt
    );
  }

  died(reason: number): void {
    this.deaths++;
    this.reason = reason;
    this.check(this.deaths === 1, 'died twice');
  }

  /** For reports. */
  describe(): string {
    const of = (a: number, b: number): string => `${a}/${b}`;
    const state = this.isDead ? `dead (${this.reason})` : this.isOpen ? 'open' : 'not open';
    return [
      `${this.name}: ${state}`,
      `sent ${of(this.accepted, this.plan.total)} acknowledged ${this.acked}`,
      `received ${of(this.received, this.peer.plan.total)} read ${this.consumed}`,
      ...(this.hasEnded ? ['peer ended'] : []),
      ...(this.isClosing ? ['closing'] : []),
    ].join(', ');
  }
}

/**
 * One connection as an application sees it: bytes come in by `Handlers.received`, go out by `send`
 * or `write`.
 *
 * - One object is one life. From `closed` on everything it can do is over for ever: methods do
 *   nothing and answer false, the peer's address is 0, and only `state` is kept. So an answer that
 *   comes late goes to nobody. `pooled` handlers promise never to touch it then, and their objects
 *   are used again (handlers.ts).
 * - `id` is small and dense, so that applications can keep their own state in arrays: after
 *   `closed` another one's.
 * - `send` copies nothing: the bytes must not change until `released(tag)`. `write` copies into
 *   libix's blocks.
 * - Nothing is allocated per message. Fields are int32.
 * - The protocol between a connection and the dataplane (which call when) is in session.ts.
 */
import { integer } from './arguments.ts';
import { COLUMN, type Columns } from './columns.ts';
import type { Handlers } from './handlers.ts';
import type { Session } from './session.ts';

/**
 * With more bytes queued a connection is not `writable`, and gets no more input (but:
 * `readsWhileBlocked`, `midRequest`).
 */
export const HIGH_WATER_BYTES = 262_144;

/** Where a connection stands, as libix sees it. */
export const PHASE = { free: 0, connecting: 1, open: 2, closing: 3 } as const;

/**
 * In `Connection.bits`: these, then the phase, then what is wanted (session.ts). One field for all:
 * see columns.ts.
 */
const BIT = {
  isDirty: 1 << 0,
  isPaused: 1 << 1,
  readsWhileBlocked: 1 << 2,
  sendPending: 1 << 3,
  isBlocked: 1 << 4,
  isStarved: 1 << 5,
  isHungry: 1 << 6,
  isGathering: 1 << 7,
  hasEnded: 1 << 8,
  endedTold: 1 << 9,
  hasShutDown: 1 << 10,
  hasPending: 1 << 11,
  isPooled: 1 << 14,
  isRefused: 1 << 15,
  midRequest: 1 << 24,
} as const;
/** With one of them a connection is read although it is not writable. */
const READS_BLOCKED = BIT.readsWhileBlocked | BIT.midRequest;
const PHASE_SHIFT = 12;
const PHASE_MASK = 3 << PHASE_SHIFT;
const OPEN_BITS = PHASE.open << PHASE_SHIFT;
const CONNECTING_BITS = PHASE.connecting << PHASE_SHIFT;
const WANTS_SHIFT = 16;
const WANTS_MASK = 0xff << WANTS_SHIFT;

/** The word of an IPv4-mapped IPv6 address before the last (RFC 4291 2.5.5.2). */
const MAPPED = 0xffff;

export class Connection {
  readonly id: number;
  /** The application's own; a pooled one's is gone after `closed`. */
  state: unknown = undefined;
  #handlers: Handlers;
  readonly #session: Session;

  // --- libix's own fields; session.ts is their only writer ---
  #bits = 0;
  handle = 0;
  nextDirty = -1;
  /** Received bytes consumed, not yet told to the dataplane. */
  consumed = 0;
  /**
   * Span queue: first unacknowledged node, last node, first node with unsent bytes, bytes of it
   * already accepted.
   */
  sendHead = -1;
  sendTail = -1;
  sendCursor = -1;
  sendCursorDone = 0;
  /** Bytes of the head node already acknowledged. */
  headAcked = 0;
  queuedBytes = 0;
  /** Spans in the queue, blocks of ours included: no connection holds more than are free. */
  spanCount = 0;
  inFlight = 0;

  constructor(session: Session, id: number, handlers: Handlers) {
    this.#session = session;
    this.id = id;
    this.#handlers = handlers;
  }

  get #columns(): Columns {
    return this.#session.columns;
  }

  /** The columns of an id are the living one's: 0 for everybody else. */
  #get(column: number): number {
    return this.isAlive ? this.#columns.get(this.id, column) : 0;
  }

  #put(column: number, value: number): void {
    if (this.isAlive) this.#columns.set(this.id, column, value);
  }

  get handlers(): Handlers {
    return this.#handlers;
  }

  /** Others, from now on. */
  set handlers(own: Handlers) {
    this.#handlers = this.#session.guard(own);
  }

  /** A life begins, in `phase`; session.ts only. */
  begin(guarded: Handlers, phase: number): void {
    this.#handlers = guarded;
    this.#bits = (phase << PHASE_SHIFT) | (guarded.pooled === true ? BIT.isPooled : 0);
  }

  /** `closed` has not come yet. */
  get isAlive(): boolean {
    return (this.#bits & PHASE_MASK) !== 0;
  }

  /** Its application has promised to forget it: its object may have another life. */
  get isPooled(): boolean {
    return (this.#bits & BIT.isPooled) !== 0;
  }

  /** The dataplane has refused a call of its: it is to be reset. `refusal` says what. */
  get isRefused(): boolean {
    return (this.#bits & BIT.isRefused) !== 0;
  }

  set isRefused(on: boolean) {
    this.#set(BIT.isRefused, on);
  }

  /** One of PHASE. */
  get phase(): number {
    return (this.#bits & PHASE_MASK) >> PHASE_SHIFT;
  }

  set phase(phase: number) {
    this.#bits = (this.#bits & ~PHASE_MASK) | (phase << PHASE_SHIFT);
  }

  /** Calls to be made, as session.ts numbers them: 8 bits. */
  get wants(): number {
    return (this.#bits & WANTS_MASK) >> WANTS_SHIFT;
  }

  set wants(wants: number) {
    this.#bits = (this.#bits & ~WANTS_MASK) | (wants << WANTS_SHIFT);
  }

  #set(bit: number, on: boolean): void {
    this.#bits = on ? this.#bits | bit : this.#bits & ~bit;
  }

  /**
   * The application's own, to be set in `opened`: input comes also while the connection is not
   * `writable`.
   *
   * - False is right where input makes output, as in a server: who does not take its answers is not
   *   read.
   * - Where both ends stream on their own account one must set it, better both: with both queues
   *   full neither would read, and neither queue would ever drain.
   */
  get readsWhileBlocked(): boolean {
    return (this.#bits & BIT.readsWhileBlocked) !== 0;
  }

  set readsWhileBlocked(on: boolean) {
    this.#set(BIT.readsWhileBlocked, on);
  }

  /**
   * The application's own, at any time: a request has begun, and its rest has not come yet. Input
   * comes also while the connection is not `writable`, until this is false again.
   *
   * - For requests that are answered as they come, or behind earlier ones whose answers are not
   *   taken: a peer that writes its request to the end before it reads would wait for us, and we
   *   for it.
   * - The application must be able to take what comes, without answering: into memory of its own,
   *   with a limit.
   */
  get midRequest(): boolean {
    return (this.#bits & BIT.midRequest) !== 0;
  }

  set midRequest(on: boolean) {
    this.#set(BIT.midRequest, on);
  }

  /** It is in the list of those with calls to make. */
  get isDirty(): boolean {
    return (this.#bits & BIT.isDirty) !== 0;
  }

  set isDirty(on: boolean) {
    this.#set(BIT.isDirty, on);
  }

  get isPaused(): boolean {
    return (this.#bits & BIT.isPaused) !== 0;
  }

  set isPaused(on: boolean) {
    this.#set(BIT.isPaused, on);
  }

  /** A sendv is at the gate; its result comes with the next batch. */
  get sendPending(): boolean {
    return (this.#bits & BIT.sendPending) !== 0;
  }

  set sendPending(on: boolean) {
    this.#set(BIT.sendPending, on);
  }

  /** The dataplane took less than asked: wait for `sent`. */
  get isBlocked(): boolean {
    return (this.#bits & BIT.isBlocked) !== 0;
  }

  set isBlocked(on: boolean) {
    this.#set(BIT.isBlocked, on);
  }

  /** libix had no block or span for it: no more input until some come back. */
  get isStarved(): boolean {
    return (this.#bits & BIT.isStarved) !== 0;
  }

  set isStarved(on: boolean) {
    this.#set(BIT.isStarved, on);
  }

  /**
   * The dataplane took nothing, and nothing is on the way whose `sent` would be the time to ask
   * again.
   */
  get isHungry(): boolean {
    return (this.#bits & BIT.isHungry) !== 0;
  }

  set isHungry(on: boolean) {
    this.#set(BIT.isHungry, on);
  }

  /** It holds a gather block. */
  get isGathering(): boolean {
    return (this.#bits & BIT.isGathering) !== 0;
  }

  set isGathering(on: boolean) {
    this.#set(BIT.isGathering, on);
  }

  get hasEnded(): boolean {
    return (this.#bits & BIT.hasEnded) !== 0;
  }

  set hasEnded(on: boolean) {
    this.#set(BIT.hasEnded, on);
  }

  get endedTold(): boolean {
    return (this.#bits & BIT.endedTold) !== 0;
  }

  set endedTold(on: boolean) {
    this.#set(BIT.endedTold, on);
  }

  get hasShutDown(): boolean {
    return (this.#bits & BIT.hasShutDown) !== 0;
  }

  set hasShutDown(on: boolean) {
    this.#set(BIT.hasShutDown, on);
  }

  /**
   * The peer: an IPv4 address as a big-endian integer (int32), or the last word of an IPv6 address;
   * and its port.
   */
  get remoteAddress(): number {
    return this.isAlive ? this.#columns.address(this.id) : 0;
  }

  get remotePort(): number {
    return this.isAlive ? this.#columns.port(this.id) : 0;
  }

  set remotePort(port: number) {
    if (this.isAlive) this.#columns.setPort(this.id, port);
  }

  /** The words before it: 0, 0, 0xffff for IPv4. */
  get remote0(): number {
    return this.#get(COLUMN.remote0);
  }

  get remote1(): number {
    return this.#get(COLUMN.remote1);
  }

  get remote2(): number {
    return this.isAlive ? this.#get(COLUMN.remote2) ^ MAPPED : 0;
  }

  /** Four words from `at` on. */
  setRemote(words: ArrayLike<number>, at = 0): void {
    this.#put(COLUMN.remote0, words[at]!);
    this.#put(COLUMN.remote1, words[at + 1]!);
    this.#put(COLUMN.remote2, words[at + 2]! ^ MAPPED);
    if (this.isAlive) this.#columns.setAddress(this.id, words[at + 3]!);
  }

  /** First and last of the received spans that the application has not had yet; -1: none. */
  get pendingHead(): number {
    return this.#bits & BIT.hasPending ? this.#get(COLUMN.pendingHead) : -1;
  }

  set pendingHead(node: number) {
    this.#setPending(COLUMN.pendingHead, node);
  }

  get pendingTail(): number {
    return this.#bits & BIT.hasPending ? this.#get(COLUMN.pendingTail) : -1;
  }

  set pendingTail(node: number) {
    this.#setPending(COLUMN.pendingTail, node);
  }

  #setPending(column: number, node: number): void {
    this.#set(BIT.hasPending, node >= 0);
    if (node >= 0) this.#put(column, node);
  }

  /** Starved: the blocks it lacked; 0: a span. */
  get missing(): number {
    return this.#get(COLUMN.missing);
  }

  set missing(value: number) {
    this.#put(COLUMN.missing, value);
  }

  /** -1: none. */
  get gatherBlock(): number {
    return this.#get(COLUMN.gatherBlock) - 1;
  }

  set gatherBlock(value: number) {
    this.#put(COLUMN.gatherBlock, value + 1);
  }

  get gatherLength(): number {
    return this.#get(COLUMN.gatherLength);
  }

  set gatherLength(value: number) {
    this.#put(COLUMN.gatherLength, value);
  }

  /**
   * Neighbours in the list of those that hold a gather block, oldest first: connection ids, -1:
   * none.
   */
  get gatherOlder(): number {
    return this.#get(COLUMN.gatherOlder) - 1;
  }

  set gatherOlder(value: number) {
    this.#put(COLUMN.gatherOlder, value + 1);
  }

  get gatherYounger(): number {
    return this.#get(COLUMN.gatherYounger) - 1;
  }

  set gatherYounger(value: number) {
    this.#put(COLUMN.gatherYounger, value + 1);
  }

  get keepaliveMs(): number {
    return this.#get(COLUMN.keepaliveMs);
  }

  get keepaliveIntervalMs(): number {
    return this.#get(COLUMN.keepaliveIntervalMs);
  }

  get keepaliveCount(): number {
    return this.#get(COLUMN.keepaliveCount);
  }

  get userTimeoutMs(): number {
    return this.#get(COLUMN.userTimeoutMs);
  }

  get hops(): number {
    return this.#get(COLUMN.hops);
  }

  get codePoint(): number {
    return this.#get(COLUMN.codePoint);
  }

  /** What the dataplane refused: the kind of call << 8 | the code's amount; 0: nothing. */
  get refusal(): number {
    return this.#get(COLUMN.refusal);
  }

  set refusal(value: number) {
    this.#put(COLUMN.refusal, value);
  }

  /** Whether more may be sent before the peer has taken what is queued. */
  get writable(): boolean {
    const phase = this.#bits & PHASE_MASK;
    return (phase === OPEN_BITS || phase === CONNECTING_BITS) && this.hasRoom;
  }

  /** The same, of the queue alone. */
  get hasRoom(): boolean {
    return this.queuedBytes < HIGH_WATER_BYTES && !this.isStarved;
  }

  get isOpen(): boolean {
    return (this.#bits & PHASE_MASK) === OPEN_BITS;
  }

  /** Whether received bytes may be handed over now. */
  get mayRead(): boolean {
    return !this.isPaused && (this.hasRoom || (this.#bits & READS_BLOCKED) !== 0);
  }

  /**
   * Queues bytes of application memory without copying; they must not change until `released(tag)`
   * (tag 0: never told). Returns false, and queues nothing, when the connection is closing or gone,
   * or libix has no span left. Throws IxArgumentError for bytes that lie elsewhere, as every call
   * does that is given what cannot be.
   */
  send(offset: number, length: number, tag = 0): boolean {
    return this.#session.send(this, offset, length, tag);
  }

  /**
   * Queues a copy of bytes from anywhere in the arena. False when nothing was queued (see `send`).
   */
  write(offset: number, length: number): boolean {
    return this.#session.write(this, offset, length);
  }

  /** Convenience: queues text as UTF-8. Allocates. */
  writeText(text: string): boolean {
    return this.#session.writeBytes(this, new TextEncoder().encode(text));
  }

  // Those that follow answer whether it will be done: false when it is closing already, or gone.

  /** Closes gracefully: FIN after what is queued. Further input is dropped. */
  close(): boolean {
    return this.#session.close(this);
  }

  /** Half-close: FIN after what is queued, while input goes on. */
  end(): boolean {
    return this.#session.end(this);
  }

  /**
   * Asks the peer after `idleMs` of its silence whether it is still there, `count` times (127 at
   * most), `intervalMs` apart (1,000 s at most); without an answer the connection ends (timeout).
   * 0: never (the default, unless `--keepalive` says otherwise). Without `intervalMs` and `count`:
   * 75 s and 9, as Linux.
   */
  keepalive(idleMs: number, intervalMs = 75_000, count = 9): boolean {
    integer('keepalive (ms)', idleMs, 0);
    integer('keepalive: interval (ms)', intervalMs, 1, 1_000_000);
    integer('keepalive: count', count, 1, 127);
    this.#put(COLUMN.keepaliveMs, idleMs);
    this.#put(COLUMN.keepaliveIntervalMs, intervalMs);
    this.#put(COLUMN.keepaliveCount, count);
    return this.#session.keepalive(this);
  }

  /**
   * Gives the connection up when the peer has acknowledged nothing for so long; 0: after the usual
   * retries.
   */
  userTimeout(ms: number): boolean {
    integer('userTimeout (ms)', ms, 0);
    this.#put(COLUMN.userTimeoutMs, ms);
    return this.#session.userTimeout(this);
  }

  /**
   * What routers read on our packets from the next batch on: DiffServ code point (0..63, RFC 2474),
   * and TTL or hop limit (1..255; 0: the usual 64).
   */
  mark(codePoint: number, hops = 0): boolean {
    integer('mark: code point', codePoint, 0, 63);
    integer('mark: hop limit', hops, 0, 255);
    this.#put(COLUMN.codePoint, codePoint);
    this.#put(COLUMN.hops, hops);
    return this.#session.marking(this);
  }

  /** Resets the connection now. */
  abort(): boolean {
    return this.#session.abort(this);
  }

  /** Hands over no more input until `resume`; the window closes when the peer goes on. */
  pause(): boolean {
    this.isPaused = true;
    return this.isAlive;
  }

  resume(): boolean {
    return this.#session.resume(this);
  }

  /**
   * Its life is over; session.ts only. In the list of the dirty it stays as long as that has it.
   */
  reset(): void {
    this.#columns.reset(this.id);
    if (this.isPooled) this.state = undefined;
    this.#bits &= BIT.isDirty | BIT.isPooled; // its phase is `free`, and it wants nothing
    this.handle = 0;
    this.consumed = 0;
    this.sendCursor = -1;
    this.sendCursorDone = 0;
  }
}

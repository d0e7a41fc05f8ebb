/**
 * What libix itself has of a connection: where it stands, what it wants of the dataplane, what it
 * holds of spans and blocks. Nothing of it is for applications: theirs is connection.ts.
 *
 * - Fields are int32. What is one bit, the phase and the wants share one field; what few
 *   connections ever use stands in columns (columns.ts says what a field costs).
 * - From the end of its life on everything here reads as 0, none or false, and what is written is
 *   dropped: the columns of its id are another's by then.
 *
 * Written by session.ts and calls.ts; life.ts is the rest of the object.
 */
import { COLUMN, type Columns } from './columns.ts';
import { HIGH_WATER_BYTES } from './connection.ts';
import type { Handlers } from './handlers.ts';
import type { Session } from './session.ts';

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
  hasLocal: 1 << 25,
  isShort: 1 << 26,
} as const;
/** With one of them a connection is read although it is not writable. */
const READS_BLOCKED = BIT.readsWhileBlocked | BIT.midRequest;
const PHASE_SHIFT = 12;
const PHASE_MASK = 3 << PHASE_SHIFT;
const OPEN_BITS = PHASE.open << PHASE_SHIFT;
const CONNECTING_BITS = PHASE.connecting << PHASE_SHIFT;
const WANTS_SHIFT = 16;
const WANTS_MASK = 0xff << WANTS_SHIFT;

export class Inside {
  readonly id: number;
  state: unknown = undefined;
  #handlers: Handlers;
  readonly session: Session;
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
    this.session = session;
    this.id = id;
    this.#handlers = handlers;
  }

  get #columns(): Columns {
    return this.session.columns;
  }

  /** The columns of an id are the living one's: 0 for everybody else. */
  #get(column: number): number {
    return this.isAlive ? this.#columns.get(this.id, column) : 0;
  }

  put(column: number, value: number): void {
    if (this.isAlive) this.#columns.set(this.id, column, value);
  }

  get handlers(): Handlers {
    return this.#handlers;
  }

  set handlers(own: Handlers) {
    this.#handlers = this.session.guard(own);
  }

  /** A life begins, in `phase`. */
  begin(guarded: Handlers, phase: number): void {
    this.#handlers = guarded;
    this.#bits = (phase << PHASE_SHIFT) | (guarded.pooled === true ? BIT.isPooled : 0);
  }

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

  get readsWhileBlocked(): boolean {
    return (this.#bits & BIT.readsWhileBlocked) !== 0;
  }

  set readsWhileBlocked(on: boolean) {
    this.#set(BIT.readsWhileBlocked, on);
  }

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

  /** A `writeSome` took less than it was given: `drained` is to come when there is room again. */
  get isShort(): boolean {
    return (this.#bits & BIT.isShort) !== 0;
  }

  set isShort(on: boolean) {
    this.#set(BIT.isShort, on);
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

  /** local << 16 | remote, as the ABI packs them; local 0: not known yet. */
  get ports(): number {
    return this.isAlive ? this.#columns.ports(this.id) : 0;
  }

  set ports(ports: number) {
    if (this.isAlive) this.#columns.setPorts(this.id, ports);
  }

  get remotePort(): number {
    return this.ports & 0xffff;
  }

  get localPort(): number {
    return this.ports >>> 16;
  }

  /** A word of the peer's address, 0 to 3: of IPv4 they are 0, 0, 0xffff and the address. */
  remoteWord(index: number): number {
    return this.isAlive ? this.#columns.remote(this.id, index & 3) : 0;
  }

  /** Our own address is known: not before a connect has opened. */
  get hasLocal(): boolean {
    return (this.#bits & BIT.hasLocal) !== 0;
  }

  /** The same of ours. */
  localWord(index: number): number {
    return this.hasLocal ? this.#columns.local(this.id, index & 3) : 0;
  }

  /** Four words of `words` from `at` on. */
  setRemote(words: ArrayLike<number>, at = 0): void {
    if (this.isAlive) this.#columns.setRemote(this.id, words, at);
  }

  /** The same of ours; behind setRemote. */
  setLocal(words: ArrayLike<number>, at = 0): void {
    if (!this.isAlive) return;
    this.#set(BIT.hasLocal, true);
    this.#columns.setLocal(this.id, words, at);
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
    if (node >= 0) this.put(column, node);
  }

  /** Starved: the blocks it lacked; 0: a span. */
  get missing(): number {
    return this.#get(COLUMN.missing);
  }

  set missing(value: number) {
    this.put(COLUMN.missing, value);
  }

  /** -1: none. */
  get gatherBlock(): number {
    return this.#get(COLUMN.gatherBlock) - 1;
  }

  set gatherBlock(value: number) {
    this.put(COLUMN.gatherBlock, value + 1);
  }

  get gatherLength(): number {
    return this.#get(COLUMN.gatherLength);
  }

  set gatherLength(value: number) {
    this.put(COLUMN.gatherLength, value);
  }

  /**
   * Neighbours in the list of those that hold a gather block, oldest first: connection ids, -1:
   * none.
   */
  get gatherOlder(): number {
    return this.#get(COLUMN.gatherOlder) - 1;
  }

  set gatherOlder(value: number) {
    this.put(COLUMN.gatherOlder, value + 1);
  }

  get gatherYounger(): number {
    return this.#get(COLUMN.gatherYounger) - 1;
  }

  set gatherYounger(value: number) {
    this.put(COLUMN.gatherYounger, value + 1);
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
    this.put(COLUMN.refusal, value);
  }

  get writable(): boolean {
    const phase = this.#bits & PHASE_MASK;
    return (phase === OPEN_BITS || phase === CONNECTING_BITS) && this.hasRoom;
  }

  /** `writable` as far as the queue goes. */
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

  /** Its life is over. In the list of the dirty it stays as long as that has it. */
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

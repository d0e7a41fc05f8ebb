/**
 * Connections of the thread with itself: 127/8, ::1, and our own addresses as seen by ourselves.
 *
 * - Bytes are copied once, from the writer's array into one that the reader is given. They are
 *   told in turns of the event loop, never from within a call.
 * - An end that has LOOP_BYTES on their way takes no more, and is told when half of them are
 *   through.
 *
 * Made by program.ts, and by tests.
 */
import type {
  Above,
  BindWish,
  Carrier,
  Conduit,
  Endpoint,
  Knocked,
  Listening,
  TextEncoding,
} from './conduit.ts';
import { ECONNREFUSED, ECONNRESET } from './errno.ts';
import { isAny } from './ports.ts';
import { calledBack } from './ticks.ts';

const LOOP_BYTES = 262_144;
/** Most bytes of a character in UTF-8 for each unit of a JavaScript string. */
const UTF8_MAX = 3;
/** Most bytes that are told at a time, as the kernel's reads. */
const TOLD_BYTES = 65_536;

interface Name {
  readonly address: string;
  readonly port: number;
}

class End implements Conduit {
  above: Above | undefined;
  peer!: End;
  readonly #local: Name;
  readonly #remote: Name;
  readonly #incoming: Buffer[] = [];
  /** Given to the peer, and not told there yet. */
  #onTheWay = 0;
  #isShort = false;
  #isPaused = false;
  #isScheduled = false;
  /** The peer has ended; told behind all bytes. */
  #hasFin = false;
  #isFinTold = false;
  #isReset = false;
  #isOver = false;

  constructor(local: Name, remote: Name, above?: Above) {
    this.#local = local;
    this.#remote = remote;
    this.above = above;
  }

  get queuedBytes(): number {
    return this.#onTheWay;
  }

  get localAddress(): string {
    return this.#local.address;
  }

  get localPort(): number {
    return this.#local.port;
  }

  get remoteAddress(): string {
    return this.#isOver ? '' : this.#remote.address;
  }

  get remotePort(): number {
    return this.#remote.port;
  }

  write(bytes: Uint8Array, from: number): number {
    const room = Math.max(0, LOOP_BYTES - this.#onTheWay);
    const taken = Math.min(bytes.length - from, room);
    if (taken < bytes.length - from) this.#isShort = true;
    if (taken > 0) this.#give(Buffer.from(bytes.subarray(from, from + taken)));
    return taken;
  }

  writeText(text: string, encoding: TextEncoding): number {
    if (text.length * UTF8_MAX > LOOP_BYTES - this.#onTheWay) return -1;
    const bytes = Buffer.from(text, encoding);
    this.#give(bytes);
    return bytes.length;
  }

  #give(bytes: Buffer): void {
    if (bytes.length === 0) return;
    const { peer } = this;
    if (peer.#isOver) return this.#reset(); // nobody reads there any more
    this.#onTheWay += bytes.length;
    peer.#incoming.push(bytes);
    peer.#soon();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#soon();
  }

  end(): void {
    this.peer.#hasFin = true;
    this.peer.#soon();
  }

  close(): void {
    const isUnread = this.#incoming.length > 0;
    this.#leave();
    if (isUnread) this.peer.#reset();
    else this.end();
  }

  abort(): void {
    this.#leave();
    this.peer.#reset();
  }

  #leave(): void {
    this.above = undefined;
    this.#isOver = true;
    this.#incoming.length = 0;
  }

  #reset(): void {
    this.#isReset = true;
    this.#soon();
  }

  keepalive(): void {}

  mark(): void {}

  #soon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#isReset) return this.#over(ECONNRESET);
    while (this.above !== undefined && !this.#isPaused && this.#incoming.length > 0) {
      const bytes = this.#gathered();
      calledBack(() => this.above?.arrived(bytes, 0, bytes.length));
      this.peer.#through(bytes.length);
    }
    if (!this.#hasFin || this.#isFinTold || this.#isPaused || this.#incoming.length > 0) return;
    this.#isFinTold = true;
    calledBack(() => this.above?.ended());
  }

  /** A stream knows no messages: small pieces become one. */
  #gathered(): Buffer {
    const pieces = [this.#incoming.shift()!];
    let length = pieces[0]!.length;
    while (this.#incoming.length > 0 && length + this.#incoming[0]!.length <= TOLD_BYTES) {
      length += this.#incoming[0]!.length;
      pieces.push(this.#incoming.shift()!);
    }
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  #through(bytes: number): void {
    this.#onTheWay -= bytes;
    if (!this.#isShort || this.#onTheWay > LOOP_BYTES / 2) return;
    this.#isShort = false;
    calledBack(() => this.above?.drained());
  }

  #over(status: number): void {
    const { above } = this;
    if (this.#isOver) return;
    this.#leave();
    calledBack(() => above?.died(status));
  }
}

interface Listener {
  readonly at: BindWish;
  readonly knocked: Knocked;
}

/** Whether who listens at `at` hears a call to `address`. */
function hears(at: BindWish, { address, family }: Endpoint): boolean {
  if (at.address === address) return true;
  if (!isAny(at.address)) return false;
  return at.family === family || (at.family === 6 && !at.isOnly6);
}

const FIRST_PORT = 32_768;
const LAST_PORT = 49_151;

export class Loopback implements Carrier {
  readonly #listeners = new Map<number, Listener[]>();
  #nextPort = FIRST_PORT;

  listen(at: BindWish, _backlog: number, knocked: Knocked): Listening {
    const listener = { at, knocked };
    const others = this.#listeners.get(at.port) ?? [];
    this.#listeners.set(at.port, [...others, listener]);
    const close = (): void => {
      const left = this.#listeners.get(at.port)!.filter((each) => each !== listener);
      if (left.length > 0) this.#listeners.set(at.port, left);
      else this.#listeners.delete(at.port);
    };
    return { isUp: true, close };
  }

  /** Of several (`reusePort`) each in turn. */
  #find(to: Endpoint): Listener | undefined {
    const all = this.#listeners.get(to.port) ?? [];
    const found = all.find(({ at }) => hears(at, to));
    if (found !== undefined && all.length > 1) {
      this.#listeners.set(to.port, [...all.filter((each) => each !== found), found]);
    }
    return found;
  }

  connect(to: Endpoint, localPort: number, above: Above, localAddress = to.address): Conduit {
    const local = { address: localAddress, port: localPort || this.#pick() };
    const here = new End(local, to, above);
    const there = new End(to, local);
    [here.peer, there.peer] = [there, here];
    setImmediate(() => {
      if (here.above === undefined) return; // given up meanwhile
      const listener = this.#find(to);
      if (listener === undefined) return calledBack(() => here.above?.died(ECONNREFUSED));
      calledBack(() => here.above?.connected(0));
      calledBack(() => listener.knocked.accepted(there));
    });
    return here;
  }

  #pick(): number {
    const port = this.#nextPort;
    this.#nextPort = port === LAST_PORT ? FIRST_PORT : port + 1;
    return port;
  }
}

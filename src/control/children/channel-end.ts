/**
 * The control plane's end of a channel: lines of JSON from a child, lines to it. The child may be
 * hostile.
 *
 * - The child holds a copy of this end (child.ts), and with it the flags of the descriptor: it
 *   could make reads and writes wait. So every call here says MSG_DONTWAIT itself, and nothing that
 *   it does can hold us up.
 * - A line longer than LINE_BYTES_MAX is no message: it is told, nothing more is read, and the
 *   child should be ended.
 * - What is no JSON, or is nested deeper than DEPTH_MAX, is dropped: whoever works on a message may
 *   walk through it by recursion.
 * - Whoever hears a message may throw: it is said on standard error, and the next one is heard. A
 *   child that makes us fail in a way we did not think of does not end everybody's control plane.
 * - A child that does not read is not waited for: beyond PENDING_BYTES_MAX our lines are dropped.
 *
 * Called by child.ts. The other end: src/child/channel.ts.
 */
import { closeSync } from 'node:fs';
import { LINE_BYTES_MAX } from '../../child/channel.ts';
import { callNumber } from '../../confine/seccomp-numbers.ts';
import { DEPTH_MAX, depthOf } from '../../json-depth.ts';
import { EAGAIN, EINTR, must, sys, type Watch } from '../../native/sys.ts';

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const CHUNK_BYTES = 65_536;
/**
 * Reads of one turn of the event loop: whoever talks without end does not keep us from the rest.
 */
const READS_MAX = 16;
/** More than all that is ever asked of a child that reads. */
const PENDING_BYTES_MAX = 1 << 20;
const RETRY_MS = 10;
const NEWLINE = 10;

const RECVFROM = callNumber('recvfrom');
const SENDTO = callNumber('sendto');

export interface ChannelHooks {
  message(message: unknown): void;
  /** It has sent a line that is too long; `closed` settles. */
  tooLong(): void;
}

export class ChannelEnd {
  /** Settles when it has been read to its last line. */
  readonly closed: Promise<void>;
  readonly #fd: number;
  readonly #hooks: ChannelHooks;
  readonly #watch: Watch;
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  readonly #settle: () => void;
  /** Of a line that has no end yet. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  #pending = Buffer.alloc(0);
  #retry: NodeJS.Timeout | undefined;
  #isOpen = true;

  /** `fd` is ours from here on. */
  constructor(fd: number, hooks: ChannelHooks) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#settle = resolve;
    this.#fd = fd;
    this.#hooks = hooks;
    const watch = sys.watch(fd, () => this.#readable());
    if (typeof watch === 'number') must(watch, 'watch of a channel');
    this.#watch = watch as Watch;
    sys.armWatch(this.#watch, true);
  }

  write(line: string): void {
    if (!this.#isOpen || this.#pending.length > PENDING_BYTES_MAX) return;
    this.#pending = Buffer.concat([this.#pending, Buffer.from(`${line}\n`)]);
    this.#send();
  }

  #send(): void {
    clearTimeout(this.#retry);
    while (this.#isOpen && this.#pending.length > 0) {
      const { length } = this.#pending;
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      const sent = sys.syscall(SENDTO, this.#fd, this.#pending, length, flags, 0, 0);
      if (sent === -EAGAIN || sent === -EINTR) {
        this.#retry = setTimeout(() => this.#send(), RETRY_MS);
        return;
      }
      // It died while we wrote: reading says so.
      this.#pending = sent < 0 ? Buffer.alloc(0) : this.#pending.subarray(sent);
    }
  }

  #readable(): void {
    try {
      for (let i = 0; i < READS_MAX && this.#isOpen; i++) if (!this.#read()) return;
    } catch (error) {
      // Out of a native callback nothing can be thrown.
      setImmediate(() => {
        throw error;
      });
    }
  }

  /** False: there is nothing more now. */
  #read(): boolean {
    const count = sys.syscall(RECVFROM, this.#fd, this.#chunk, CHUNK_BYTES, MSG_DONTWAIT, 0, 0);
    if (count === -EAGAIN || count === -EINTR) return false;
    // An error is a reset: it died with our line unread. What it said before has come.
    if (count <= 0) this.#close();
    else this.#take(Buffer.from(this.#chunk.subarray(0, count)));
    return this.#isOpen;
  }

  #take(bytes: Buffer): void {
    let rest = bytes;
    for (let at = rest.indexOf(NEWLINE); at >= 0; at = rest.indexOf(NEWLINE)) {
      this.#pieces.push(rest.subarray(0, at));
      const message = parseMessage(Buffer.concat(this.#pieces));
      this.#pieces = [];
      this.#bytes = 0;
      rest = rest.subarray(at + 1);
      if (message !== undefined) this.#tell(message);
    }
    if (rest.length === 0) return;
    this.#pieces.push(rest);
    this.#bytes += rest.length;
    if (this.#bytes <= LINE_BYTES_MAX) return;
    this.#close();
    this.#hooks.tooLong();
  }

  #tell(message: unknown): void {
    try {
      this.#hooks.message(message);
    } catch (error) {
      const [why] = String(error).split('\n');
      process.stderr.write(`ix: a message of a child could not be dealt with (${why}); dropped\n`);
    }
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#retry);
    this.#pieces = [];
    sys.armWatch(this.#watch, false);
    closeSync(this.#fd);
    this.#settle();
  }
}

function parseMessage(line: Buffer): unknown {
  if (depthOf(line) > DEPTH_MAX) return undefined;
  try {
    return JSON.parse(line.toString());
  } catch {
    return undefined;
  }
}

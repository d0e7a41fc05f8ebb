/**
 * What a child prints, on its way to our own standard output and error.
 *
 * - A child gets the ends to write of two pipes, never what we print to ourselves: a terminal is
 *   open for reading, too, and whoever has it reads what is typed to us; a file could be cut or
 *   made set-user-ID, a socket shut down. And its ends have flags of their own.
 * - Nobody waits for anybody for ever. We never wait for who reads what we print (a stopped
 *   terminal): as long as he does not read, we do not, and in the end the child waits, in its own
 *   write(2). When we die, a write of the child's is EPIPE, which is no reason to end (`liveOn` in
 *   src/child/channel.ts): what an orphan prints is lost, until it is adopted.
 * - Who adopts it opens the pipe again, by the child's end in /proc, if that is still the pipe it
 *   was (`outputsAgain`).
 * - On a terminal, control characters are shown as escapes (printable.ts), and what is no UTF-8 as
 *   U+FFFD; elsewhere bytes are passed on as they are.
 *
 * Called by child.ts. Read first: man 7 pipe, man 5 proc (/proc/pid/fd).
 */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { isatty } from 'node:tty';
import { callNumber } from '../../confine/seccomp-numbers.ts';
import { must, SYS, sys, type Watch } from '../../native/sys.ts';
import { printableText } from '../../printable.ts';
import { identityOf } from '../record/descriptors.ts';

const { O_NOCTTY, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const F_SETFL = 4;
const POLLOUT = 4;
const CHUNK_BYTES = 65_536;
/** PIPE_BUF: a pipe that can be written to takes as much at once. */
const PIECE_BYTES = 4096;
/**
 * Reads of one turn of the event loop: whoever prints without end does not keep us from the rest.
 */
const READS_MAX = 4;
const RETRY_MS = 20;
/** Of what a child that has ended has left in its pipe, at most. */
const LAST_READS_MAX = 32;

export class Output {
  /** Which pipe it is, for the record. */
  readonly what: string;
  readonly #fd: number;
  readonly #to: number;
  readonly #watch: Watch;
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  readonly #decoder: StringDecoder | undefined;
  /** Read, and not yet printed. */
  #pending: Buffer = this.#chunk.subarray(0, 0);
  #retry: NodeJS.Timeout | undefined;
  #isOpen = true;

  /** `fd`, the end to read, is ours from here on; `stream` is 1 or 2. */
  constructor(fd: number, stream: number) {
    this.#fd = fd;
    this.what = identityOf(fd);
    this.#to = withoutWaiting(stream);
    this.#decoder = isatty(stream) ? new StringDecoder('utf8') : undefined;
    const watch = sys.watch(fd, () => this.#readable());
    if (typeof watch === 'number') must(watch, 'watch of what a child prints');
    this.#watch = watch as Watch;
    sys.armWatch(this.#watch, true);
  }

  /** Its writer has ended: what it has said last, as far as that can be printed now. */
  drain(): void {
    for (let i = 0; i < LAST_READS_MAX && this.#isOpen && this.#print(); i++) {
      if (!this.#read()) break;
    }
    this.#close();
  }

  #readable(): void {
    for (let i = 0; i < READS_MAX && this.#isOpen; i++) {
      if (!this.#print()) return this.#waitForReader();
      if (!this.#read()) return;
    }
  }

  /** What there is, into `#pending`; false: nothing now. */
  #read(): boolean {
    let length: number;
    try {
      length = readSync(this.#fd, this.#chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') this.#close();
      return false;
    }
    const bytes = this.#chunk.subarray(0, length);
    this.#pending = this.#decoder ? shown(this.#decoder.write(bytes)) : bytes;
    if (length > 0) return true;
    this.#close();
    return false;
  }

  /** True: nothing is left to be printed. */
  #print(): boolean {
    while (this.#pending.length > 0) {
      const taken = writeNow(this.#to, this.#pending.subarray(0, PIECE_BYTES));
      if (taken === 0) return false;
      this.#pending = this.#pending.subarray(taken);
    }
    return true;
  }

  #waitForReader(): void {
    sys.armWatch(this.#watch, false);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (!this.#isOpen) return;
      if (!this.#print()) return this.#waitForReader();
      sys.armWatch(this.#watch, true);
    }, RETRY_MS);
    this.#retry.unref();
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // A character of which only the beginning has come is shown, too.
    if (this.#decoder && this.#print()) {
      this.#pending = shown(this.#decoder.end());
      this.#print();
    }
    clearTimeout(this.#retry);
    sys.armWatch(this.#watch, false);
    closeSync(this.#fd);
    if (this.#to > 2) closeSync(this.#to);
  }
}

const shown = (text: string): Buffer => Buffer.from(printableText(text));

/**
 * A descriptor of our own for what `stream` leads to, on which no write waits; or itself, where
 * there can be no other.
 */
function withoutWaiting(stream: number): number {
  try {
    if (fstatSync(stream).isFile()) return stream; // another one would have another position in it
    return openSync(`/proc/self/fd/${stream}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return stream;
  }
}

/** How many bytes were taken. Who is gone takes all of them. */
function writeNow(fd: number, bytes: Buffer): number {
  const pollfd = Int32Array.of(fd, POLLOUT);
  const now = BigInt64Array.of(0n, 0n); // struct timespec
  if (sys.syscall(callNumber('ppoll'), pollfd, 1, now, 0, 0) === 0) return 0;
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : bytes.length;
  }
}

export interface Outputs {
  /** For a child's standard output and error. The caller closes them once it has them. */
  readonly theirs: readonly number[];
  readonly ours: readonly Output[];
}

export function makeOutputs(): Outputs {
  const pipes = [1, 2].map((stream) => {
    const ends = new Int32Array(2);
    must(sys.syscall(callNumber('pipe2'), ends, O_CLOEXEC), 'pipe2');
    const [read, write] = [ends[0]!, ends[1]!];
    must(sys.syscall(SYS.fcntl, read, F_SETFL, O_NONBLOCK), 'fcntl(F_SETFL)');
    return { write, output: new Output(read, stream) };
  });
  return { theirs: pipes.map(({ write }) => write), ours: pipes.map(({ output }) => output) };
}

/**
 * The pipes of a child that another control plane has started, as far as they are still what
 * `known` says.
 */
export function outputsAgain(pid: number, known: readonly string[]): Output[] {
  return known.flatMap((what, i) => {
    const stream = i + 1;
    try {
      const fd = pipeAgain(`/proc/${pid}/fd/${stream}`, what);
      return fd === undefined ? [] : [new Output(fd, stream)];
    } catch {
      return []; // It has closed it: there is nothing to be heard.
    }
  });
}

/**
 * Opens what is there to read, if it is the pipe that it was. That is known before, by a descriptor
 * that opens nothing: to open a terminal, a device or a pipe of somebody's may be to do something.
 */
function pipeAgain(path: string, what: string): number | undefined {
  const place = openSync(path, O_PATH);
  try {
    if (!fstatSync(place).isFIFO() || identityOf(place) !== what) return undefined;
    return openSync(`/proc/self/fd/${place}`, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  } finally {
    closeSync(place);
  }
}

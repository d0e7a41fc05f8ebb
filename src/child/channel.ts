/**
 * The dataplane's end of the channel to the control plane that started it.
 *
 * - A stream socket inherited as descriptor CHANNEL_FD: one line of JSON in (the configuration),
 *   lines of JSON out.
 * - A line has at most LINE_BYTES_MAX: what a report may have is checked where it is made
 *   (src/libix/reports.ts), and the text of a failure is cut here.
 * - The configuration is read synchronously, before there is anything to wait for. After that the
 *   channel belongs to the main thread's event loop (`Channel`); elastic threads are workers, and
 *   speak to the main thread.
 * - Until it serves, the dataplane ends with the control plane: the kernel kills it when its parent
 *   dies (`endWithParent`), however that happens. Then, if its service is lasting, it lives on
 *   (`liveOn`) until another control plane adopts it. The channel does not close meanwhile: we hold
 *   a copy of its other end, too (src/control/children/child.ts), and what is said waits there, up
 *   to what a socket takes.
 *
 * Called by src/dataplane/main.ts. Read first: man 2 prctl, PR_SET_PDEATHSIG.
 */
import { readSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import * as v from 'valibot';
import { callNumber } from '../confine/seccomp-numbers.ts';
import { must, POLLIN, SIGKILL, SYS, sys } from '../native/sys.ts';
import { type ApplicationMessage, DataplaneConfig, type DataplaneMessage } from './config.ts';

export const CHANNEL_FD = 3;

const PR_SET_PDEATHSIG = 1;
/** A configuration is a few kilobytes; more is not one. Nor is it a message. */
export const LINE_BYTES_MAX = 1 << 20;
/**
 * A control plane that has died says nothing, and its channel does not close. A living one says
 * this much at once.
 */
const SILENCE_MS = 30_000;
/** Of a failure's text: in JSON at most six times as many bytes. */
const FAILURE_CHARACTERS_MAX = 65_536;
/** How long an end waits for its last line to be read: a dead control plane never will. */
const LAST_MS = 1000;

export class ChannelError extends Error {
  readonly code = 'IX_CHANNEL';
}

/** The next line of the channel, without its end; for `silenceMs` nothing may come. */
export function readLine(fd = CHANNEL_FD, silenceMs = SILENCE_MS): string {
  const chunk = Buffer.alloc(65_536);
  let text = '';
  while (!text.endsWith('\n')) {
    if (!hasInput(fd, silenceMs)) throw new ChannelError('the control plane has said nothing');
    const n = readSync(fd, chunk);
    if (n === 0) throw new ChannelError('the control plane went away');
    text += chunk.toString('latin1', 0, n);
    if (text.length > LINE_BYTES_MAX) throw new ChannelError('a line of the channel is too long');
  }
  return Buffer.from(text, 'latin1').toString();
}

function hasInput(fd: number, silenceMs: number): boolean {
  const pollfd = Int32Array.of(fd, POLLIN);
  const seconds = Math.floor(silenceMs / 1000);
  const nanoseconds = (silenceMs % 1000) * 1_000_000;
  const timeout = BigInt64Array.of(BigInt(seconds), BigInt(nanoseconds)); // struct timespec
  return sys.syscall(callNumber('ppoll'), pollfd, 1, timeout, 0, 0) !== 0;
}

/** The line that the control plane sends before anything else. */
export function readConfig(fd = CHANNEL_FD): DataplaneConfig {
  const parsed = v.safeParse(DataplaneConfig, JSON.parse(readLine(fd)));
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new ChannelError(`configuration: ${v.getDotPath(issue) ?? ''}: ${issue.message}`);
}

type Message = DataplaneMessage | ApplicationMessage;

function lineOf(message: Message): string {
  if (message.type !== 'failed') return `${JSON.stringify(message)}\n`;
  const [code, text] = [message.code, message.message].map((each) =>
    `${each}`.slice(0, FAILURE_CHARACTERS_MAX),
  );
  return `${JSON.stringify({ ...message, code, message: text })}\n`;
}

export function send(message: Message, fd = CHANNEL_FD): void {
  writeSync(fd, lineOf(message));
}

/** The channel once the configuration has been read: lines in by callback, messages out. */
export class Channel {
  readonly #socket: Socket;
  #hasEnded = false;

  constructor(onLine: (line: string) => void, fd = CHANNEL_FD) {
    this.#socket = new Socket({ fd, readable: true, writable: true });
    // The control plane went away: see liveOn, and adoption. readline passes the socket's errors
    // on.
    this.#socket.on('error', () => {});
    createInterface({ input: this.#socket })
      .on('line', onLine)
      .on('error', () => {});
  }

  send(message: Message): void {
    this.#socket.write(lineOf(message));
  }

  /**
   * What the application reports; `taken` is called when it has left, or never will: then there is
   * room for another.
   */
  report(json: string, taken: () => void): void {
    this.#socket.write(`{"type":"report","value":${json}}\n`, taken);
  }

  /**
   * Sends what is said last, if anything is, then ends the process. The first one counts: what
   * follows is its consequence.
   */
  last(message: Message | undefined, exitCode: number): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const end = (): never => process.exit(exitCode);
    this.#socket.end(message === undefined ? '' : lineOf(message), end);
    setTimeout(end, LAST_MS);
  }
}

/** Call before `readConfig`: should the parent be dead already, that finds the channel closed. */
export function endWithParent(): void {
  must(sys.syscall(SYS.prctl, PR_SET_PDEATHSIG, SIGKILL), 'prctl(PR_SET_PDEATHSIG)');
}

/** From here on the control plane may die, and the terminal that we write to be gone. */
export function liveOn(): void {
  must(sys.syscall(SYS.prctl, PR_SET_PDEATHSIG, 0), 'prctl(PR_SET_PDEATHSIG)');
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}

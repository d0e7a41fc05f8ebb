/**
 * The victims' clients, in a thread of their own: they talk without a pause, check every answer and
 * remember the longest time without one.
 *
 * - kv: `set` and `get` of a value that changes; echo: bytes that change; `refused`: a port of the
 *   attacked dataplane that nobody serves, whose RST its own stack must send while its application
 *   does what it likes.
 * - Messages in: 'mark' (once everybody has had one more answer: what was seen since the last
 *   mark), { refused } (the address to ask, or '' for none).
 *
 * Started by scene.ts.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

export interface Seen {
  /** Right answers. */
  answers: number;
  /** Longest time from one right answer to the next, milliseconds. */
  gapMs: number;
  errors: string[];
}
export type Testimony = Record<'kv' | 'echo' | 'refused', Seen> & {
  /** By how much the machine was late to wake a thread that slept a millisecond, at most. */
  lateMs: number;
};

const PAUSE_MS = 1;
const CLOSED_PORT = 9;
/** Longer than any silence that is forgiven. */
const ANSWER_MS = 1000;

class Notes implements Seen {
  answers = 0;
  gapMs = 0;
  errors: string[] = [];
  #last = performance.now();

  answered(): void {
    const now = performance.now();
    this.gapMs = Math.max(this.gapMs, now - this.#last);
    this.#last = now;
    this.answers += 1;
  }

  failed(what: string): void {
    if (this.errors.length < 5) this.errors.push(what);
  }

  /** What was seen; a silence that lasts is part of it, and of what comes next. */
  take(): Seen {
    const gapMs = Math.max(this.gapMs, performance.now() - this.#last);
    const seen = { answers: this.answers, gapMs: Math.round(gapMs * 10) / 10, errors: this.errors };
    this.answers = 0;
    this.gapMs = 0;
    this.errors = [];
    return seen;
  }

  /** Nobody was asked for a while. */
  restart(): void {
    this.#last = performance.now();
  }
}

/** One request after the other on one connection; `request(n)` and the answer it must get. */
async function ask(
  record: Notes,
  to: { host: string; port: number },
  request: (n: number) => { says: string; expects: string },
): Promise<never> {
  const socket: Socket = connect({ ...to, noDelay: true });
  socket.on('error', (error) => record.failed(error.message));
  socket.on('close', () => record.failed('closed'));
  await once(socket, 'connect');
  record.restart();
  socket.setEncoding('latin1');
  for (let n = 0; ; n++) {
    const { says, expects } = request(n);
    socket.write(says);
    let got = '';
    while (got.length < expects.length) got += (await once(socket, 'data'))[0];
    if (got === expects) record.answered();
    else record.failed(`request ${n}: ${JSON.stringify(got.slice(0, 80))}`);
    await sleep(PAUSE_MS);
  }
}

const kvRequest = (n: number) => {
  const value = `${n}`.padStart(64, '.');
  return {
    says: `set witness 0 0 64\r\n${value}\r\nget witness\r\n`,
    expects: `STORED\r\nVALUE witness 0 64\r\n${value}\r\nEND\r\n`,
  };
};
const echoRequest = (n: number) => {
  const text = `still there? ${n}`.padEnd(200, '-');
  return { says: text, expects: text };
};

const records = { kv: new Notes(), echo: new Notes(), refused: new Notes() };
let refusedAddress = '';

let lateMs = 0;
async function noteLateness(): Promise<never> {
  for (;;) {
    const asleep = performance.now();
    await sleep(PAUSE_MS);
    lateMs = Math.max(lateMs, performance.now() - asleep - PAUSE_MS);
  }
}

async function askRefused(): Promise<never> {
  const record = records.refused;
  for (;;) {
    if (refusedAddress === '') record.restart();
    else {
      const asked = refusedAddress;
      const socket = connect(CLOSED_PORT, asked);
      const why: string = await new Promise((resolve) => {
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
        socket.once('connect', () => resolve('it was accepted'));
      });
      socket.destroy();
      if (why === 'ECONNREFUSED') record.answered();
      else if (asked === refusedAddress) record.failed(why);
    }
    await sleep(4 * PAUSE_MS);
  }
}

/** When everybody has had another answer, or should have had. */
async function answer(): Promise<void> {
  const { kv, echo, refused } = records;
  const all = [...(isAlone ? [] : [kv, echo]), ...(refusedAddress === '' ? [] : [refused])];
  const before = all.map((each) => each.answers);
  const end = performance.now() + ANSWER_MS;
  const isSilent = () => all.some((each, i) => each.answers === before[i]);
  while (isSilent() && performance.now() < end) await sleep(1);
  const seen = { kv: kv.take(), echo: echo.take(), refused: refused.take() };
  port.postMessage({ ...seen, lateMs } satisfies Testimony);
  lateMs = 0;
}

const port = parentPort!;
port.on('message', (message: 'mark' | { refused: string }) => {
  if (message !== 'mark') {
    refusedAddress = message.refused;
    records.refused.restart();
    return port.postMessage('done');
  }
  void answer();
});
const { kv, echo, isAlone } = workerData as { kv: string; echo: string; isAlone: boolean };
if (!isAlone) {
  void ask(records.kv, { host: kv, port: 11_211 }, kvRequest);
  void ask(records.echo, { host: echo, port: 7 }, echoRequest);
}
void askRefused();
void noteLateness();

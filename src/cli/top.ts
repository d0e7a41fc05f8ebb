/**
 * `ix top`: all services on one screen, drawn again every second.
 *
 * - A line for each thread; for the picked service what it dropped and why. Keys: up and down (j,
 *   k) pick, s sorts by the next column, f shows the flows of the picked service and the lines
 *   again, q ends it.
 * - Services that come and go are on the next screen. Looking never disturbs one: their counters
 *   are read as by `ix stat`, flows as by `ix flows`.
 * - `--once` prints one screen, of one second, to whatever standard output is. Without it both
 *   standard input and output must be terminals; the terminal is given back as it was, whatever
 *   ends it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { flowsOf } from '../control/record/flows.ts';
import { readThreads } from '../control/record/statistics.ts';
import { OptionError, UserError } from '../errors.ts';
import { printable } from '../printable.ts';
import { describeFlow } from './flows.ts';
import { servicesHere } from './services.ts';
import {
  pickedLine,
  type Reading,
  type Row,
  reasonsOf,
  rowsOf,
  SORTS,
  type Sort,
  screenOf,
  sorted,
  type View,
} from './top-screen.ts';

export interface TopOptions {
  once?: boolean;
  sort?: string;
  interval?: string;
}

const COLUMNS = 80;
const LINES = 24;
const INTERVAL_S = 1;

/** Of a terminal: another screen and no cursor, and back; from the top; to the line's end. */
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const UP = '\x1b[A';
const DOWN = '\x1b[B';
const CTRL_C = '\x03';
const HOME = '\x1b[H';
const REST_OF_LINE = '\x1b[K';
const REST_OF_SCREEN = '\x1b[J';
const REVERSE = '\x1b[7m';
const PLAIN = '\x1b[0m';

const KEYS_LINE = 'q quit   s sort   up/down pick   f flows';

/** `name`: of a service or its address; absent: all. */
export async function top(name: string | undefined, options: TopOptions): Promise<void> {
  const sort = sortOf(options.sort ?? 'name');
  const seconds = secondsOf(options.interval);
  if (options.once) return once(name, sort, seconds);
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new OptionError('top needs a terminal', 'use: bin/ix top --once, or bin/ix stat --json');
  }
  readings(name); // nothing runs: said before the screen is taken
  await new Top(name, sort, seconds).run();
}

function sortOf(word: string): Sort {
  const found = SORTS.find((sort) => sort === word);
  if (found) return found;
  throw new OptionError(`--sort takes ${SORTS.join(', ')}, not '${printable(word)}'`);
}

function secondsOf(word: string | undefined): number {
  if (word === undefined) return INTERVAL_S;
  const seconds = Number(word);
  if (seconds >= 0.1 && seconds <= 3600) return seconds;
  throw new OptionError(`--interval takes seconds from 0.1 to 3600, not '${printable(word)}'`);
}

/** `complain`: of services that cannot be read. */
const readings = (name?: string, complain?: (line: string) => void): Reading[] =>
  servicesHere(name, complain).flatMap((instance) => {
    try {
      return [{ instance, threads: readThreads(instance) }];
    } catch (error) {
      if (error instanceof UserError) return []; // it has just ended
      throw error;
    }
  });

/** The same life of the same service: its counters go on. */
const isSame = (a: Reading, b: Reading): boolean =>
  a.instance.address === b.instance.address &&
  a.instance.namespace === b.instance.namespace &&
  a.instance.threads === b.instance.threads;

async function once(name: string | undefined, sort: Sort, seconds: number): Promise<void> {
  readings(name); // who cannot be read is named
  const moments = new Moments(name);
  moments.read();
  await sleep(seconds * 1000);
  moments.read();
  const { columns = COLUMNS } = process.stdout;
  const rows = sorted(moments.rows(), sort);
  const picked = Math.max(
    rows.findIndex((row) => moments.reasons(row).length > 0),
    0,
  );
  const reasons = rows[picked] ? moments.reasons(rows[picked]) : [];
  const lines = Number.POSITIVE_INFINITY;
  const view = { rows, sort, picked, reasons, columns, lines, footer: '' };
  console.log(screenOf(view).join('\n').trimEnd());
}

/** Two readings, and what came between. */
class Moments {
  readonly #name: string | undefined;
  #before: Reading[] = [];
  #now: Reading[] = [];
  #thenMs = 0;
  #nowMs = 0;

  constructor(name: string | undefined) {
    this.#name = name;
  }

  read(): void {
    this.#before = this.#now;
    this.#thenMs = this.#nowMs;
    this.#now = readings(this.#name, () => {});
    this.#nowMs = performance.now();
  }

  get #seconds(): number {
    return Math.max((this.#nowMs - this.#thenMs) / 1000, 0.001);
  }

  #beforeOf(now: Reading): Reading | undefined {
    return this.#before.find((each) => isSame(each, now));
  }

  rows(): Row[] {
    return this.#now.flatMap((now) => rowsOf(this.#beforeOf(now), now, this.#seconds));
  }

  reasons({ instance }: Row): ReturnType<typeof reasonsOf> {
    const now = this.#now.find((each) => each.instance === instance);
    return now ? reasonsOf(this.#beforeOf(now), now, this.#seconds) : [];
  }
}

class Top {
  readonly #moments: Moments;
  readonly #seconds: number;
  #sort: Sort;
  /** Which line, and the thread it is: it stays picked when lines move. */
  #picked = 0;
  #pickedKey = '';
  #showsFlows = false;
  #ended = false;
  #wake = (): void => {};

  constructor(name: string | undefined, sort: Sort, seconds: number) {
    this.#moments = new Moments(name);
    this.#sort = sort;
    this.#seconds = seconds;
  }

  async run(): Promise<void> {
    const { stdin, stdout } = process;
    const key = (text: string): void => this.#key(text);
    const redraw = (): void => this.#draw();
    const end = (): void => this.#end();
    const restore = (): void => {
      stdin.setRawMode(false);
      stdout.write(LEAVE);
    };
    stdin.setRawMode(true);
    stdin.setEncoding('latin1').on('data', key);
    stdout.write(ENTER);
    stdout.on('resize', redraw);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
    process.once('exit', restore);
    try {
      while (!this.#ended) {
        this.#moments.read();
        this.#draw();
        await this.#wait();
      }
    } finally {
      process.off('exit', restore);
      restore();
      stdin.off('data', key).pause();
      stdout.off('resize', redraw);
    }
  }

  /** Until it is time to read again, or it is over. */
  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#seconds * 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** What a key press sends may come in one piece with the next. */
  #key(text: string): void {
    for (const key of text.replaceAll(UP, 'k').replaceAll(DOWN, 'j')) {
      if (key === 'q' || key === CTRL_C) return this.#end();
      if (key === 's') this.#sort = SORTS[(SORTS.indexOf(this.#sort) + 1) % SORTS.length]!;
      if (key === 'f' || key === '\r') this.#showsFlows = !this.#showsFlows;
      if (key === 'j') this.#pick(1);
      if (key === 'k') this.#pick(-1);
    }
    this.#draw();
  }

  #rows(): Row[] {
    const rows = sorted(this.#moments.rows(), this.#sort);
    const at = rows.findIndex((row) => keyOf(row) === this.#pickedKey);
    this.#picked = at >= 0 ? at : Math.min(this.#picked, Math.max(rows.length - 1, 0));
    return rows;
  }

  #pick(by: number): void {
    const rows = this.#rows();
    this.#picked = Math.min(Math.max(this.#picked + by, 0), Math.max(rows.length - 1, 0));
    const row = rows[this.#picked];
    this.#pickedKey = row ? keyOf(row) : '';
  }

  #draw(): void {
    const { columns = COLUMNS, rows: lines = LINES } = process.stdout;
    const rows = this.#rows();
    const row = rows[this.#picked];
    const drawn =
      this.#showsFlows && row ? flowLines(row, columns, lines) : this.#table(rows, columns, lines);
    const body = drawn.map((text) => `${text}${PLAIN}${REST_OF_LINE}`).join('\r\n');
    process.stdout.write(`${HOME}${body}${REST_OF_SCREEN}`);
  }

  #table(rows: Row[], columns: number, lines: number): string[] {
    const row = rows[this.#picked];
    const reasons = row ? this.#moments.reasons(row) : [];
    const view: View = {
      ...{ rows, sort: this.#sort, picked: this.#picked, reasons, columns, lines },
      footer: KEYS_LINE,
    };
    const at = pickedLine(view);
    return screenOf(view).map((text, i) => (i === at && row ? `${REVERSE}${text}` : text));
  }
}

const keyOf = ({ name, thread }: Row): string => `${name} ${thread}`;

/** Flows of the service of a row, as many as there is room for; or why they cannot be seen. */
function flowLines({ instance, name }: Row, columns: number, lines: number): string[] {
  let said: string[];
  try {
    const flows = flowsOf(instance);
    const shown = flows
      .slice(0, Math.max(lines, 0))
      .flatMap((each) => describeFlow(each).split('\n'));
    said = [`${name}: ${flows.length} flows`, ...shown];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    said = [`${name}: ${error.message}`];
  }
  const footer = 'f back   q quit   all of them, and a filter: bin/ix flows';
  return [...said.slice(0, Math.max(lines - 1, 1)), footer].map((text) => text.slice(0, columns));
}

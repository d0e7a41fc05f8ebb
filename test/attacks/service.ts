/**
 * The hostile service as the suite sees it: its control plane in a process of its own (control.ts),
 * what that says, and the connection by which its application is told what to try.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ThreadState } from '../../src/child/config.ts';
import type { Incident } from '../../src/control/children/incidents.ts';

const CONTROL = fileURLToPath(new URL('./control.ts', import.meta.url));
const APPLICATION = fileURLToPath(new URL('./hostile/application.ts', import.meta.url));
const COMMAND_PORT = 7;
const START_MS = 40_000;
/** Two children that do not want to end have two seconds each. */
const STOP_MS = 8000;

export interface Now {
  control: number;
  dataplane: number;
  application: number;
}
export interface State extends Now {
  /** Of the first thread, and of all of them. */
  state: ThreadState;
  threads: ThreadState[];
}
export interface Outcome {
  value?: unknown;
  error?: string;
  /** How the connection ended, when no answer came. */
  ended?: string;
}

export interface ServiceOptions {
  address: string;
  /** Module of the application. */
  module?: string;
  /** Another program than the dataplane's. */
  main?: string;
  options?: Record<string, unknown>;
  settings?: string[];
}

export class HostileService {
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  readonly #messages: ({ type: string } & Record<string, unknown>)[] = [];
  /** Standard error so far. */
  errors = '';
  /** The first processes. */
  facts!: Now;
  /** Who waits for something to be said. */
  readonly #waiting = new Set<() => void>();

  constructor({
    address,
    module = APPLICATION,
    main = '',
    options = {},
    settings = [],
  }: ServiceOptions) {
    this.address = address;
    const words = [CONTROL, module, `${address}/24`, main, JSON.stringify(options), ...settings];
    const env = { ...process.env, IX_VERIFY: '1' };
    this.#child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.#exit = once(this.#child, 'close');
    this.#child.stderr?.on('data', (text) => {
      this.errors += text;
      this.#wake();
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.#messages.push(JSON.parse(line));
      this.#wake();
    });
    this.#child.once('close', () => this.#wake());
  }

  static async start(options: ServiceOptions): Promise<HostileService> {
    const service = new HostileService(options);
    try {
      service.facts = (await service.message('ready', START_MS)) as unknown as Now;
      return service;
    } catch (error) {
      await service.stop();
      throw error;
    }
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The next message of a type. */
  async message(type: string, limitMs: number): Promise<Record<string, unknown>> {
    const found = () => this.#messages.findIndex((each) => each.type === type);
    await this.#until(() => found() >= 0 || this.hasEnded, limitMs, `no ${type} message`);
    const at = found();
    assert.ok(at >= 0, `the control plane has ended: ${this.errors}`);
    return this.#messages.splice(at, 1)[0]!;
  }

  /**
   * What was said of the application and nobody has asked for; pools that are used up are said as
   * quotas.
   */
  get unheard(): Incident[] {
    const incidents = this.#messages.flatMap(({ type, incident }) => {
      return type === 'incident' ? [incident as Incident] : [];
    });
    return incidents.filter(({ event }) => event !== 'quota');
  }

  /** What the dataplane holds, and which processes there are now. */
  async state(limitMs = 5000): Promise<State> {
    this.#child.stdin?.write('state\n');
    return (await this.message('state', limitMs)) as unknown as State;
  }

  /** The control plane is not held up. */
  async ping(): Promise<void> {
    this.#child.stdin?.write('ping\n');
    await this.message('pong', 1000);
  }

  /** The next report that is meant; others are dropped. */
  async report<T>(isMeant: (value: T | undefined) => boolean, limitMs: number): Promise<T> {
    for (;;) {
      const { value } = (await this.message('report', limitMs)) as { value: T };
      if (isMeant(value)) return value;
    }
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** The next incident of a kind. */
  async incident<E extends Incident['event']>(
    event: E,
    limitMs: number,
  ): Promise<Extract<Incident, { event: E }>> {
    for (;;) {
      const { incident } = (await this.message('incident', limitMs)) as { incident: Incident };
      if (incident.event === event) return incident as Extract<Incident, { event: E }>;
      assert.equal(incident.event, 'quota', JSON.stringify(incident));
    }
  }

  /** Asks the application for an attack. */
  attack(given: object, limitMs = 10_000): Promise<Outcome> {
    return new Promise((resolve) => {
      const socket = connect({ host: this.address, port: COMMAND_PORT, noDelay: true });
      let text = '';
      const end = (outcome: Outcome): void => {
        clearTimeout(timer);
        socket.resetAndDestroy();
        resolve(outcome);
      };
      const timer = setTimeout(() => end({ ended: 'silence' }), limitMs);
      socket.on('connect', () => socket.write(`${JSON.stringify(given)}\n`));
      socket.on('error', (error: NodeJS.ErrnoException) => end({ ended: error.code ?? '' }));
      socket.on('close', () => end({ ended: 'closed' }));
      socket.on('data', (piece) => {
        text += piece;
        // One that has lied about its turns may have said it twice.
        const [line = '', rest] = text.split('\n');
        if (rest !== undefined) end(JSON.parse(line));
      });
    });
  }

  async stop(): Promise<void> {
    if (this.hasEnded) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
    await this.#exit;
    clearTimeout(timer);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  async #until(isSo: () => boolean, limitMs: number, what: string): Promise<void> {
    const end = performance.now() + limitMs;
    while (!isSo()) {
      const left = end - performance.now();
      assert.ok(left > 0, what);
      let wake = (): void => {};
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#waiting.add(wake);
      await Promise.race([sleep(left), woken]);
      this.#waiting.delete(wake);
    }
  }
}

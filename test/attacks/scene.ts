/**
 * The scene of the suite: two victims (kv and echo, in domain process), their clients (witness.ts),
 * a host with servers, and a hostile service beside them; and what must be true after every attack.
 *
 * - The victims' clients got every answer, the right one, and never waited longer than GAP_MS: less
 *   than the least time after which TCP sends again (200 ms on Linux), so that nothing was lost,
 *   either. A machine that is late itself is allowed for.
 * - The attacked dataplane went on answering for itself (RST of a closed port) just as steadily.
 * - Its pools are full again, without flows and timers; so are the victims' processes the same as
 *   before, and its own dataplane.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { callNumber } from '../../src/confine/seccomp-numbers.ts';
import { liveInstances } from '../../src/control/record/instances.ts';
import { readStatistics } from '../../src/control/record/statistics.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';
import { Serving } from '../acceptance/serving.ts';
import type { Given, Observed } from './case.ts';
import { HostileService, type Outcome, type State } from './service.ts';
import type { Testimony } from './witness.ts';

export const GAP_MS = 190;
/** Linux sends a SYN again after one second. */
const SYN_AGAIN_MS = 1000;
/** On a busy machine all four processes of an answer may be late like the client is. */
const LATE_FACTOR = 4;
const HOST = '10.77.0.1';
const KV = '10.77.0.2';
const ECHO = '10.77.0.3';
export const VICTIMS = [KV, ECHO];
const HOSTILE = '10.77.0.4';
/** Set: no victims, for who looks at one case and has no time (test/confine/mutate.ts). */
const ALONE = 'IX_ATTACKS_ALONE';
const APPLICATIONS_GROUP = 64322;
const SETTLE_MS = 5000;
const QUIET_MS = 5;

type Sink = Observed['sink'];

/** A server on the host; with `sink` it notes what comes, without it reads nothing. */
async function serve(sink: Sink | undefined): Promise<Server> {
  const server = createServer({ pauseOnConnect: sink === undefined }, (socket) => {
    socket.on('error', () => {});
    if (sink === undefined) return;
    sink.connections += 1;
    socket.on('data', (piece) => {
      sink.bytes += piece.length;
      const seen = new Set(sink.values);
      for (const byte of piece as Buffer) seen.add(byte);
      sink.values = [...seen].sort((a, b) => a - b);
    });
    socket.on('end', () => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', 4096, resolve));
  return server;
}

const AF_INET = 2;
const MUTE_PORT = 4999;

/**
 * A TCP port whose queue is full, so that SYNs are dropped, and a UDP port that nobody reads, both
 * of one number.
 */
function listenWithoutAccepting(): number {
  // sockaddr_in
  const address = Uint8Array.of(AF_INET, 0, MUTE_PORT >> 8, MUTE_PORT & 255, ...Array(12).fill(0));
  for (const type of [1, 2]) {
    const socket = must(sys.syscall(SYS.socket, AF_INET, type, 0), 'socket');
    must(sys.syscall(SYS.bind, socket, address, 16), 'bind');
    if (type === 1) must(sys.syscall(callNumber('listen'), socket, 0), 'listen');
  }
  connect(MUTE_PORT, '127.0.0.1')
    .on('error', () => {})
    .unref();
  return MUTE_PORT;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** The host's TCP and IP counters, by name. */
export function hostCounters(): Record<string, number> {
  const counters: Record<string, number> = {};
  for (const file of ['snmp', 'netstat']) {
    const lines = readFileSync(`/proc/self/net/${file}`, 'latin1').trim().split('\n');
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const [layer = '', ...names] = lines[i]!.split(' ');
      const values = lines[i + 1]!.split(' ').slice(1);
      names.forEach((name, n) => {
        counters[layer.replace(':', name)] = Number(values[n]);
      });
    }
  }
  return counters;
}

const growth = (before: Record<string, number>, after: Record<string, number>) =>
  Object.fromEntries(Object.entries(after).map(([name, n]) => [name, n - (before[name] ?? 0)]));

export class Scene {
  readonly #victims: Serving[];
  readonly #witness: Worker;
  readonly #servers: Server[];
  readonly #sink: Sink = { bytes: 0, values: [], connections: 0 };
  readonly #directory: string;
  readonly #mute = listenWithoutAccepting();
  /** None before `fresh`. */
  hostile!: HostileService;
  /** The longest silences of all attacks so far. */
  readonly worst: Record<string, number> = {};

  private constructor(victims: Serving[], witness: Worker, directory: string) {
    this.#victims = victims;
    this.#witness = witness;
    this.#directory = directory;
    this.#servers = [];
    witness.on('error', (error) => {
      throw error;
    });
  }

  static async open(): Promise<Scene> {
    const directory = mkdtempSync(join(tmpdir(), 'ix-attacks-'));
    const start = (app: string, address: string) =>
      Serving.start([app, '--domain', 'process', '--ip', `${address}/24`], { verify: true });
    const isAlone = process.env[ALONE] !== undefined;
    const victims = isAlone ? [] : [await start('kv', KV), await start('echo', ECHO)];
    const url = new URL('./witness.ts', import.meta.url);
    const workerData = { kv: KV, echo: ECHO, isAlone };
    const scene = new Scene(victims, new Worker(url, { workerData }), directory);
    scene.#servers.push(await serve(scene.#sink), await serve(undefined));
    writeFileSync(join(directory, 'secret'), 'secret', { mode: 0o644 });
    mkdirSync(scene.allowed);
    chownSync(scene.allowed, 0, APPLICATIONS_GROUP);
    chmodSync(scene.allowed, 0o775);
    chmodSync(directory, 0o755);
    return scene;
  }

  async close(): Promise<void> {
    await this.hostile?.stop();
    await this.#witness.terminate();
    for (const server of this.#servers) server.close();
    for (const victim of this.#victims) await victim[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true });
  }

  /** A fresh hostile service, instead of the one before. */
  async fresh(options: object = {}): Promise<HostileService> {
    await this.#tell({ refused: '' });
    await this.hostile?.stop();
    this.hostile = await HostileService.start({
      address: HOSTILE,
      options: { allowWrite: [this.allowed], ...options },
    });
    await this.#tell({ refused: HOSTILE });
    await this.mark(); // Starting another service is no attack.
    return this.hostile;
  }

  get victimPids(): number[] {
    return this.#victims.flatMap((victim) => victim.pids);
  }

  /** What the hostile application is told of the world: all that it wants to know. */
  given(attack: string): Omit<Given, 'flow'> {
    const [sink, deaf] = this.#servers.map(portOf) as [number, number];
    const { control, dataplane } = this.hostile.facts;
    const files = [join(this.#directory, 'secret'), process.env['IX_STATE_DIR'] ?? ''];
    return {
      ...{ attack, host: HOST, sink, deaf, mute: this.#mute, files, allowed: this.allowed },
      pids: [...this.victimPids, control, dataplane, process.pid],
    };
  }

  /** A directory that it is given to write to. */
  get allowed(): string {
    return join(this.#directory, 'allowed');
  }

  counters(): Record<string, number> {
    return this.statistics(this.hostile.facts.control);
  }

  /** What `ix stat` shows of the instance with that control plane. */
  statistics(control: number): Record<string, number> {
    const mine = liveInstances().find((each) => each.control.pid === control);
    assert.ok(mine, 'it is recorded');
    return readStatistics(mine);
  }

  /** One attack: what came of it, and what the host saw. */
  async attack(name: string, limitMs?: number): Promise<Outcome & { observed: Observed }> {
    Object.assign(this.#sink, { bytes: 0, values: [], connections: 0 });
    const [before, host] = [this.counters(), hostCounters()];
    const flags = this.#outputFlags();
    const outcome = await this.hostile.attack(this.given(name), limitMs);
    await this.#quiet();
    const observed = {
      sink: { ...this.#sink },
      counters: growth(before, this.counters()),
      host: growth(host, hostCounters()),
      control: { before: flags, after: this.#outputFlags() },
    };
    return { ...outcome, observed };
  }

  #outputFlags(): string[] {
    const { control } = this.hostile.facts;
    return [1, 2].map((fd) => {
      const info = readFileSync(`/proc/${control}/fdinfo/${fd}`, 'latin1');
      return /^flags:\s*(\d+)$/m.exec(info)?.[1] ?? '';
    });
  }

  /**
   * What was acknowledged has come to the sink: on a busy machine it reads later than its kernel
   * answers.
   */
  async #quiet(): Promise<void> {
    for (let before = -1; before !== this.#sink.bytes; await sleep(QUIET_MS)) {
      before = this.#sink.bytes;
    }
  }

  /** What the clients have seen since the last mark. */
  mark(): Promise<Testimony> {
    return this.#tell('mark') as Promise<Testimony>;
  }

  /**
   * Asserts that the victims never missed a beat. With `isFlooded` the queue of the hostile
   * dataplane itself may have overflown, and one SYN to it, which it refuses when it hears it, with
   * the rest: who shares a queue shares that.
   */
  async assertUndisturbed(isFlooded = false): Promise<void> {
    const { lateMs, ...testimony } = await this.mark();
    const usualMs = GAP_MS + LATE_FACTOR * lateMs;
    for (const [who, { answers, gapMs, errors }] of Object.entries(testimony)) {
      // Some are not asked.
      if (who === 'refused' ? this.hostile === undefined : this.#victims.length === 0) continue;
      const limitMs = usualMs + (isFlooded && who === 'refused' ? SYN_AGAIN_MS : 0);
      this.worst[who] = Math.max(this.worst[who] ?? 0, gapMs);
      assert.deepEqual(errors, [], `${who} got wrong answers`);
      assert.ok(gapMs <= limitMs, `${who} had no answer for ${gapMs} ms, limit ${limitMs}`);
      assert.ok(answers > 0 || gapMs < 20, `${who} had no answer`);
    }
    for (const pid of this.victimPids) assert.ok(process.kill(pid, 0), `process ${pid} lives`);
    for (const victim of this.#victims) assert.equal(victim.errors, '');
  }

  /**
   * Asserts that every pool of the hostile dataplane is full again, and that it is the same
   * process; waits for that.
   */
  async assertHome(): Promise<State> {
    const end = performance.now() + SETTLE_MS;
    for (;;) {
      const now = await this.hostile.state();
      const { flows, timers, receiveHeld, transmitHeld } = now.state;
      const held = { flows, timers, receiveHeld, transmitHeld };
      if (Object.values(held).every((n) => n === 0)) {
        assert.equal(now.dataplane, this.hostile.facts.dataplane, 'the dataplane is the same');
        return now;
      }
      assert.ok(performance.now() < end, `still held: ${JSON.stringify(held)}`);
      await sleep(5);
    }
  }

  #tell(message: unknown): Promise<unknown> {
    return new Promise((resolve) => {
      this.#witness.once('message', resolve);
      this.#witness.postMessage(message);
    });
  }
}

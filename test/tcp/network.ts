/**
 * Two hosts on a cable under virtual time; loss, duplication, reordering and delay from a seed.
 *
 * - `run` moves time from event to event (a frame arrives, a timer is due) until a condition holds;
 *   it throws when virtual time runs out, so a stall is a failure.
 */
import type { EnvironmentChoices } from '../net/harness.ts';
import { passTime } from '../net/harness.ts';
import { Random } from '../net/random.ts';
import { Host } from './host.ts';

export interface Impairment {
  /** Per cent of frames. */
  loss?: number;
  duplicate?: number;
  reorder?: number;
  /** One way, microseconds. */
  delayUs?: number;
  jitterUs?: number;
  /** Sees every frame before anything else; false: it is lost. */
  filter?: (frame: Uint8Array, fromA: boolean) => boolean;
}

interface Flight {
  at: number;
  order: number;
  to: Host;
  frame: Uint8Array;
}

export class Network {
  readonly a: Host;
  readonly b: Host;
  now = 0;
  impairment: Impairment;
  readonly #random: Random;
  #flights: Flight[] = [];
  #order = 0;

  constructor(
    impairment: Impairment = {},
    seed = 1,
    choicesA: EnvironmentChoices = {},
    choicesB: EnvironmentChoices = {},
  ) {
    this.impairment = impairment;
    this.#random = new Random(seed);
    this.a = new Host({ ...choicesA, mac: [2, 0, 0, 0, 0, 2] });
    const secrets = { secret0: 77, secret1: 99, wireKey: [77, 99, 111, 113] as const };
    const config = { address: this.a.address + 1, ...secrets, ...choicesB.config };
    this.b = new Host({ ...choicesB, mac: [2, 0, 0, 0, 0, 3], config });
    this.#attach(this.a, this.b, true);
    this.#attach(this.b, this.a, false);
  }

  #attach(from: Host, to: Host, fromA: boolean): void {
    const { nic } = from.env;
    nic.isRecording = false;
    nic.peer = to.env.nic;
    nic.impair = (frame) => {
      this.#launch(frame, to, fromA);
      return [];
    };
  }

  #chance(percent: number | undefined): boolean {
    return percent !== undefined && this.#random.below(10_000) < percent * 100;
  }

  #launch(frame: Uint8Array, to: Host, fromA: boolean): void {
    const { loss, duplicate, reorder, delayUs = 50, jitterUs = 0, filter } = this.impairment;
    if (filter !== undefined && !filter(frame, fromA)) return;
    if (this.#chance(loss)) return;
    const copies = this.#chance(duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      let at = this.now + delayUs + (jitterUs > 0 ? this.#random.below(jitterUs) : 0);
      if (this.#chance(reorder)) at += delayUs * (1 + this.#random.below(4));
      this.#flights.push({ at, order: this.#order++, to, frame });
    }
  }

  #deliver(): void {
    const due = this.#flights.filter((flight) => flight.at <= this.now);
    if (due.length === 0) return;
    this.#flights = this.#flights.filter((flight) => flight.at > this.now);
    due.sort((x, y) => x.at - y.at || x.order - y.order);
    for (const { to, frame } of due) to.env.nic.inject(frame);
  }

  /** Both hosts work until neither has anything to do at this time. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      this.#deliver();
      const a = this.a.turn();
      const b = this.b.turn();
      if (!a && !b) return;
    }
    throw new Error('the hosts never come to rest');
  }

  /** Until `isDone`, at most `forMs` of virtual time; false when that has passed. */
  runs(isDone: () => boolean, forMs: number): boolean {
    const end = this.now + forMs * 1000;
    for (this.settle(); !isDone(); this.settle()) {
      if (this.now >= end) return false;
      let step = Math.min(1_000_000, end - this.now);
      for (const flight of this.#flights) step = Math.min(step, flight.at - this.now);
      for (const host of [this.a, this.b]) {
        step = Math.min(step, Math.max(16, host.env.wheel.untilNext(host.env.clock.us, 1_000_000)));
      }
      this.pass(Math.max(1, step));
    }
    return true;
  }

  run(isDone: () => boolean, forMs = 60_000): void {
    if (!this.runs(isDone, forMs)) throw new Error(`nothing more within ${forMs} ms`);
  }

  /** Lets time pass, come what may. */
  wait(ms: number): void {
    this.runs(() => false, ms);
  }

  pass(us: number): void {
    this.now += us;
    passTime(this.a.env, us);
    passTime(this.b.env, us);
  }

  close(): void {
    this.impairment = {};
    this.#flights = [];
    this.a.env.nic.peer = this.b.env.nic.peer = null;
    this.a.close();
    this.b.close();
  }
}

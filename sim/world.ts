/**
 * What the applications of a run share: virtual time, and where the two ends of a flow find each
 * other.
 *
 * - A server knows who knocks by addresses and ports alone; the flow that was added last under them
 *   is meant.
 * - Whatever is found wrong in a callback that may not throw is kept in `failure`, and ends the run
 *   at its next step.
 */
import type { Endpoint } from './endpoint.ts';
import type { FlowPlan } from './plan.ts';
import type { Schedule } from './schedule.ts';

export class World {
  readonly schedule: Schedule;
  readonly pattern: Buffer;
  readonly endpoints: Endpoint[] = [];
  /** What an application found wrong where it could not be thrown. */
  failure: unknown;
  /** Datagrams that have arrived. */
  datagrams = 0;
  /** Flows that are to be repeated and have not begun yet. */
  pending = 0;
  /** Adds a flow now. */
  addFlow: (flow: FlowPlan) => void = () => {};
  readonly #servers = new Map<string, Endpoint>();

  constructor(schedule: Schedule, pattern: Buffer) {
    this.schedule = schedule;
    this.pattern = pattern;
  }

  add(client: Endpoint, server: Endpoint): void {
    client.peer = server;
    server.peer = client;
    this.endpoints.push(client, server);
    const { flow } = client;
    this.#servers.set(`${flow.server} ${flow.client} ${flow.clientPort}`, server);
  }

  /**
   * The endpoint that is meant when a client knocks; the last flow that was added under its ports.
   */
  serverOf(server: number, client: number, clientPort: number): Endpoint | undefined {
    return this.#servers.get(`${server} ${client} ${clientPort}`);
  }

  progress(e: Endpoint): void {
    e.progressAt = this.schedule.now;
  }

  /** An end has died: with the other one dead too, the flow may be repeated. */
  died(e: Endpoint, reason: number): void {
    e.died(reason);
    this.progress(e);
    const { flow, peer } = e;
    if (flow.again === 0 || !peer.isDead || !e.host.isAlive || !peer.host.isAlive) return;
    this.pending++;
    this.schedule.after(flow.againUs, () => {
      this.pending--;
      const startUs = this.schedule.now;
      this.addFlow({ ...flow, id: flow.id + 1000, again: flow.again - 1, startUs });
    });
  }
}

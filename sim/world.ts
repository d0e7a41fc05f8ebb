/**
 * What the applications of a run see of each other and of virtual time.
 */
import type { Endpoint } from './endpoint.ts';
import type { Schedule } from './schedule.ts';

export class World {
  readonly schedule: Schedule;
  readonly pattern: Buffer;
  readonly endpoints: Endpoint[] = [];
  /** What an application found wrong where it could not be thrown. */
  failure: unknown;
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

  /** The endpoint that is meant when a client knocks; client ports are unique in a run. */
  serverOf(server: number, client: number, clientPort: number): Endpoint | undefined {
    return this.#servers.get(`${server} ${client} ${clientPort}`);
  }

  progress(e: Endpoint): void {
    e.progressAt = this.schedule.now;
  }
}

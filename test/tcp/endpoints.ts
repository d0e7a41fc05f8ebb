/** Applications for TCP tests: they send a stretch of the pattern, check every byte, and close. */
import assert from 'node:assert/strict';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { type Event, type Host, isStream, nameOf, PATTERN_BYTES } from './host.ts';

export interface Plan {
  /** Bytes to send on each connection. */
  send?: number;
  /** Largest span; spans of random length up to it. */
  spanMax?: number;
  /** Close when everything is sent (and, if the peer has not closed, without waiting for it). */
  closeAfterSend?: boolean;
  /** Half-close instead: received data still counts. */
  shutdownAfterSend?: boolean;
  /** Close when the peer has closed. Default true. */
  closeAtEnd?: boolean;
  /** False: bytes stay with us until `drain`. */
  consumes?: boolean;
}

export class Connection {
  readonly handle: number;
  readonly cookie: number;
  plan: Plan;
  sent = 0;
  acknowledged = 0;
  received = 0;
  /** Received, not yet done. */
  held = 0;
  isOpen = false;
  hasEnded = false;
  hasClosed = false;
  /** DEAD reason; -1 while it lives. */
  dead = -1;

  constructor(handle: number, cookie: number, plan: Plan) {
    this.handle = handle;
    this.cookie = cookie;
    this.plan = plan;
  }
}

export class Endpoints {
  readonly host: Host;
  readonly connections: Connection[] = [];
  /** What accepted connections do. */
  plan: Plan;
  readonly log: string[] = [];

  constructor(host: Host, plan: Plan = {}) {
    this.host = host;
    this.plan = plan;
    host.onEvent = (event) => this.#on(event);
  }

  listen(port = 7, backlog = 16): number {
    const handle = this.host.tcp.listen(1, 0, port, backlog, 0);
    assert.ok(handle > 0, `listen: ${handle}`);
    return handle;
  }

  connect(to: number, port = 7, plan: Plan = {}): Connection {
    const cookie = 100 + this.connections.length;
    const handle = this.host.tcp.connect(cookie, to, port);
    assert.ok(handle > 0, `connect: ${handle}`);
    const connection = new Connection(handle, cookie, plan);
    this.connections.push(connection);
    return connection;
  }

  #on(event: Event): void {
    this.log.push(nameOf(event));
    if (event.kind === EVENT.knock) {
      const cookie = 100 + this.connections.length;
      assert.equal(this.host.tcp.accept(event.handle, cookie), CODE.OK);
      const connection = new Connection(event.handle, cookie, this.plan);
      connection.isOpen = true;
      this.connections.push(connection);
      this.pump(connection);
      return;
    }
    const c = this.connections.find(({ handle }) => handle === event.handle)!;
    assert.ok(c, `an event of a known flow: ${nameOf(event)}`);
    assert.equal(event.cookie, c.cookie, 'the cookie');
    assert.equal(c.dead, -1, 'no event after dead');
    this.#handle(c, event);
  }

  #handle(c: Connection, event: Event): void {
    const [a = 0, b = 0] = event.words;
    switch (event.kind) {
      case EVENT.connected:
        assert.equal(c.isOpen, false);
        c.isOpen = true;
        break;
      case EVENT.recv:
        assert.ok(isStream(this.host, a, b, c.received), `the bytes at ${c.received}`);
        assert.equal(c.hasEnded, false, 'no data after the end');
        c.received += b;
        c.held += b;
        if (c.plan.consumes !== false) this.consume(c, b);
        break;
      case EVENT.recv_end:
        assert.equal(c.hasEnded, false);
        c.hasEnded = true;
        break;
      case EVENT.sent:
        c.acknowledged += a;
        assert.ok(c.acknowledged <= c.sent, 'not more than was sent');
        break;
      case EVENT.dead:
        c.dead = a;
        return;
    }
    this.pump(c);
  }

  consume(c: Connection, bytes: number): void {
    this.#expectOk(c, this.host.tcp.recvDone(c.handle, bytes));
    c.held -= bytes;
  }

  /** Goes on with the plan. */
  pump(c: Connection): void {
    if (!c.isOpen || c.hasClosed || c.dead >= 0) return;
    const { send = 0, spanMax = 8192, closeAtEnd = true } = c.plan;
    while (c.sent < send) {
      const at = c.sent % PATTERN_BYTES;
      const most = Math.min(send - c.sent, spanMax, PATTERN_BYTES - at);
      const length = 1 + ((c.sent * 7919) % most);
      const accepted = this.host.tcp.send(c.handle, this.host.at(c.sent), length);
      assert.ok(accepted >= 0, `send: ${accepted}`);
      c.sent += accepted;
      if (accepted < length) return;
    }
    if (c.plan.shutdownAfterSend) {
      c.plan = { ...c.plan, shutdownAfterSend: false };
      this.#expectOk(c, this.host.tcp.shutdown(c.handle));
    }
    if (c.plan.closeAfterSend || (c.hasEnded && closeAtEnd)) {
      c.hasClosed = true;
      this.#expectOk(c, this.host.tcp.close(c.handle));
    }
  }

  #expectOk(c: Connection, code: number): void {
    assert.equal(code, this.host.dying.has(c.handle) ? CODE.BAD_HANDLE : CODE.OK);
  }
}

/**
 * The clients' hot paths allocate nothing: their handlers are called with bytes that already lie in
 * the arena.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Application, Connection, Handlers, Ix } from '../../src/libix/index.ts';
import echoClient from '../../src/load/closed/echo-client.ts';
import kvClient from '../../src/load/closed/kv-client.ts';
import generator from '../../src/load/generator/generator.ts';
import { bytesPerOperation } from '../arena/property.ts';

const ARENA_BYTES = 2 ** 24;
/** Where answers are written; application memory begins behind it. */
const ANSWER = 64;
const MESSAGES = 1_000_000;

/** One connection whose sends only leave their offset and length. */
class DirectIx {
  readonly u8 = new Uint8Array(ARENA_BYTES);
  readonly view = new DataView(this.u8.buffer);
  readonly timers: (() => void)[] = [];
  handlers: Handlers = { received: () => 0 };
  readonly connection = { state: undefined as unknown, send: this.#send.bind(this) };
  sentOffset = 0;
  sentLength = 0;
  #nextFree = 4096;
  #us = 0;

  start(application: Application, options: Record<string, string>): Connection {
    const address = { host: '10.0.0.1', port: '7', connections: '1' };
    void application(this as unknown as Ix, { ...address, ...options });
    // The limit of opening, and the start.
    for (const callback of this.timers.splice(0)) callback();
    const c = Object.assign(this.connection, { write: this.#send.bind(this), close() {} });
    this.handlers.opened?.(c as unknown as Connection);
    return c as unknown as Connection;
  }

  /** Warm-up is over. */
  measure(): void {
    for (const callback of this.timers.splice(0)) callback();
  }

  #send(offset: number, length: number): boolean {
    this.sentOffset = offset;
    this.sentLength = length;
    return true;
  }

  alloc(bytes: number, alignment = 8): number {
    const offset = Math.ceil(this.#nextFree / alignment) * alignment;
    this.#nextFree = offset + bytes;
    return offset;
  }

  onBatchEnd(callback: () => void): void {
    this.batchEnd = callback;
  }
  batchEnd = (): void => {};

  keepTurning(): void {}

  rest(): void {}

  nowUs(): number {
    this.#us = (this.#us + 7) | 0;
    return this.#us;
  }

  timer(_delayUs: number, callback: () => void): void {
    // The first one is the time limit of opening, which is not what is tested.
    if (this.#isLimitSet) this.timers.push(callback);
    this.#isLimitSet = true;
  }
  #isLimitSet = false;

  connect(_address: string, _port: number, handlers: Handlers): unknown {
    this.handlers = handlers;
    return this.connection;
  }

  report(value: unknown): void {
    throw new Error(JSON.stringify(value));
  }
}

for (const clock of ['batch', 'fine']) {
  for (const depth of [1, 16]) {
    test(`echo_answers_allocate_nothing_with_clock_${clock}_and_depth_${depth}`, () => {
      const direct = new DirectIx();
      const c = direct.start(echoClient, { clock, depth: `${depth}` });
      direct.measure();
      const bytes = bytesPerOperation((count) => {
        for (let i = 0; i < count; i++) {
          const { sentOffset, sentLength } = direct;
          assert.ok(direct.handlers.received(c, sentOffset, sentLength) === sentLength, 'consumed');
        }
      }, MESSAGES / depth);
      assert.ok(bytes / depth < 0.5, `${bytes / depth} bytes a message`);
    });
  }
}

test('kv_answers_allocate_nothing', () => {
  const direct = new DirectIx();
  const c = direct.start(kvClient, { keys: '1', hitRatio: '1' });
  const put = (text: string, offset: number) => {
    for (let i = 0; i < text.length; i++) direct.u8[offset + i] = text.charCodeAt(i);
  };
  put('STORED\r\n', ANSWER);
  assert.equal(direct.handlers.received(c, ANSWER, 8), 8);
  direct.measure();
  const key = 'key-000000000000';
  const hit = `VALUE ${key} 0 32\r\n${key}${key}\r\nEND\r\n`;
  put(hit, ANSWER);
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) {
      assert.ok(direct.handlers.received(c, ANSWER, hit.length) === hit.length, 'consumed');
    }
  }, MESSAGES);
  assert.ok(bytes < 0.5, `${bytes} bytes a message`);
});

/** Long enough for the test; nothing to wait for at its end. */
const FOREVER = { warmupMs: '0', durationMs: '3600000', drainMs: '0' };

test('generator_echo_answers_allocate_nothing', () => {
  const direct = new DirectIx();
  const c = direct.start(generator as Application, { protocol: 'echo', ...FOREVER });
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) {
      const { sentOffset, sentLength } = direct;
      assert.ok(direct.handlers.received(c, sentOffset, sentLength) === sentLength, 'consumed');
      direct.batchEnd();
    }
  }, MESSAGES);
  assert.ok(bytes < 0.5, `${bytes} bytes a message`);
});

for (const arrival of ['poisson', 'pareto', 'fixed']) {
  test(`generator_kv_answers_in_an_open_loop_${arrival}_allocate_nothing`, () => {
    const direct = new DirectIx();
    // More is due than can be sent: every answer makes room for the next request.
    const options = { records: '1', keySize: '16', valueSize: '32', rate: '100000000', arrival };
    const c = direct.start(generator as Application, { ...options, ...FOREVER });
    const put = (text: string, offset: number) => {
      for (let i = 0; i < text.length; i++) direct.u8[offset + i] = text.charCodeAt(i);
    };
    const value = Buffer.from(direct.u8.subarray(direct.sentOffset, direct.sentOffset + 64));
    const line = value.toString('latin1');
    assert.match(line, /^set 0{16} 0 0 32\r\n/);
    put('STORED\r\n', ANSWER);
    assert.equal(direct.handlers.received(c, ANSWER, 8), 8);
    const data = line.slice(line.indexOf('\n') + 1, line.indexOf('\n') + 33);
    const hit = `VALUE 0000000000000000 0 32\r\n${data}\r\nEND\r\n`;
    put(hit, ANSWER);
    direct.batchEnd();
    const bytes = bytesPerOperation((count) => {
      for (let i = 0; i < count; i++) {
        assert.ok(direct.handlers.received(c, ANSWER, hit.length) === hit.length, 'consumed');
        direct.batchEnd();
      }
    }, MESSAGES / 4);
    assert.ok(bytes < 0.5, `${bytes} bytes a message`);
  });
}

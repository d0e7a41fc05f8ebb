/**
 * One life of a connection: the object behind `Connection` (connection.ts), which an application
 * asks for things, and whose inside (inside.ts) is libix's.
 *
 * - One object is one life. From `closed` on everything it can do is over for ever: methods do
 *   nothing and answer false, addresses and ports are 0, and only `state` is kept. So an answer
 *   that comes late goes to nobody. `pooled` handlers promise never to touch it then, and their
 *   objects are used again (handlers.ts).
 * - What an application gives is checked here or in session.ts, before anything is done with it.
 * - Its inside is hidden by types only. At run time it is the same object: one in front of it, with
 *   nothing but a private field, would be 48 bytes more for each connection (a third of what one
 *   has) and one load more in each call and each handler, and would still show that field, since
 *   private names are plain in a bundle (tools/bundle.ts).
 *
 * Made by session.ts, which also says which call is made when.
 */
import { formatWords } from './address.ts';
import { integer } from './arguments.ts';
import { COLUMN } from './columns.ts';
import type { Connection } from './connection.ts';
import { Inside } from './inside.ts';

/** Of an address. */
const WORDS = [0, 1, 2, 3];

export class Life extends Inside implements Connection {
  get remoteAddress(): string {
    return this.isAlive ? formatWords(WORDS.map((i) => this.remoteWord(i))) : '';
  }

  get localAddress(): string {
    return this.hasLocal ? formatWords(WORDS.map((i) => this.localWord(i))) : '';
  }

  send(offset: number, length: number, tag = 0): boolean {
    return this.session.send(this, offset, length, tag);
  }

  write(offset: number, length: number): boolean {
    return this.session.write(this, offset, length);
  }

  writeSome(bytes: Uint8Array, from = 0): number {
    integer('writeSome: from', from, 0, bytes.length);
    return this.session.writeSome(this, bytes, from);
  }

  writeText(text: string): boolean {
    return this.session.writeBytes(this, new TextEncoder().encode(text));
  }

  close(): boolean {
    return this.session.close(this);
  }

  end(): boolean {
    return this.session.end(this);
  }

  keepalive(idleMs: number, intervalMs = 75_000, count = 9): boolean {
    integer('keepalive (ms)', idleMs, 0);
    integer('keepalive: interval (ms)', intervalMs, 1, 1_000_000);
    integer('keepalive: count', count, 1, 127);
    this.put(COLUMN.keepaliveMs, idleMs);
    this.put(COLUMN.keepaliveIntervalMs, intervalMs);
    this.put(COLUMN.keepaliveCount, count);
    return this.session.keepalive(this);
  }

  userTimeout(ms: number): boolean {
    integer('userTimeout (ms)', ms, 0);
    this.put(COLUMN.userTimeoutMs, ms);
    return this.session.userTimeout(this);
  }

  mark(codePoint: number, hops = 0): boolean {
    integer('mark: code point', codePoint, 0, 63);
    integer('mark: hop limit', hops, 0, 255);
    this.put(COLUMN.codePoint, codePoint);
    this.put(COLUMN.hops, hops);
    return this.session.marking(this);
  }

  abort(): boolean {
    return this.session.abort(this);
  }

  pause(): boolean {
    this.isPaused = true;
    return this.isAlive;
  }

  resume(): boolean {
    return this.session.resume(this);
  }
}

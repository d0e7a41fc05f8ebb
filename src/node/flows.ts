/**
 * Connections over libix: what Node's handles stand on beyond this thread.
 *
 * - A conduit holds one `Connection` of libix's, which is one life: whatever comes late does
 *   nothing.
 * - Everything that libix tells is one callback as from C++: what it throws is the program's to
 *   catch (ticks.ts), and ticks run behind it, within the turn.
 * - Bytes are taken at once, whoever reads: libix gathers nothing for us. Who does not read pauses
 *   the connection, and its frames stay in the receive pool.
 *
 * Made by program.ts, and by tests. Read first: src/libix/connection.ts, conduit.ts.
 */
import type { Connection, Handlers, Ix } from '../libix/index.ts';
import type {
  Above,
  BindWish,
  Carrier,
  Conduit,
  Endpoint,
  Knocked,
  Listening,
  TextEncoding,
} from './conduit.ts';
import { Ear } from './ear.ts';
import { EINVAL, errnoOfDead, errnoOfListen } from './errno.ts';
import { isAny } from './ports.ts';
import { calledBack, fatal, tick } from './ticks.ts';

/** Text is written into the arena here, to be copied from. */
const SCRATCH_BYTES = 65_536;
/** Most bytes of a character in UTF-8 for each unit of a JavaScript string. */
const UTF8_MAX = 3;

/** A piece of the arena that text passes through. */
interface Scratch {
  readonly memory: Buffer;
  readonly offset: number;
}

class Flow implements Conduit {
  above: Above | undefined;
  connection: Connection | undefined;
  readonly #scratch: Scratch;
  #isResuming = false;

  constructor(scratch: Scratch, connection: Connection, above?: Above) {
    this.#scratch = scratch;
    this.connection = connection;
    this.above = above;
  }

  get queuedBytes(): number {
    return this.connection?.queuedBytes ?? 0;
  }

  get localAddress(): string {
    return this.connection?.localAddress ?? '';
  }

  get localPort(): number {
    return this.connection?.localPort ?? 0;
  }

  get remoteAddress(): string {
    return this.connection?.remoteAddress ?? '';
  }

  get remotePort(): number {
    return this.connection?.remotePort ?? 0;
  }

  write(bytes: Uint8Array, from: number): number {
    return this.connection?.writeSome(bytes, from) ?? 0;
  }

  writeText(text: string, encoding: TextEncoding): number {
    const { connection } = this;
    const { memory, offset } = this.#scratch;
    if (!connection?.writable || text.length * UTF8_MAX > SCRATCH_BYTES) return -1;
    const length = memory.write(text, offset, SCRATCH_BYTES, encoding);
    return connection.write(offset, length) ? length : -1;
  }

  pause(): void {
    this.connection?.pause();
  }

  resume(): void {
    if (this.#isResuming || !this.connection?.isPaused) return;
    this.#isResuming = true;
    setImmediate(() => {
      this.#isResuming = false;
      this.connection?.resume();
    });
  }

  end(): void {
    this.connection?.end();
  }

  close(): void {
    this.#leave()?.close();
  }

  abort(): void {
    this.#leave()?.abort();
  }

  #leave(): Connection | undefined {
    const { connection } = this;
    this.above = this.connection = undefined;
    if (connection) connection.state = undefined;
    return connection;
  }

  keepalive(idleMs: number, intervalMs?: number, count?: number): void {
    this.connection?.keepalive(idleMs, intervalMs, count);
  }

  mark(codePoint: number): void {
    this.connection?.mark(codePoint);
  }
}

const flowOf = (c: Connection): Flow | undefined => c.state as Flow | undefined;

export class Flows implements Carrier {
  readonly #ix: Ix;
  readonly #scratch: Scratch;
  readonly #memory: Buffer;
  readonly #handlers: Handlers;
  /** By address, or any, and port. */
  readonly #ears = new Map<string, Ear>();

  constructor(ix: Ix) {
    this.#ix = ix;
    const { buffer, byteOffset, byteLength } = ix.u8;
    this.#memory = Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
    this.#scratch = { memory: this.#memory, offset: ix.alloc(SCRATCH_BYTES, 64) };
    this.#handlers = {
      opened: (c) => {
        c.readsWhileBlocked = true;
        this.#told(flowOf(c)?.above, (above) => above.connected(0));
      },
      received: (c, offset, length) => {
        const above = flowOf(c)?.above;
        if (above === undefined) return length;
        try {
          above.arrived(this.#memory, offset, length);
        } catch (error) {
          fatal(error);
        }
        tick();
        return length;
      },
      drained: (c) => this.#told(flowOf(c)?.above, (above) => above.drained()),
      ended: (c) => {
        const above = flowOf(c)?.above;
        if (above === undefined) c.close();
        else this.#told(above, () => above.ended());
      },
      closed: (c, reason) => {
        const flow = flowOf(c);
        if (flow === undefined) return;
        const { above } = flow;
        flow.above = flow.connection = undefined;
        this.#told(above, () => above!.died(errnoOfDead(reason)));
      },
    };
  }

  #told(above: Above | undefined, tell: (above: Above) => void): void {
    if (above !== undefined) calledBack(() => tell(above));
  }

  listen(at: BindWish, backlog: number, knocked: Knocked): Listening {
    const key = `${isAny(at.address) ? '*' : at.address} ${at.port}`;
    const known = this.#ears.get(key);
    if (known !== undefined) return known.join(at, knocked);
    const ear = new Ear(() => this.#forget(key, ear));
    this.#ears.set(key, ear);
    const listening = ear.join(at, knocked);
    ear.listener = this.#ix.listen(
      at.port,
      { ...this.#handlers, opened: (c) => this.#accepted(c, ear) },
      {
        ...(isAny(at.address) ? {} : { address: at.address }),
        accept: (knock) => ear.hears(knock),
        backlog,
        listening: () => ear.answered(0),
        refused: ({ result }) => {
          this.#forget(key, ear);
          ear.answered(errnoOfListen(result));
        },
      },
    );
    return listening;
  }

  #forget(key: string, ear: Ear): void {
    if (this.#ears.get(key) === ear) this.#ears.delete(key);
  }

  #accepted(c: Connection, ear: Ear): void {
    const knocked = ear.whose(c.localAddress);
    if (knocked === undefined) return void c.abort();
    c.readsWhileBlocked = true;
    const flow = new Flow(this.#scratch, c);
    c.state = flow;
    calledBack(() => knocked.accepted(flow));
  }

  connect(to: Endpoint, localPort: number, above: Above): Conduit | number {
    let c: Connection;
    try {
      c = this.#ix.connect(to.address, to.port, this.#handlers, { localPort });
    } catch {
      return EINVAL; // an address with a zone
    }
    const flow = new Flow(this.#scratch, c, above);
    c.state = flow;
    return flow;
  }
}

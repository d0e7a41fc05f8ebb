/**
 * A client on the kernel's TCP for tests: each `write` leaves as segments of its own, bytes are
 * read by count.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const SILENCE_MS = 15_000;

export class Client {
  readonly socket: Socket;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #wake: (() => void) | undefined;
  /** Why there will be no more bytes. */
  #end: string | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      this.#wake?.();
    });
    const ended = (why: string): void => {
      this.#end ??= why;
      this.#wake?.();
    };
    socket.on('end', () => ended('the server has closed'));
    socket.on('error', (error) => ended(error.message));
    socket.on('close', () => ended('closed'));
  }

  static async open(host: string, port: number): Promise<Client> {
    const socket = connect({ host, port, noDelay: true });
    const client = new Client(socket);
    await once(socket, 'connect', { signal: AbortSignal.timeout(SILENCE_MS) });
    return client;
  }

  /** Settles when the kernel has it. */
  write(bytes: Buffer | string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** The next `count` bytes. */
  async bytes(count: number): Promise<Buffer> {
    const deadline = Date.now() + SILENCE_MS;
    while (this.#bytes < count) {
      const had = `${this.#bytes} of ${count} bytes came`;
      if (this.#end !== undefined) throw new Error(`${this.#end}; ${had}`);
      if (Date.now() > deadline) throw new Error(`silence; ${had}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [all.subarray(count)];
    this.#bytes -= count;
    return all.subarray(0, count);
  }

  /** The next `count` bytes as text. */
  async text(count: number): Promise<string> {
    return (await this.bytes(count)).toString('latin1');
  }

  /** Closes our side and waits for the server's FIN. */
  async close(): Promise<void> {
    this.socket.end();
    if (!this.socket.destroyed) await once(this.socket, 'close');
  }
}

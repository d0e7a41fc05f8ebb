/**
 * The installed memcached as an oracle: on a loopback port of its own, ended by its process object.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import net from 'node:net';

const PATH = '/usr/bin/memcached';

export class Memcached {
  readonly port: number;
  readonly #process: ChildProcess;

  constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#process = child;
  }

  /** Why there is no oracle on this machine, or undefined. */
  static missing(): string | undefined {
    try {
      accessSync(PATH, constants.X_OK);
      return undefined;
    } catch {
      return `${PATH} is not installed: nothing to compare with`;
    }
  }

  static async start(...extra: string[]): Promise<Memcached> {
    const port = await freePort();
    const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
    const args = `-l 127.0.0.1 -p ${port} -U 0 -m 64`.split(' ').concat(user, extra);
    const child = spawn(PATH, args, { stdio: 'ignore' });
    for (let attempt = 0; attempt < 100; attempt++) {
      const peer = await Peer.open(port).catch(() => undefined);
      if (peer) {
        await peer.finish();
        return new Memcached(port, child);
      }
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    child.kill();
    throw new Error('memcached does not answer');
  }

  connect(): Promise<Peer> {
    return Peer.open(this.port);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill();
    await ended;
  }
}

/** One connection to it. */
export class Peer {
  received = '';
  readonly #socket: net.Socket;
  #wake: () => void = () => {};
  readonly #closed: Promise<void>;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      this.received += bytes.toString('latin1');
      this.#wake();
    });
    this.#closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#wake();
        resolve();
      });
    });
  }

  static open(port: number): Promise<Peer> {
    return new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => resolve(new Peer(socket)));
    });
  }

  /**
   * Sends bytes and waits until what came since is an answer as long as it should be, or for `ms`.
   */
  async ask(bytes: string, isWhole: (answer: string) => boolean, ms = 500): Promise<void> {
    const before = this.received.length;
    this.#socket.write(Buffer.from(bytes, 'latin1'));
    const deadline = Date.now() + ms;
    while (
      !isWhole(this.received.slice(before)) &&
      Date.now() < deadline &&
      !this.#socket.destroyed
    ) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now());
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Closes our side and returns everything that was received until the peer closed its own. */
  async finish(): Promise<string> {
    this.#socket.end();
    await this.#closed;
    return this.received;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

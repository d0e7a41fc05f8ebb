/**
 * The competitors: what a user would run instead, each as well as its users run it.
 *
 * - All on the kernel's TCP, on the server's end of the benchmark's link, pinned to the server's
 *   core.
 * - `epoll`: C, -O2, level-triggered (peers/echo-epoll.c). `epollSpin` is the same program that
 *   never sleeps: nobody runs it so, but it shows how much of a round trip is the kernel's wake-up.
 * - `nodeNet`, `nodeKv`: node:net on the same Node as ours. `memcached`: Debian's, one thread, its
 *   defaults otherwise.
 * - `epollOneCore`, `memcachedOneCore`: the same programs, and what the kernel receives for them is
 *   work of their core, too (network.ts says where it is otherwise). Every ratio that is a target
 *   is that to the usual ones.
 * - A peer that is not on this machine says what is missing and how to get it.
 */
import { connect } from 'node:net';
import { UserError } from '../../src/errors.ts';
import { compilePeer, peerSource } from './compile.ts';
import { steerReceive } from './network.ts';
import { findProgram, type Running, startPinned } from './process.ts';

const START_MS = 5000;
const RETRY_MS = 10;

export interface Peer {
  name: string;
  /** For tables. */
  title: string;
  port: number;
  /** What is missing, with the remedy; undefined: all is there. */
  missing(): string | undefined;
  command(address: string): string[];
  /** The kernel's receiving is steered to the server's core. */
  steers?: boolean;
}

const ECHO_PORT = 7;
const KV_PORT = 11_211;
/**
 * 16,000 connections each (bench/load/many-client.ts): one process may be allowed no more than
 * 20,000 open files.
 */
export const SERVER_PORTS = 16;

export const compilerMissing = (): string | undefined =>
  findProgram(process.env['CC'] || 'cc') ? undefined : 'C compiler: apt-get install gcc libc6-dev';

const PEERS = {
  epoll: {
    title: 'C, epoll, Linux TCP',
    port: ECHO_PORT,
    missing: compilerMissing,
    command: (address) => [compilePeer('echo-epoll'), address, String(ECHO_PORT)],
  },
  epollSpin: {
    title: 'the same, never sleeping',
    port: ECHO_PORT,
    missing: compilerMissing,
    command: (address) => [compilePeer('echo-epoll'), '--spin', address, String(ECHO_PORT)],
  },
  nodeNet: {
    title: 'Node, node:net',
    port: ECHO_PORT,
    missing: () => undefined,
    command: (address) => [
      process.execPath,
      peerSource('echo-node.ts'),
      address,
      String(ECHO_PORT),
    ],
  },
  /** For more connections than a client address has ports. */
  epollPorts: {
    title: 'C, epoll, Linux TCP',
    port: ECHO_PORT,
    missing: compilerMissing,
    command: (address) => [
      compilePeer('echo-epoll'),
      ...[address, String(ECHO_PORT), String(SERVER_PORTS)],
    ],
  },
  netpipe: {
    title: 'C, NetPIPE, Linux TCP',
    port: ECHO_PORT,
    missing: compilerMissing,
    command: (address) => [compilePeer('netpipe'), 'serve', address, String(ECHO_PORT)],
  },
  nodeKv: {
    title: 'Node, node:net and a Map',
    port: KV_PORT,
    missing: () => undefined,
    command: (address) => [process.execPath, peerSource('kv-node.ts'), address, String(KV_PORT)],
  },
  memcached: {
    title: 'memcached -t 1',
    port: KV_PORT,
    missing: () => (findProgram('memcached') ? undefined : 'memcached: apt-get install memcached'),
    command: (address) => [
      findProgram('memcached') ?? 'memcached',
      ...['-t', '1', '-u', 'nobody', '-l', address, '-p', String(KV_PORT)],
      ...['-m', '1024', '-c', '4096'],
    ],
  },
} satisfies Record<string, Omit<Peer, 'name'>>;

export type PeerName = keyof typeof PEERS;

export const peerNamed = (name: PeerName): Peer => ({ name, ...PEERS[name] });

/** The same program with one core for all that it needs, the kernel's receiving included. */
export const onOneCore = (peer: Peer): Peer => ({
  ...peer,
  name: `${peer.name}OneCore`,
  title: `${peer.title}, one core for all`,
  steers: true,
});

/** Starts it on `cpu` and waits until it answers on its port. */
export async function startPeer(peer: Peer, address: string, cpu: number): Promise<Running> {
  if (peer.steers) steerReceive(cpu);
  const running = startPinned(cpu, peer.command(address));
  const deadline = Date.now() + START_MS;
  while (!(await accepts(address, peer.port))) {
    if (running.hasEnded || Date.now() > deadline) {
      await running.stop();
      const { errors } = await running.ended;
      const reason = errors.trim().split('\n')[0] || `no answer on port ${peer.port}`;
      throw new UserError('IX_PEER', `${peer.title} does not start (${reason})`, '');
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return running;
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true)).once('error', () => settle(false));
  });
}

/**
 * Our TCP beside Linux's, segment by segment (differential.ts). What stays: docs/conformance.md.
 */
import assert from 'node:assert/strict';
import { closeSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { enterPrivateNetwork } from '../../bench/harness/network.ts';
import { Netlink } from '../../src/control/link/netlink.ts';
import { hasCapability } from '../../src/native/process.ts';
import { readInterface } from '../../src/nic/privileged/interface.ts';
import { openTapDevice } from '../../src/nic/privileged/tap.ts';
import { address } from '../net/harness.ts';
import { arp, HOST_MAC, macText, OURS } from '../net/packets.ts';
import {
  areAlike,
  foreignPeer,
  incomparableFrom,
  makeSequence,
  ourSide,
  PORT,
  play,
  type Sequence,
  type Side,
  STEP_MS,
  withoutOwnBlocks,
} from './differential.ts';

const skip =
  !(hasCapability('CAP_SYS_ADMIN') && hasCapability('CAP_NET_ADMIN')) &&
  'needs root: makes a network namespace';

const COUNT = Number(process.env['COUNT'] ?? 150);
const SOURCE_PORT = 20_000;
/** No limit on answers to bad segments, which would hide what each of them is answered. */
const SETTINGS = { tcp_invalid_ratelimit: '0', tcp_challenge_ack_limit: '2147483647' };
const LINK = 'ixdiffer0';
const ACCEPT_TRIES = 400;

interface Linux {
  side(index: number): Side;
  close(): void;
}

/**
 * Linux behind a TAP, in a namespace of its own: every connection is accepted and read, half-open
 * ones are kept.
 */
async function startLinux(): Promise<Linux> {
  enterPrivateNetwork();
  for (const [name, value] of Object.entries(SETTINGS)) {
    writeFileSync(`/proc/sys/net/ipv4/${name}`, value);
  }
  const fd = openTapDevice(LINK);
  const netlink = new Netlink();
  const { index } = netlink.link(LINK)!;
  netlink.setUp(index);
  netlink.addAddress(index, address(OURS), 24);
  netlink.close();
  const mac = Uint8Array.from(readInterface(LINK).mac);
  const sockets = new Map<number, Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.set(socket.remotePort!, socket);
    socket.on('error', () => socket.destroy()).resume();
  });
  await new Promise<void>((resolve) => server.listen(PORT, '0.0.0.0', resolve));
  const sent = new Map<number, Uint8Array[]>();
  const send = (frame: Uint8Array): void => {
    frame.set(mac);
    writeSync(fd, frame);
  };
  const buffer = new Uint8Array(2048);
  const read = (): void => {
    try {
      for (;;) {
        const frame = buffer.slice(0, readSync(fd, buffer));
        if (frame[12] === 8 && frame[13] === 6) {
          send(arp({ operation: 2, targetMac: macText(mac), target: OURS }, { from: HOST_MAC }));
        } else sent.get((frame[36]! << 8) | frame[37]!)?.push(frame);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  };
  const timer = setInterval(read, 2);
  return {
    side: (number) => {
      const port = SOURCE_PORT + number;
      const { peer, sent: queue } = foreignPeer(port, send);
      sent.set(port, queue);
      const live = async (action: (socket: Socket) => void): Promise<void> => {
        // on a busy machine the connection is accepted late
        for (let tries = 0; !sockets.has(port) && tries < ACCEPT_TRIES; tries++) await sleep(5);
        const socket = sockets.get(port);
        if (socket && !socket.destroyed && socket.writable) action(socket);
      };
      return {
        peer,
        write: (length) => live((socket) => void socket.write(Buffer.alloc(length, 0x42))),
        close: () => live((socket) => void socket.end()),
        pass: async () => {
          await sleep(STEP_MS);
          read();
        },
      };
    },
    close: () => {
      clearInterval(timer);
      for (const socket of sockets.values()) socket.destroy();
      server.close();
      closeSync(fd);
    },
  };
}

/** The first step that they answer differently, in words. */
function difference(sequence: Sequence, mine: string[][], theirs: string[][]): string | undefined {
  const [ours, linux] = [mine, theirs].map((heard) => withoutOwnBlocks(sequence, heard)) as [
    string[][],
    string[][],
  ];
  const names = ['SYN', 'ACK', ...sequence.steps.map(({ name }) => name)];
  const from = incomparableFrom(sequence, ours);
  const at = names.findIndex((_, i) => !areAlike(ours[i]!, linux[i]!));
  if (at < 0 || (from >= 0 && at >= from)) return undefined;
  const way = names.slice(0, at + 1).join(', ');
  const [we, they] = [ours, linux].map((heard) => heard[at]!.join('; ') || 'nothing');
  const { seed, handshake } = sequence;
  return `${seed}: ${handshake.name}: ${way}\n    ours:  ${we}\n    linux: ${they}`;
}

test('sequences_ourStackAndLinux_answerAlike', { skip, timeout: 60_000 }, async (t) => {
  const first = Number(process.env['SEED'] ?? 1);
  t.diagnostic(`SEED=${first}, ${COUNT} sequences`);
  const sequences = Array.from({ length: COUNT }, (_, i) => makeSequence(first + i));
  const linux = await startLinux();
  const theirs = await Promise.all(sequences.map((each, i) => play(linux.side(i), each)));
  linux.close();
  const differences: string[] = [];
  for (const [i, sequence] of sequences.entries()) {
    const side = ourSide();
    const mine = await play(side, sequence);
    side.end();
    const found = difference(sequence, mine, theirs[i]!);
    if (found !== undefined) differences.push(found);
  }
  assert.equal(differences.length, 0, `\n  ${differences.join('\n  ')}`);
});

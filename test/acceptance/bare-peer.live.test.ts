/**
 * A peer that offers no TCP option at all, not even MSS: written frame by frame over AF_XDP from
 * the host's end of the link, beside the kernel. It must be taken at RFC 9293's word: segments of
 * at most 536 bytes, no option but MSS in the SYN-ACK, nothing but the header afterwards.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { STRANGERS_FIRST } from '../../bench/soak/addresses.ts';
import { Dice } from '../../bench/soak/dice.ts';
import { FrameWriter } from '../../bench/soak/frames.ts';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { parseAddress } from '../../src/control/link/address.ts';
import { Counters } from '../../src/counters.ts';
import { TRANSMIT_HEADROOM } from '../../src/limits.ts';
import { readInterface } from '../../src/nic/privileged/interface.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';
import { macHigh, macLow } from '../../src/wire/ethernet.ts';
import { ACK, FIN, PSH, SYN } from '../../src/wire/tcp.ts';
import { enterNamespace } from '../control/namespace.ts';
import { needs } from './programs.ts';
import { Serving } from './serving.ts';

enterNamespace();

const SERVER = '10.78.0.2';
const HOST_LINK = 'ix0';
const SERVER_LINK = 'ix1';
/** What a peer that names no MSS takes (RFC 9293 3.7.1). */
const MSS = 536;
const FRAMES = 256;
const ISS = 0x7fffff00; // beyond 2^31 soon
const SILENCE_MS = 5000;

interface Heard {
  flags: number;
  seq: number;
  ack: number;
  /** Bytes behind the 20 of the header. */
  options: number[];
  payload: Buffer;
}

/**
 * One connection of the first stranger, in order and without losses: what the test needs of TCP.
 */
class BarePeer {
  readonly #arena = new Arena(8 * 2 ** 20);
  readonly #frames: Frames;
  readonly #nic: ReturnType<typeof openXdp>;
  readonly #writer: FrameWriter;
  next = ISS;
  expected = 0;

  constructor() {
    const arena = this.#arena;
    arena.bindNative();
    this.#frames = new Frames(arena, FRAMES, FRAMES);
    const options = { ifname: HOST_LINK, ipv4: [STRANGERS_FIRST], ringEntries: FRAMES / 2 };
    this.#nic = openXdp(arena, this.#frames, new Counters(arena), options);
    const words = (mac: Uint8Array) => {
      const view = new DataView(Uint8Array.from(mac).buffer);
      return [macHigh(view, 0), macLow(view, 0)] as const;
    };
    const [ownHigh, ownLow] = words(this.#nic.nic.mac);
    const [serverHigh, serverLow] = words(readInterface(SERVER_LINK).mac);
    const ends = { ownHigh, ownLow, serverHigh, serverLow, server: parseAddress(SERVER) };
    const { view, u8, kernels } = arena;
    this.#writer = new FrameWriter(view, u8, kernels, new Dice(1), ends);
  }

  #transmit(write: (at: number) => number): void {
    const at = this.#frames.takeTransmit() + TRANSMIT_HEADROOM;
    this.#nic.nic.transmit(at, write(at));
    this.#nic.nic.kick();
  }

  send(flags: number, payload = Buffer.alloc(0)): void {
    const segment = { tuple: 0, flags, seq: this.next, ack: this.expected, window: 65_535 };
    this.#transmit((at) => {
      this.#arena.u8.set(payload, this.#writer.payloadAt(at, 0));
      return this.#writer.segment(at, { ...segment, options: 0 }, payload.length);
    });
    this.next = (this.next + payload.length + (flags & FIN) + ((flags & SYN) >> 1)) | 0;
  }

  /** The next segment to us; answers ARP on the way. */
  async hear(): Promise<Heard> {
    const { nic } = this.#nic;
    const { view, u8 } = this.#arena;
    for (const end = Date.now() + SILENCE_MS; Date.now() < end; await sleep(1)) {
      nic.reclaim();
      if (nic.receive(1) === 0) continue;
      const at = nic.rxOffsets[0]!;
      const isArp = view.getUint16(at + 12) === 0x0806;
      const tcp = at + 34;
      const header = (u8[tcp + 12]! >> 4) << 2;
      const heard = {
        flags: u8[tcp + 13]!,
        seq: view.getInt32(tcp + 4),
        ack: view.getInt32(tcp + 8),
        options: [...u8.slice(tcp + 20, tcp + header)],
        payload: Buffer.from(u8.slice(tcp + header, at + 14 + view.getUint16(at + 16))),
      };
      this.#frames.free(at);
      if (!isArp) return heard;
      this.#transmit((to) => this.#writer.arp(to, 0, 2));
    }
    throw new Error('silence');
  }

  /** Bytes in order until `count` are there, each segment acknowledged. */
  async read(count: number): Promise<{ bytes: Buffer; longest: number }> {
    let bytes = Buffer.alloc(0);
    let longest = 0;
    while (bytes.length < count) {
      const { seq, payload, options } = await this.hear();
      assert.deepEqual(options, [], 'no options after the handshake');
      longest = Math.max(longest, payload.length);
      if (seq !== this.expected || payload.length === 0) continue;
      bytes = Buffer.concat([bytes, payload]);
      this.expected = (this.expected + payload.length) | 0;
      this.send(ACK);
    }
    return { bytes, longest };
  }

  close(): void {
    this.#nic.close();
  }
}

describe('bare peer', { skip: needs(), timeout: 60_000 }, () => {
  test('peerWithoutAnyOption_storesAndReads_segmentsOf536BytesAndNoOptions', async () => {
    await using serving = await Serving.start(['kv', '--ip', `${SERVER}/24`]);
    const peer = new BarePeer();
    try {
      peer.send(SYN);
      const { flags, seq, ack, options } = await peer.hear();
      assert.deepEqual([flags, ack], [SYN | ACK, (ISS + 1) | 0]);
      assert.deepEqual(options.slice(0, 2), [2, 4], 'MSS');
      assert.equal(options.length, 4, 'and nothing else: nobody offered it');
      peer.expected = (seq + 1) | 0;
      peer.send(ACK);
      const value = 'abcdefgh'.repeat(400);
      const request = Buffer.from(`set bare 0 0 ${value.length}\r\n${value}\r\n`);
      for (let at = 0; at < request.length; at += MSS) {
        peer.send(PSH | ACK, request.subarray(at, at + MSS));
      }
      assert.equal((await peer.read(8)).bytes.toString(), 'STORED\r\n');
      peer.send(PSH | ACK, Buffer.from('get bare\r\n'));
      const answer = `VALUE bare 0 ${value.length}\r\n${value}\r\nEND\r\n`;
      const { bytes, longest } = await peer.read(answer.length);
      assert.equal(bytes.toString(), answer);
      assert.equal(longest, MSS);
      peer.send(FIN | ACK);
      let last = await peer.hear();
      while ((last.flags & FIN) === 0) last = await peer.hear();
      peer.expected = (last.seq + last.payload.length + 1) | 0;
      peer.send(ACK);
    } finally {
      peer.close();
    }
    await serving.stop();
  });
});

/**
 * A scripted peer: segments by hand against one host, and its answers read back.
 *
 * - Numbers are relative: `seq` 0 is the peer's SYN, `ack` 0 ours, so the first data byte is 1 on
 *   both sides. Behind them both real sequence numbers start just below 2^32.
 * - `send` delivers one segment and runs a turn; `replies` are the segments that came out since,
 *   `expect` compares some of their fields.
 * - Built and read by code that shares nothing with src/wire.
 */
import assert from 'node:assert/strict';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import type { EcnOption } from '../../src/tcp/ecn.ts';
import { ConnectionHash, TICKS_PER_MS } from '../../src/tcp/iss.ts';
import type { Offer } from '../../src/tcp/open.ts';
import type { CongestionName } from '../../src/tcp/tcp.ts';
import type { EnvironmentChoices } from '../net/harness.ts';
import { arp, checksum, ipFrame, OUR_MAC, parseEthernet, parseIpv4 } from '../net/packets.ts';
import { type Event, Host, nameOf } from './host.ts';

/** tcpdump's letters: E is ECE, W is CWR. */
const FLAG_LETTERS = 'FSRPAUEW';
const half = (value: number): number[] => [(value >>> 8) & 255, value & 255];
const word = (value: number): number[] => [...half(value >>> 16), ...half(value)];

export interface Fields {
  seq?: number;
  ack?: number;
  window?: number;
  /** Payload, or how many bytes of the pattern stream from this sequence number on. */
  data?: Uint8Array | number;
  mss?: number;
  scale?: number;
  sack?: boolean;
  /** TSval, TSecr. */
  ts?: [number, number];
  /** SACK blocks, in the host's numbers. */
  blocks?: [number, number][];
  /** Raw option bytes, instead. */
  options?: number[];
  /** The urgent pointer; counts with U. */
  urgent?: number;
  badChecksum?: boolean;
  /** The sum of the pseudo-header, as Linux leaves it for hardware to go on with. */
  partialChecksum?: boolean;
  dataOffset?: number;
  sourcePort?: number;
  port?: number;
  source?: string;
  /** ECN bits of the IP header: 0 none, 2 ECT(0), 3 CE. */
  ecn?: number;
  /** The four bits beside the data offset; the last is AE of Accurate ECN. */
  reserved?: number;
}

export interface Segment {
  flags: string;
  seq: number;
  ack: number;
  window: number;
  length: number;
  data: Uint8Array;
  mss?: number;
  scale?: number;
  sack?: boolean;
  ts?: [number, number];
  /** SACK blocks, relative. */
  blocks?: [number, number][];
  port: number;
  reserved: number;
  /** ECN bits of the IP header. */
  ecn: number;
}

export interface PeerChoices {
  environment?: EnvironmentChoices;
  timeWaitUs?: number;
  sourcePort?: number;
  port?: number;
  /** Our host's ISS just below 2^31 instead of 2^32. */
  signed?: boolean;
  host?: Host;
  congestion?: CongestionName;
  ecn?: EcnOption;
  offer?: Offer & { holdAckUs?: number };
}

/** The number that an odd one must be multiplied by to give 1 in 32 bits. */
function inverseOf(odd: number): number {
  let inverse = odd; // right in three bits; each step doubles them
  for (let i = 0; i < 4; i++) inverse = Math.imul(inverse, 2 - Math.imul(odd, inverse));
  return inverse;
}

export class Peer {
  readonly host: Host;
  readonly sourcePort: number;
  readonly port: number;
  /** Sequence number of our SYN, as it is on the wire. */
  readonly iss: number;
  /** Theirs; known from their SYN. */
  irs = 0;
  /** Next to send, next to expect; kept by `send` and `replies`, relative. */
  seq = 0;
  ack = 0;
  window = 60_000;
  /** Timestamps go on every segment once both sides have agreed. */
  stamps = false;
  tsVal = 1000;
  tsEcr = 0;
  handle = 0;
  #isSynchronized = false;
  /**
   * Shift of the windows that the host advertises, and the furthest right edge so far; -1: not
   * looked at.
   */
  #shift = -1;
  #edge = 0;

  constructor(choices: PeerChoices = {}) {
    this.sourcePort = choices.sourcePort ?? 40_000;
    this.port = choices.port ?? 7;
    const isNew = choices.host === undefined;
    this.host =
      choices.host ??
      new Host(
        choices.environment ?? {},
        choices.timeWaitUs,
        choices.congestion,
        choices.ecn,
        choices.offer,
      );
    this.iss = (choices.signed ? 0x7fff_fff0 : 0xffff_fff0) | 0;
    if (!isNew) return;
    this.#chooseIss(choices.signed ? 0x8000_0000 : 0);
    this.host.env.nic.inject(arp());
    this.host.turn();
    this.host.env.nic.takeSent();
  }

  /** Sets the host's clock so that its ISS lies up to 250 below `wrap`. */
  #chooseIss(wrap: number): void {
    const { config, clock } = this.host.env;
    const ports = (this.sourcePort << 16) | this.port;
    const secret = new ConnectionHash(config.wireKey, this.host.stack.ip);
    secret.of(0x0a4d0001, ports, config.address);
    const hash = secret.sequence >>> 0;
    const inverse = inverseOf(TICKS_PER_MS);
    const times = Array.from({ length: 230 }, (_, i) =>
      Math.imul(wrap - 20 - i - hash, inverse),
    ).map((ms) => ms >>> 0);
    clock.ms = Math.min(...times) | 0;
  }

  /** The frame of one segment. */
  frame(flags: string, fields: Fields = {}): Uint8Array {
    const seq = fields.seq ?? this.seq;
    const data = this.#payload(fields.data, seq);
    const options = this.#options(fields, flags);
    while (options.length % 4 !== 0) options.push(1);
    const bits = [...flags].reduce((sum, letter) => sum | (1 << FLAG_LETTERS.indexOf(letter)), 0);
    const hasAck = flags.includes('A');
    const segment = [
      ...half(fields.sourcePort ?? this.sourcePort),
      ...half(fields.port ?? this.port),
      ...word((this.iss + seq) | 0),
      ...word(hasAck ? (this.irs + (fields.ack ?? this.ack)) | 0 : 0),
      ((fields.dataOffset ?? 5 + options.length / 4) << 4) | (fields.reserved ?? 0),
      bits,
      ...half(fields.window ?? this.window),
      0, 0, ...half(fields.urgent ?? 0),
      ...options,
      ...data,
    ]; // biome-ignore format: words of the header
    const pseudo = [10, 77, 0, 1, 10, 77, 0, 2, 0, 6, ...half(segment.length)];
    const whole = checksum([...pseudo, ...segment]) ^ (fields.badChecksum ? 0x5555 : 0);
    const sum = half(fields.partialChecksum ? ~checksum(pseudo) & 0xffff : whole);
    segment[16] = sum[0]!;
    segment[17] = sum[1]!;
    return ipFrame(segment, { protocol: 6, tos: fields.ecn ?? 0 });
  }

  #payload(data: Uint8Array | number | undefined, seq: number): Uint8Array {
    if (data === undefined) return new Uint8Array(0);
    if (typeof data !== 'number') return data;
    const { u8 } = this.host.env.arena;
    const from = seq - 1 + (seq === 0 ? 1 : 0);
    return Uint8Array.from({ length: data }, (_, i) => u8[this.host.at(from + i)]!);
  }

  #options(fields: Fields, flags: string): number[] {
    if (fields.options !== undefined) return [...fields.options];
    const bytes: number[] = [];
    if (fields.mss !== undefined) bytes.push(2, 4, ...half(fields.mss));
    if (fields.scale !== undefined) bytes.push(3, 3, fields.scale);
    if (fields.sack) bytes.push(4, 2);
    const ts =
      fields.ts ?? (this.stamps && !flags.includes('R') ? [this.tsVal, this.tsEcr] : undefined);
    if (ts !== undefined) bytes.push(1, 1, 8, 10, ...word(ts[0]!), ...word(ts[1]!));
    const { blocks = [] } = fields;
    if (blocks.length > 0) bytes.push(1, 1, 5, 2 + 8 * blocks.length);
    for (const edge of blocks.flat()) bytes.push(...word((this.irs + edge) | 0));
    return bytes;
  }

  /** Delivers a segment and runs a turn; `seq` moves on when it stood at the front. */
  send(flags: string, fields: Fields = {}): this {
    this.deliver(flags, fields);
    return this.turn();
  }

  /** One iteration of the host; whoever asks for our MAC address is answered. */
  turn(): this {
    const { nic } = this.host.env;
    this.host.turn();
    const isArp = (frame: Uint8Array): boolean => parseEthernet(frame).type === 0x0806;
    if (nic.sent.some(isArp)) {
      nic.sent = nic.sent.filter((frame) => !isArp(frame));
      nic.inject(arp({ operation: 2, targetMac: OUR_MAC }, { to: OUR_MAC }));
      this.host.turn();
      nic.sent = nic.sent.filter((frame) => !isArp(frame));
    }
    return this;
  }

  /** Delivers a segment; the host has not emitted or flushed after it. */
  deliver(flags: string, fields: Fields = {}): void {
    assert.ok(this.host.env.nic.inject(this.frame(flags, fields)), 'a receive frame is free');
    this.host.receive();
    const seq = fields.seq ?? this.seq;
    const data = fields.data ?? 0;
    const length = typeof data === 'number' ? data : data.length;
    const end = seq + length + (/[SF]/.test(flags) ? 1 : 0);
    if (seq === this.seq && !flags.includes('R')) this.seq = end;
  }

  /** Time passes, timers fire, one turn. */
  pass(ms: number): this {
    this.host.pass(ms);
    return this.turn();
  }

  /** What the host has sent since the last call; `ack` follows its data. */
  replies(): Segment[] {
    const segments: Segment[] = [];
    for (const frame of this.host.env.nic.takeSent()) {
      if (parseEthernet(frame).type !== 0x0800) continue;
      segments.push(this.#parse(frame));
    }
    for (const s of segments) {
      const length = s.length + (/[SF]/.test(s.flags) ? 1 : 0);
      if (s.seq === this.ack && !s.flags.includes('R')) this.ack += length;
      if (s.ts !== undefined) this.tsEcr = s.ts[0];
      this.#checkEdge(s);
    }
    return segments;
  }

  /** An advertised window never moves left (RFC 9293 3.8.6). */
  #checkEdge(s: Segment): void {
    if (this.#shift < 0 || !s.flags.includes('A') || /[SR]/.test(s.flags)) return;
    const edge = s.ack + (s.window << this.#shift);
    assert.ok(edge >= this.#edge, `the window's right edge went from ${this.#edge} to ${edge}`);
    this.#edge = edge;
  }

  #parse(frame: Uint8Array): Segment {
    const ip = parseIpv4(frame);
    assert.ok(ip.isSound, 'a sound IP header');
    const bytes = ip.payload;
    const pseudo = [10, 77, 0, 2, 10, 77, 0, 1, 0, 6, ...half(bytes.length)];
    assert.equal(checksum([...pseudo, ...bytes]), 0, 'a right TCP checksum');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const flags = [...FLAG_LETTERS].filter((_, bit) => (bytes[13]! >> bit) & 1).join('');
    if (flags.includes('S') && !this.#isSynchronized) {
      this.irs = view.getInt32(4);
      this.#isSynchronized = true;
    }
    const header = (bytes[12]! >> 4) * 4;
    const segment: Segment = {
      flags,
      seq: (view.getInt32(4) - this.irs) | 0,
      ack: flags.includes('A') ? (view.getInt32(8) - this.iss) | 0 : 0,
      window: view.getUint16(14),
      length: bytes.length - header,
      data: bytes.subarray(header),
      port: view.getUint16(2),
      reserved: bytes[12]! & 15,
      ecn: frame[15]! & 3,
    };
    this.#readOptions(view, header, segment);
    return segment;
  }

  #readOptions(view: DataView, header: number, segment: Segment): void {
    for (let at = 20; at < header; ) {
      const kind = view.getUint8(at);
      if (kind === 0) break;
      if (kind === 1) {
        at++;
        continue;
      }
      const length = view.getUint8(at + 1);
      if (kind === 2) segment.mss = view.getUint16(at + 2);
      if (kind === 3) segment.scale = view.getUint8(at + 2);
      if (kind === 4) segment.sack = true;
      if (kind === 8) segment.ts = [view.getInt32(at + 2), view.getInt32(at + 6)];
      if (kind === 5) {
        segment.blocks = [];
        for (let b = at + 2; b < at + length; b += 8) {
          const edges = [view.getInt32(b), view.getInt32(b + 4)].map((n) => (n - this.iss) | 0);
          segment.blocks.push(edges as [number, number]);
        }
      }
      at += length;
    }
  }

  /** The replies have these fields, in this order, and there are no others. */
  expect(...wanted: Partial<Segment>[]): Segment[] {
    const got = this.replies();
    const seen = got.map((segment, i) => {
      const keys = Object.keys(wanted[i] ?? { flags: 0, seq: 0, ack: 0, length: 0 });
      return Object.fromEntries(keys.map((key) => [key, segment[key as keyof Segment]]));
    });
    assert.deepEqual(seen, wanted);
    return got;
  }

  /** Names of the events since the last call. */
  events(): string[] {
    return this.host.takeEvents().map(nameOf);
  }

  /**
   * The handshake from the peer's side; the flow is accepted with cookie 55, its handle in
   * `handle`.
   */
  open(fields: Fields = { mss: 1460 }): this {
    if (this.handle === 0 && this.host.takeEvents().length === 0) {
      this.host.tcp.listen(1, 0, this.port, 16, 0);
    }
    this.send('S', fields);
    const [synAck] = this.replies();
    assert.equal(synAck?.flags, 'SA');
    this.#shift = fields.scale === undefined ? 0 : 7;
    this.stamps = fields.ts !== undefined;
    if (fields.ts !== undefined) this.tsVal = fields.ts[0];
    this.send('A');
    const knock = this.host.takeEvents().find(({ kind }) => kind === EVENT.knock);
    assert.ok(knock, 'the listener knocks');
    this.handle = knock.handle;
    assert.equal(this.host.tcp.accept(this.handle, 55), CODE.OK);
    this.host.turn();
    this.expect();
    return this;
  }

  /** The host connects to the peer and both are established. */
  opened(fields: Fields = { mss: 1460 }): this {
    this.handle = this.host.tcp.connect(55, 0x0a4d0001, (this.port << 16) | this.sourcePort);
    assert.ok(this.handle > 0, `connect: ${this.handle}`);
    this.host.turn();
    const [syn] = this.replies();
    assert.equal(syn?.flags, 'S');
    this.send('SA', fields);
    this.#shift = fields.scale === undefined ? 0 : 7;
    this.stamps = fields.ts !== undefined;
    this.expect({ flags: 'A', seq: 1, ack: 1 });
    assert.deepEqual(this.events(), ['connected']);
    return this;
  }

  /** The host's application sends stream bytes [from, from + length) and a turn passes. */
  write(from: number, length: number): this {
    assert.equal(this.host.tcp.send(this.handle, this.host.at(from), length), length);
    this.host.turn();
    return this;
  }

  get state(): string {
    return this.host.stateOf(this.handle);
  }

  /** Events of one kind since the last call, others are dropped. */
  eventsOf(kind: number): Event[] {
    return this.host.takeEvents().filter((event) => event.kind === kind);
  }

  /** The pools are full again. */
  close(): void {
    this.host.close();
  }
}

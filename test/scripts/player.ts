/**
 * Plays a scenario of a packet script against a host under virtual time.
 *
 * - Time moves from timer to timer, so that what leaves is seen when it leaves. A line of the
 *   peer's or a question that finds a segment that the script has not asked for fails.
 * - Every scenario ends with every pool full.
 *
 * Used by scripts.test.ts and run.ts. Read first: script.ts.
 */
import type { CounterName } from '../../src/counters.ts';
import { CODE, DEAD, EVENT } from '../../src/gate/abi.ts';
import type { EcnOption } from '../../src/tcp/ecn.ts';
import { RARE, STATE, TCB } from '../../src/tcp/tcb.ts';
import type { CongestionName } from '../../src/tcp/tcp.ts';
import { passTime } from '../net/harness.ts';
import { icmp, ipFrame } from '../net/packets.ts';
import { type Event, nameOf, PATTERN_BYTES } from '../tcp/host.ts';
import { type Fields, Peer, type Segment } from '../tcp/peer.ts';
import { type Line, type Scenario, ScriptError, type ScriptSegment } from './script.ts';

/** How late a segment may be: a part of its time, and so many milliseconds. */
const LATE_SHARE = 0.02;
const LATE_MS = 1;
const HOST_PORT = 7;

interface Sent {
  readonly at: number;
  readonly segment: Segment;
  readonly peer: Peer;
}

const nameIn = (table: Readonly<Record<string, number>>, value: number): string =>
  Object.entries(table).find(([, number]) => number === value)?.[0] ?? `${value}`;

function describe({ segment: s, at }: Sent): string {
  const options = [
    s.mss === undefined ? '' : `mss ${s.mss}`,
    s.scale === undefined ? '' : `scale ${s.scale}`,
    s.sack ? 'sack' : '',
    s.ts === undefined ? '' : `ts ${s.ts[1]}`,
    s.blocks === undefined ? '' : `sack ${s.blocks.map((block) => block.join(':')).join(' ')}`,
  ].filter((text) => text !== '');
  const range = s.length > 0 ? `${s.seq}:${s.seq + s.length}` : `${s.seq}`;
  const header = `${s.flags || '-'} ${range} ack ${s.ack} win ${s.window} ecn ${s.ecn}`;
  return `${at.toFixed(1)} ms > ${header} <${options.join(', ')}>`;
}

export class Player {
  readonly #scenario: Scenario;
  readonly #peers = new Map<number, Peer>();
  #peer: Peer;
  /** Milliseconds since the beginning, and of the last line. */
  #now = 0;
  #mark = 0;
  #sent: Sent[] = [];
  /** Frames that have left since the peer last spoke. */
  #frames: Uint8Array[] = [];
  #events: Event[] = [];
  #written = 0;

  constructor(scenario: Scenario) {
    const { choices } = scenario;
    this.#scenario = scenario;
    this.#peer = new Peer({
      environment: {
        mtu: Number(choices['mtu'] ?? 1500),
        limits: { flows: Number(choices['flows'] ?? 64), transmitFrames: 1024 },
      },
      sourcePort: 40_001,
      port: HOST_PORT,
      congestion: (choices['congestion'] ?? 'cubic') as CongestionName,
      ...(choices['ecn'] ? { ecn: choices['ecn'] as EcnOption } : {}),
      ...(choices['keepalive'] ? { offer: { keepaliveMs: Number(choices['keepalive']) } } : {}),
      ...(choices['timeWait'] ? { timeWaitUs: Number(choices['timeWait']) * 1000 } : {}),
    });
    this.#peers.set(1, this.#peer);
  }

  /** Throws a ScriptError at the first line that does not come true. */
  play(): void {
    for (const line of this.#scenario.lines) {
      try {
        this.#line(line);
      } catch (error) {
        if (error instanceof ScriptError) throw error;
        throw new ScriptError(
          line,
          error instanceof Error ? (error.stack ?? error.message) : `${error}`,
        );
      }
    }
    this.#peer.host.close();
  }

  #line(line: Line): void {
    if (line.verb === '>') return this.#expect(line);
    this.#advance(this.#mark + line.wait[0]);
    this.#mark = this.#now;
    if (line.verb === 'sink') return this.#sink(line);
    if (line.verb === 'skip') {
      this.#sent = [];
      return;
    }
    this.#nothingElse(line);
    if (line.verb === '<' && line.segment) {
      for (const segment of pieces(line.segment)) this.#deliver(segment);
    } else if (line.verb === '<') this.#icmp(line);
    else if (line.verb === 'open') this.#open(line);
    else if (line.verb === 'quiet') {
      this.#advance(this.#mark + Number(line.words[0]));
      this.#mark = this.#now;
      this.#nothingElse(line);
    } else if (line.verb === 'peer') this.#switch(Number(line.words[0]));
    else if (this.#call(line)) this.#turn();
    else this.#ask(line);
  }

  // --- time ---

  #turn(): void {
    const { host } = this.#peer;
    this.#peer.turn();
    this.#events.push(...host.takeEvents());
    const { nic } = host.env;
    for (const frame of nic.takeSent()) {
      this.#frames.push(frame);
      const port = (frame[36]! << 8) | frame[37]!;
      const peer = [...this.#peers.values()].find((one) => one.sourcePort === port);
      if (!peer || frame[23] !== 6) continue;
      nic.sent = [frame];
      for (const segment of peer.replies()) this.#sent.push({ at: this.#now, segment, peer });
    }
  }

  /** To `target` ms; with `untilSent` only until something leaves. */
  #advance(target: number, untilSent = false): void {
    const { env } = this.#peer.host;
    while (this.#now < target - 1e-6 && !(untilSent && this.#sent.length > 0)) {
      const left = Math.round((target - this.#now) * 1000);
      const timer = Math.max(16, env.wheel.untilNext(env.clock.us, 1_000_000));
      const step = Math.max(1, Math.min(left, timer));
      this.#now += step / 1000;
      passTime(env, step);
      this.#turn();
      for (let i = 0; i < 100 && this.#peer.host.tcp.hasOutput(); i++) this.#turn();
    }
  }

  #nothingElse(line: Line): void {
    if (this.#sent.length === 0) return;
    throw new ScriptError(
      line,
      `before this line there was\n${this.#sent.map((s) => `    ${describe(s)}`).join('\n')}`,
    );
  }

  // --- segments ---

  #switch(number: number): void {
    const { host } = this.#peer;
    const peer =
      this.#peers.get(number) ?? new Peer({ host, sourcePort: 40_000 + number, port: HOST_PORT });
    this.#peers.set(number, peer);
    this.#peer = peer;
  }

  #deliver(s: ScriptSegment): void {
    const p = this.#peer;
    if (s.window !== undefined) p.window = s.window;
    const fields: Fields = { seq: s.seq, ...(s.options ?? {}) } as Fields;
    if (s.ack !== undefined) fields.ack = s.ack;
    if (s.ecn !== undefined) fields.ecn = s.ecn;
    if (s.isBad) fields.badChecksum = true;
    if (s.length > 0) fields.data = this.#payload(s);
    if (s.options && Object.keys(s.options).length === 0) fields.options = [];
    if (s.options?.ts) {
      const [value = 0, echo = p.tsEcr] = s.options.ts;
      p.stamps = true;
      fields.ts = [value, echo < 0 ? p.tsEcr + echo : echo];
      p.tsVal = value;
    }
    this.#frames = [];
    p.deliver(s.flags, fields);
    this.#turn();
  }

  /** A handshake as it should be: the round trip is the first word. */
  #open(line: Line): void {
    const p = this.#peer;
    p.host.tcp.listen(1, 0, HOST_PORT, 64, 0);
    this.#deliver(line.segment!);
    if (this.#sent.shift()?.segment.flags !== 'SA') throw new ScriptError(line, 'no SYN-ACK');
    this.#advance(this.#now + Number(line.words[0]));
    this.#mark = this.#now;
    this.#frames = [];
    p.deliver('A');
    this.#turn();
    this.#call({ ...line, verb: 'accept', words: [] });
    this.#turn();
    this.#nothingElse(line);
  }

  /** The stream is the host's own pattern. */
  #payload({ seq, length }: ScriptSegment): Uint8Array {
    const { u8 } = this.#peer.host.env.arena;
    const position = (i: number): number =>
      (((seq - 1 + i) % PATTERN_BYTES) + PATTERN_BYTES) % PATTERN_BYTES;
    return Uint8Array.from({ length }, (_, i) => u8[this.#peer.host.at(position(i))]!);
  }

  #icmp(line: Line): void {
    const [, type, code, mtu] = line.words;
    const frame = line.words.includes('last') ? this.#frames.at(-1) : this.#frames[0];
    if (!frame) throw new ScriptError(line, 'nothing has left since the peer last spoke');
    const rest = Number(mtu ?? 0) || 0;
    const quote = Array.from(frame.subarray(14, 42));
    this.#peer.host.env.nic.inject(
      ipFrame(icmp(Number(type), Number(code), rest, quote), { protocol: 1 }),
    );
    this.#frames = [];
    this.#turn();
  }

  #expect(line: Line): void {
    const [first, ...others] = pieces(line.segment!);
    this.#expectOne(line, first!);
    for (const segment of others) this.#expectOne({ ...line, wait: [0, 0] }, segment);
  }

  #expectOne(line: Line, segment: ScriptSegment): void {
    const from = this.#mark + line.wait[0];
    const to = this.#mark + line.wait[1];
    const late = LATE_MS + line.wait[1] * LATE_SHARE;
    this.#advance(to + late, true);
    const sent = this.#sent.shift();
    if (!sent) throw new ScriptError(line, `nothing came until ${this.#now.toFixed(1)} ms`);
    if (sent.at < from - 0.1 || sent.at > to + late) {
      throw new ScriptError(line, `wanted at ${from}..${to} ms, there was\n    ${describe(sent)}`);
    }
    const wrong = this.#differs(segment, sent);
    if (wrong !== '') throw new ScriptError(line, `${wrong} differs:\n    ${describe(sent)}`);
    this.#mark = sent.at;
  }

  #differs(wanted: ScriptSegment, { segment: s, peer }: Sent): string {
    if (peer !== this.#peer) return 'the peer';
    if (s.flags !== [...'FSRPAUEW'].filter((f) => wanted.flags.includes(f)).join(''))
      return 'flags';
    if (s.seq !== wanted.seq) return 'the sequence number';
    if (s.length !== wanted.length) return 'the length';
    if (wanted.ack !== undefined && s.ack !== wanted.ack) return 'ack';
    if (wanted.window !== undefined && s.window !== wanted.window) return 'the window';
    if (wanted.ecn !== undefined && s.ecn !== wanted.ecn) return 'ecn';
    if (!this.#isStream(s)) return 'the payload';
    const { options } = wanted;
    if (!options) return '';
    if (s.mss !== options.mss) return 'mss';
    if (s.scale !== options.scale) return 'scale';
    if ((s.sack ?? false) !== (options.sack ?? false)) return 'sack';
    if ((s.ts === undefined) !== (options.ts === undefined)) return 'ts';
    if (options.ts && options.ts.length > 0 && s.ts![1] !== options.ts.at(-1)) return 'the echo';
    if (JSON.stringify(s.blocks) !== JSON.stringify(options.blocks)) return 'the blocks';
    return '';
  }

  #isStream(s: Segment): boolean {
    const { host } = this.#peer;
    return s.data.every((byte, i) => byte === host.env.arena.u8[host.at(s.seq - 1 + i)]);
  }

  // --- the application ---

  /** False: the line is no call. */
  #call(line: Line): boolean {
    const p = this.#peer;
    const { tcp } = p.host;
    const [a, b] = line.words;
    const n = Number(a ?? 0);
    const must = (code: number, least: number = CODE.OK): true => {
      if (code < least) throw new ScriptError(line, `was answered ${nameIn(CODE, code)}`);
      return true;
    };
    switch (line.verb) {
      case 'listen':
        return must(tcp.listen(1, 0, HOST_PORT, a === 'backlog' ? Number(b) : 64, 0));
      case 'connect':
        p.handle = tcp.connect(55, 0x0a4d0001, (HOST_PORT << 16) | p.sourcePort);
        return must(p.handle, 1);
      case 'accept': {
        const index = this.#events.findIndex(({ kind }) => kind === EVENT.knock);
        if (index < 0) throw new ScriptError(line, 'nobody has knocked');
        p.handle = this.#events.splice(index, 1)[0]!.handle;
        return must(tcp.accept(p.handle, 55));
      }
      case 'reject':
        return must(tcp.reject(this.#events.find(({ kind }) => kind === EVENT.knock)!.handle));
      case 'write':
        for (let left = n; left > 0; ) {
          const bytes = Math.min(left, 50_000);
          must(tcp.send(p.handle, p.host.at(this.#written), bytes), bytes);
          this.#written += bytes;
          left -= bytes;
        }
        return true;
      case 'read':
        return must(tcp.recvDone(p.handle, n));
      case 'close':
        return must(tcp.close(p.handle));
      case 'shutdown':
        return must(tcp.shutdown(p.handle));
      case 'abort':
        return must(tcp.abort(p.handle));
      case 'keepalive':
        return must(tcp.keepalive(p.handle, n, Number(b ?? 0), Number(line.words[2] ?? 0)));
      case 'userTimeout':
        return must(tcp.userTimeout(p.handle, n));
      default:
        return false;
    }
  }

  /**
   * An application that always writes, a peer that acknowledges each segment a round trip later.
   */
  #sink(line: Line): void {
    const p = this.#peer;
    const { tcp } = p.host;
    const word = (name: string): number => Number(line.words[line.words.indexOf(name) + 1] ?? 0);
    const isMarked = line.words.includes('mark');
    const growth = line.words.includes('more') ? word('more') : 0;
    let rtt = word('rtt');
    const end = this.#now + Number(line.words[0]);
    const acks: { at: number; ack: number }[] = [];
    let roundEnd = 0;
    let acked = 0;
    for (;;) {
      while (this.#now < end && this.#written + 1 - p.ack < 200_000) {
        const taken = tcp.send(p.handle, p.host.at(this.#written), 50_000);
        if (taken <= 0) break;
        this.#written += taken;
        this.#turn();
      }
      for (const { at, segment: s } of this.#sent.splice(0)) {
        if (s.length > 0) acks.push({ at: at + rtt, ack: s.seq + s.length });
      }
      acks.sort((x, y) => x.at - y.at);
      const next = acks.shift();
      if (!next) break;
      if (next.ack > roundEnd) {
        roundEnd = p.ack;
        rtt += growth;
      }
      this.#advance(next.at);
      p.deliver(isMarked ? 'AE' : 'A', { ack: Math.max(next.ack, acked) });
      acked = Math.max(next.ack, acked);
      this.#turn();
    }
    this.#mark = this.#now;
    this.#events = [];
  }

  // --- questions ---

  #ask(line: Line): void {
    const p = this.#peer;
    const [name = '', wanted = ''] = line.words;
    const is = (got: string | number, text = wanted): void => {
      if (!holds(got, text)) throw new ScriptError(line, `it is ${got}`);
    };
    switch (line.verb) {
      case 'state':
        return is(this.#stateOf(p), name);
      case 'field':
        return is(this.#fieldOf(p, name));
      case 'count':
        return is(p.host.count(name as CounterName));
      case 'events': {
        const names = this.#events.map(nameOf).join(' ');
        this.#events = [];
        return is(names, line.words.join(' '));
      }
      case 'dead': {
        const event = this.#events.find(({ kind }) => kind === EVENT.dead);
        if (!event) throw new ScriptError(line, 'it lives');
        this.#events.splice(this.#events.indexOf(event), 1);
        return is(nameIn(DEAD, event.words[0]!), name);
      }
      case 'gone':
        return is(this.#stateOf(p), 'closed');
      default:
        throw new ScriptError(line, `unknown word ${line.verb}`);
    }
  }

  #row(p: Peer): number {
    return p.host.tcp.flows.table.find(0x0a4d0001, (p.sourcePort << 16) | p.port, p.host.address);
  }

  #stateOf(p: Peer): string {
    const row = this.#row(p);
    return row < 0 ? 'closed' : nameIn(STATE, p.host.env.arena.i32[row + TCB.state]!);
  }

  #fieldOf(p: Peer, name: string): number {
    const word = { ...TCB, ...RARE }[name as keyof typeof TCB];
    if (word === undefined) throw new Error(`there is no field ${name}`);
    return p.host.env.arena.i32[this.#row(p) + word]!;
  }
}

/** `A 1:3001 each 1000` is three segments. */
function pieces(s: ScriptSegment): ScriptSegment[] {
  if (s.each === undefined) return [s];
  return Array.from({ length: Math.ceil(s.length / s.each) }, (_, i) => {
    const seq = s.seq + i * s.each!;
    return { ...s, seq, length: Math.min(s.each!, s.seq + s.length - seq) };
  });
}

/** Whether a value is what a question wants: itself, N..M, <N, >N. */
function holds(got: string | number, wanted: string): boolean {
  const span = /^(-?\d+)\.\.(-?\d+)$/.exec(wanted);
  if (span) return Number(got) >= Number(span[1]) && Number(got) <= Number(span[2]);
  if (/^[<>]/.test(wanted)) {
    const bound = Number(wanted.slice(1));
    return wanted.startsWith('<') ? Number(got) < bound : Number(got) > bound;
  }
  return `${got}` === wanted;
}

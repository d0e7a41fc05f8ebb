/**
 * The same conversation with our stack and with Linux's: steps of a peer and of the application,
 * what comes back compared.
 *
 * - A sequence is a handshake with some options and STEPS steps drawn from a seed. Each step
 *   delivers one segment, or lets the application write or close; then STEP_MS pass, longer than
 *   either stack delays an acknowledgement, and what was sent is taken. Our stack runs in virtual
 *   time, Linux behind a TAP in real time, all its sequences side by side.
 * - Compared: every segment with SYN, FIN, RST or data (flags but PSH, numbers, length, options),
 *   and where the last acknowledgement stands (number, SACK blocks, a window that is open). How
 *   many pure acknowledgements say so is each stack's choice (docs/conformance.md).
 * - How often the same is said is compared one way only: ours, in virtual time, must not say it
 *   more often than Linux. On a busy machine our answers to Linux come late, and it says again what
 *   it has said.
 *
 * Used by differential.live.test.ts.
 */
import { EVENT } from '../../src/gate/abi.ts';
import { Random } from '../net/random.ts';
import type { Host } from './host.ts';
import { type Fields, Peer, type Segment } from './peer.ts';

export const PORT = 7;
export const STEP_MS = 90;
const STEPS = 6;
const WRITE_BYTES = 500;
/** Outside of every window. */
const FAR = 50_000_000;
/** A FIN that Linux holds back is a block of one number; ours holds data only. */
const isFinBlock = ([start, end]: [number, number]): boolean => end - start === 1;

/** The application's side of one connection. */
export interface Side {
  peer: Peer;
  write(bytes: number): Promise<void> | void;
  close(): Promise<void> | void;
  pass(): Promise<void> | void;
}

interface Step {
  name: string;
  /** It carries a FIN, or data. */
  hasFin?: boolean;
  hasData?: boolean;
  run(side: Side): Promise<void> | void;
}

const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(0x41);
const deliver = (name: string, flags: string, fields: (p: Peer) => Fields): Step => ({
  name,
  hasFin: flags.includes('F'),
  hasData: name.includes('data'),
  run: ({ peer }) => peer.deliver(flags, fields(peer)),
});
const data =
  (length: number, at: number) =>
  (p: Peer): Fields => ({
    seq: p.seq + at,
    data: bytes(length),
  });

export const VOCABULARY: readonly Step[] = [
  deliver('data', 'A', data(300, 0)),
  deliver('data with PSH', 'PA', data(1000, 0)),
  deliver('data behind a hole', 'A', data(200, 400)),
  deliver('data behind a larger hole', 'A', data(200, 1400)),
  deliver('old data again', 'A', data(100, -100)),
  deliver('old and new data', 'A', data(300, -100)),
  deliver('data outside the window', 'A', data(100, FAR)),
  deliver('data without ACK', 'P', data(100, 1)),
  deliver('bad checksum', 'A', (p) => ({ ...data(100, 0)(p), seq: p.seq + 1, badChecksum: true })),
  deliver('acknowledgement', 'A', () => ({})),
  deliver('acknowledgement of the future', 'A', (p) => ({ ack: p.ack + 5000 })),
  deliver('data with an acknowledgement of the future', 'A', (p) => ({
    ...data(100, 0)(p),
    seq: p.seq + 2,
    ack: p.ack + 5000,
  })),
  deliver('far too old acknowledgement', 'A', (p) => ({ ack: p.ack - FAR })),
  deliver('keepalive', 'A', (p) => ({ seq: p.seq - 1 })),
  deliver('SYN in the window', 'S', (p) => ({ seq: p.seq + 10 })),
  deliver('SYN-ACK in the window', 'SA', (p) => ({ seq: p.seq + 10 })),
  deliver('RST in the window', 'R', (p) => ({ seq: p.seq + 10 })),
  deliver('RST outside the window', 'R', (p) => ({ seq: p.seq + FAR })),
  deliver('old timestamp', 'A', (p) =>
    p.stamps ? { ...data(100, 0)(p), seq: p.seq + 3, ts: [p.tsVal - 5000, p.tsEcr] } : {},
  ),
  deliver('FIN behind a hole', 'FA', (p) => ({ seq: p.seq + 5000 })),
  deliver('no flags', '', (p) => ({ seq: p.seq + 1 })),
  { name: 'write', run: ({ write }) => write(WRITE_BYTES) },
  { name: 'write again', run: ({ write }) => write(WRITE_BYTES) },
];
/** What ends a connection or a direction comes late in a sequence. */
export const ENDINGS: readonly Step[] = [
  deliver('FIN', 'FA', () => ({})),
  deliver('data and FIN', 'FPA', data(100, 0)),
  deliver('RST', 'R', () => ({})),
  deliver('RST with ACK', 'RA', () => ({})),
  { name: 'close', run: ({ close }) => close() },
];

export interface Handshake {
  name: string;
  fields: Fields;
}

export const HANDSHAKES: readonly Handshake[] = [
  { name: 'no options', fields: {} },
  { name: 'MSS', fields: { mss: 1000 } },
  { name: 'MSS, SACK', fields: { mss: 1460, sack: true } },
  { name: 'MSS, scale', fields: { mss: 1460, scale: 5 } },
  { name: 'all', fields: { mss: 1460, sack: true, scale: 7, ts: [1000, 0] } },
  { name: 'timestamps', fields: { mss: 1460, ts: [1000, 0] } },
];

export interface Sequence {
  seed: number;
  handshake: Handshake;
  steps: Step[];
}

export function makeSequence(seed: number): Sequence {
  const random = new Random(seed);
  const steps = Array.from({ length: STEPS }, () => random.pick(VOCABULARY));
  steps.push(random.pick(ENDINGS), random.pick(VOCABULARY), random.pick(ENDINGS));
  return { seed, handshake: HANDSHAKES[seed % HANDSHAKES.length]!, steps };
}

/** What a step brought, in words: the same words are the same behaviour. */
function describe(peer: Peer, replies: readonly Segment[]): string[] {
  const said = replies.flatMap((s) => {
    const { seq, ack, length } = s;
    const flags = s.flags.replace('P', '');
    if (!/[SFR]/.test(flags) && length === 0) return [];
    const negotiated = flags.includes('S')
      ? ` mss ${s.mss} scale ${s.scale !== undefined} sack ${s.sack === true}`
      : '';
    const options = `${negotiated} ts ${s.ts !== undefined}`;
    const number = flags.includes('S') ? '' : ` ${seq}`; // another connection's, perhaps
    return [`${flags}${number} ack ${ack} length ${length}${flags.includes('R') ? '' : options}`];
  });
  const last = replies.findLast(({ flags }) => flags.includes('A') && !flags.includes('R'));
  if (last) {
    // Linux names them with its own data too; ours only on pure acknowledgements
    const isPure = last.length === 0 && !/[SF]/.test(last.flags);
    const named = isPure ? (last.blocks?.filter((block) => !isFinBlock(block)) ?? []) : [];
    const blocks = named.map((block) => block.join('-')).join(' ') || 'none';
    peer.seq = Math.max(peer.seq, last.ack); // what was held back counts
    said.push(`acknowledges ${last.ack}, blocks ${blocks}, window ${last.window > 0}`);
  }
  // so that nobody has to send anything again; both are at the same place if all before was alike
  if (replies.some(({ length, flags }) => length > 0 || flags.includes('F'))) peer.deliver('A');
  return said;
}

/** Whether the same was said, and by us not more often than by Linux. */
export function areAlike(ours: readonly string[], linux: readonly string[]): boolean {
  const count = (words: readonly string[], word: string): number =>
    words.filter((other) => other === word).length;
  const isOften = ours.some((word) => count(ours, word) > count(linux, word));
  return !isOften && [...new Set(ours)].join('; ') === [...new Set(linux)].join('; ');
}

/**
 * Without the blocks that are documented to differ: from the first FIN on (Linux counts it among
 * them), and where data in order may cover what is held (Linux names that as a duplicate).
 */
export function withoutOwnBlocks({ steps }: Sequence, heard: readonly string[][]): string[][] {
  const offset = heard.length - steps.length;
  let hasFin = false;
  let mayHold = false;
  return heard.map((words, i) => {
    const step = steps[i - offset];
    if (step?.hasFin) hasFin = true;
    const isHole = step?.name.includes('hole') === true;
    const mayCover = mayHold && step?.hasData === true && !isHole;
    if (isHole) mayHold = true;
    if (!hasFin && !mayCover) return [...words];
    return words.map((word) => word.replace(/blocks [^,]*/, ''));
  });
}

/**
 * Where the rest of a sequence is no longer comparable, or -1: the documented differences
 * (docs/conformance.md), and a new connection after a RST.
 */
export function incomparableFrom({ steps }: Sequence, heard: readonly string[][]): number {
  const offset = heard.length - steps.length;
  let mayHold = false;
  let hasFin = false;
  for (const [i, step] of steps.entries()) {
    if (heard[offset + i]!.some((word) => word.startsWith('SA'))) return offset + i + 1;
    if (hasFin && step.hasData) return offset + i;
    if (mayHold && step.hasFin && !step.name.includes('hole')) return offset + i;
    if (step.name.includes('hole')) mayHold = true;
    if (step.hasFin && !step.name.includes('hole')) hasFin = true;
  }
  return -1;
}

/** Plays a sequence: one list of words for the handshake and each step. */
export async function play(side: Side, { handshake, steps }: Sequence): Promise<string[][]> {
  const { peer } = side;
  const heard: string[][] = [];
  const take = async (): Promise<void> => {
    await side.pass();
    heard.push(describe(peer, peer.replies()));
  };
  peer.deliver('S', handshake.fields);
  await take();
  peer.stamps = handshake.fields.ts !== undefined;
  peer.deliver('A');
  await take();
  for (const step of steps) {
    peer.tsVal += STEP_MS;
    await step.run(side);
    await take();
  }
  return heard;
}

/** Our stack, in virtual time. */
export function ourSide(): Side & { end(): void } {
  const peer = new Peer({ port: PORT });
  const { host } = peer;
  const { tcp } = host;
  tcp.listen(1, 0, PORT, 16, 0);
  let handle = 0;
  let isDead = false;
  host.onEvent = (event) => {
    if (event.kind === EVENT.knock) {
      handle = event.handle;
      tcp.accept(handle, 55);
    } else if (event.kind === EVENT.recv) tcp.recvDone(event.handle, event.words[1]!);
    else if (event.kind === EVENT.dead) isDead = true;
  };
  const live = (action: () => void): void => {
    if (handle !== 0 && !isDead) action();
  };
  return {
    peer,
    write: (length) => live(() => void tcp.send(handle, host.at(0), length)),
    close: () => live(() => void tcp.shutdown(handle)),
    pass: () => {
      for (let ms = 0; ms < STEP_MS; ms++) peer.pass(1);
    },
    end: () => host.close(),
  };
}

/** A peer whose host is somebody else: frames go to `send`, and come by `sent`. */
export function foreignPeer(
  sourcePort: number,
  send: (frame: Uint8Array) => void,
): { peer: Peer; sent: Uint8Array[] } {
  const sent: Uint8Array[] = [];
  const host = {
    env: {
      nic: {
        inject: (frame: Uint8Array) => {
          send(frame);
          return true;
        },
        takeSent: () => sent.splice(0),
      },
    },
    receive: () => 0,
  };
  return { peer: new Peer({ host: host as unknown as Host, sourcePort, port: PORT }), sent };
}

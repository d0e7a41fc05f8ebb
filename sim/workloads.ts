/**
 * Kinds of flows: for each, how its two ends behave. Sizes and times are drawn from the seed.
 *
 * - `any` in the result says that the flow may end in other ways than a close on both sides.
 *
 * Called by scenario.ts.
 */
import { type EndPlan, type FlowPlan, reader } from './plan.ts';
import type { Random } from './random.ts';

export interface Drawn {
  client: EndPlan;
  server: EndPlan;
  flow?: Partial<FlowPlan>;
}

type Draw = (random: Random, bytes: number) => Drawn;

const SECOND = 1_000_000;

function sender(random: Random, total: number): EndPlan {
  return {
    ...reader(),
    total,
    initial: total,
    chunk: random.magnitude(1, 60_000) + Math.floor(total / 400),
    ringBytes: random.chance(0.4) ? random.magnitude(2048, 65_536) : 0,
    sendsEarly: random.chance(0.3),
    close: 'sent',
  };
}

const bulk: Draw = (random, bytes) => ({ client: sender(random, bytes), server: reader() });

const download: Draw = (random, bytes) => ({
  client: { ...reader(), total: 1, initial: 1, close: 'done' },
  server: {
    ...sender(random, bytes),
    initial: 0,
    outUnit: bytes,
    close: random.pick(['done', 'ended']),
  },
});

const both: Draw = (random, bytes) => ({
  client: { ...sender(random, bytes), close: 'done' },
  server: { ...sender(random, random.magnitude(1, bytes)), close: random.pick(['done', 'ended']) },
});

const echo: Draw = (random, bytes) => {
  const client = { ...sender(random, bytes), close: 'done' as const };
  const server = { ...sender(random, bytes), initial: 0, outUnit: 1, close: 'ended' as const };
  return { client, server };
};

const requests: Draw = (random, bytes) => {
  const request = random.magnitude(1, 2000);
  const response = random.magnitude(1, 20_000);
  const count = Math.max(1, Math.min(200, Math.floor(bytes / (request + response))));
  const depth = random.pick([1, 1, 2, 8]);
  const client: EndPlan = {
    ...sender(random, request * count),
    initial: Math.min(depth, count) * request,
    inUnit: response,
    outUnit: request,
    close: 'done',
  };
  const server: EndPlan = {
    ...sender(random, response * count),
    initial: 0,
    inUnit: request,
    outUnit: response,
    close: 'ended',
  };
  return { client, server };
};

const halfClose: Draw = (random, bytes) => ({
  client: { ...sender(random, random.magnitude(1, bytes)), shutsDown: true, close: 'ended' },
  server: { ...sender(random, bytes), close: 'done' },
});

const slowReader: Draw = (random, bytes) => {
  const total = Math.min(bytes, 400_000);
  const reads = random.between(3, 40);
  const readChunk = Math.ceil(total / reads);
  // An orphan's patience is 60 s.
  const readGapUs = random.magnitude(1000, (40 * SECOND) / (reads + total / 500));
  return { client: sender(random, total), server: { ...reader(), readChunk, readGapUs } };
};

const zeroWindow: Draw = (random, bytes) => ({
  client: sender(random, bytes + 100_000),
  server: {
    ...reader(),
    pauseAt: random.between(0, bytes),
    pauseUs: random.magnitude(10_000, 30 * SECOND),
  },
});

const longPause: Draw = (random, bytes) => {
  const pauseUs = random.magnitude(60 * SECOND, 900 * SECOND);
  const total = bytes + 100_000;
  // it closes long after the last byte: an orphan's patience is 60 s
  const client = {
    ...sender(random, total),
    close: 'done' as const,
    closeGapUs: 2 * pauseUs + 200 * SECOND,
  };
  return { client, server: { ...reader(), pauseAt: random.between(0, bytes), pauseUs } };
};

const stopsReading: Draw = (random, bytes) => ({
  client: { ...sender(random, bytes + 100_000), close: 'done' },
  server: { ...reader(), pauseAt: random.between(0, bytes), pauseUs: Number.POSITIVE_INFINITY },
  flow: { isClean: false },
});

const abort: Draw = (random, bytes) => {
  const { client, server } = both(random, bytes);
  const end = random.pick([client, server]);
  end.abortAt = random.between(0, end.total);
  return { client, server, flow: { isClean: false } };
};

const rudeClose: Draw = (random, bytes) => ({
  client: { ...sender(random, random.magnitude(1, bytes)), close: 'sent' },
  server: { ...sender(random, bytes), close: 'ended' },
  flow: { isClean: false },
});

const idle: Draw = (random, bytes) => {
  const total = Math.min(bytes, 4000);
  const gapUs = random.magnitude(SECOND, 1800 * SECOND);
  const client: EndPlan = { ...sender(random, total), chunk: total, gapUs, close: 'done' };
  client.chunk = Math.max(1, Math.ceil(total / 2));
  client.ringBytes = 0;
  client.closeGapUs = gapUs;
  if (random.chance(0.5)) client.keepaliveMs = random.between(1000, 600_000);
  const server = { ...reader(), keepaliveMs: random.chance(0.3) ? 60_000 : 0 };
  return { client, server };
};

const acceptsLate: Draw = (random, bytes) => ({
  ...both(random, bytes),
  flow: { acceptUs: random.magnitude(100, 5 * SECOND) },
});

const rejected: Draw = (random, bytes) => ({
  ...bulk(random, bytes),
  flow: { rejects: true, isClean: false },
});

const refused: Draw = (random, bytes) => ({
  ...bulk(random, bytes),
  flow: { serverPort: 9, isClean: false },
});

const simultaneous: Draw = (random, bytes) => ({
  ...both(random, bytes),
  flow: { isSimultaneous: true, isClean: false },
});

const empty: Draw = (random) => ({
  client: { ...reader(), close: 'sent', closeGapUs: random.pick([0, 0, 1000, SECOND]) },
  server: reader(),
});

export interface Workload {
  readonly name: string;
  readonly weight: number;
  readonly draw: Draw;
  /** Needs calls that libix does not offer, at the client's or the server's end. */
  readonly raw?: 'client' | 'server' | 'both';
}

export const WORKLOADS: readonly Workload[] = [
  { name: 'bulk', weight: 6, draw: bulk },
  { name: 'download', weight: 4, draw: download },
  { name: 'both ways', weight: 6, draw: both },
  { name: 'echo', weight: 5, draw: echo },
  { name: 'requests', weight: 6, draw: requests },
  { name: 'half-close', weight: 3, draw: halfClose },
  { name: 'slow reader', weight: 4, draw: slowReader },
  { name: 'zero window', weight: 4, draw: zeroWindow },
  { name: 'long pause', weight: 1, draw: longPause },
  { name: 'stops reading', weight: 1, draw: stopsReading },
  { name: 'abort', weight: 3, draw: abort, raw: 'both' },
  { name: 'rude close', weight: 2, draw: rudeClose },
  { name: 'idle', weight: 1, draw: idle },
  { name: 'accepts late', weight: 2, draw: acceptsLate, raw: 'server' },
  { name: 'rejected', weight: 1, draw: rejected, raw: 'server' },
  { name: 'refused', weight: 1, draw: refused, raw: 'both' },
  { name: 'simultaneous open', weight: 1, draw: simultaneous, raw: 'both' },
  { name: 'empty', weight: 2, draw: empty },
];

/**
 * Sends raw frames through the AF_XDP driver, keeps WINDOW of them in flight, counts those that
 * come back.
 *
 * - Frames that do not come back within 100 ms of silence count as lost and are sent again.
 *
 * Usage: node bench/peers/frame-generator.ts IFNAME WINDOW SECONDS [--bytes N] [--cpu N]
 * [--generic] [--lend FRAMES]
 * Prints one JSON object: { frames, seconds, rate, lost, rttNs }; rttNs (median) only with WINDOW
 * 1.
 */
import { parseArgs } from 'node:util';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { Counters } from '../../src/counters.ts';
import { BATCH_MAX, limitsFor, TRANSMIT_HEADROOM } from '../../src/limits.ts';
import { sys } from '../../src/native/sys.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';

const ETHERTYPE_EXPERIMENT = 0x88b5; // IEEE 802 local experimental
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cpu: { type: 'string' },
    bytes: { type: 'string', default: '64' },
    lend: { type: 'string' },
    generic: { type: 'boolean' },
  },
});
const [ifname, window = 1, seconds = 3] = [positionals[0], ...positionals.slice(1).map(Number)];
if (ifname === undefined) throw new Error('usage: frame-generator.ts IFNAME WINDOW SECONDS');
if (values.cpu !== undefined) sys.pin(Number(values.cpu));
const bytes = Number(values.bytes);

const limits = limitsFor();
const arena = new Arena(80 * 2 ** 20);
arena.bindNative();
const counters = new Counters(arena);
const frames = new Frames(arena, limits.receiveFrames, limits.transmitFrames);
const { nic, close } = openXdp(arena, frames, counters, {
  ifname,
  ipv4: [],
  everything: true,
  ...(values.generic ? { mode: 'generic' } : {}),
  ringEntries: limits.ringEntries,
  ...(values.lend === undefined ? {} : { lend: Number(values.lend) }),
});

const u8 = arena.u8;
let inFlight = 0;

function send(count: number): void {
  for (let i = 0; i < count; i++) {
    const frame = frames.takeTransmit();
    if (frame < 0) break;
    const offset = frame + TRANSMIT_HEADROOM;
    u8.fill(0xff, offset, offset + 6);
    for (let k = 0; k < 6; k++) u8[offset + 6 + k] = nic.mac[k]!;
    u8[offset + 12] = ETHERTYPE_EXPERIMENT >> 8;
    u8[offset + 13] = ETHERTYPE_EXPERIMENT & 0xff;
    nic.transmit(offset, bytes);
    inFlight++;
  }
  nic.kick();
}

function takeBack(): number {
  nic.reclaim();
  const count = nic.receive(BATCH_MAX);
  for (let i = 0; i < count; i++) frames.free(nic.rxOffsets[i]!);
  inFlight = Math.max(0, inFlight - count);
  return count;
}

const roundTripsNs = new Float64Array(1_000_000);
let roundTrips = 0;
let received = 0;
let lost = 0;
const start = performance.now();
const end = start + seconds * 1000;
let heard = start;
let sentAt = start;
let now = start;
while (now < end) {
  if (inFlight < window) {
    sentAt = performance.now();
    send(Math.min(BATCH_MAX, window - inFlight));
  }
  const count = takeBack();
  if (window === 1 || (received & 1023) === 0 || count === 0) now = performance.now();
  if (count > 0) {
    received += count;
    heard = now;
    if (window === 1 && roundTrips < roundTripsNs.length) {
      roundTripsNs[roundTrips++] = (now - sentAt) * 1e6;
    }
  } else if (now - heard > 100) {
    lost += inFlight;
    inFlight = 0;
    heard = now;
  }
}
const elapsed = (performance.now() - start) / 1000;
close();
const sorted = roundTripsNs.subarray(0, roundTrips).sort();
const rttNs = roundTrips > 0 ? Math.round(sorted[roundTrips >> 1]!) : undefined;
console.log(
  JSON.stringify({ frames: received, seconds: elapsed, rate: received / elapsed, lost, rttNs }),
);

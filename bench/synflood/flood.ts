/**
 * The flood: SYNs from spoofed addresses at a fixed rate, over AF_XDP, from the client's end of the
 * link.
 *
 * - Also the gateway: answers ARP for its address, so that the server's answers to the spoofed ones
 *   leave it. What they are sent to is nobody here: the kernel drops them, as a host does that is
 *   spoofed.
 * - Every SYN has an address, port and sequence number of its own, and the options of Linux's (MSS,
 *   SACK, timestamps, window scale), so that a cookie must carry them.
 *
 * Usage: node bench/synflood/flood.ts IFNAME GATEWAY SERVER SERVER_MAC PORT SECONDS RATE
 * Prints one JSON object: { sent, seconds, rate }. Started by bench/synflood.ts. Rate 0: only the
 * gateway.
 */
import { Random } from '../../sim/random.ts';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { parseAddress } from '../../src/control/link/address.ts';
import { Counters } from '../../src/counters.ts';
import { BATCH_MAX, limitsFor, TRANSMIT_HEADROOM } from '../../src/limits.ts';
import { sys } from '../../src/native/sys.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';
import { finish, pseudoHeaderSum, sumShort } from '../../src/wire/checksum.ts';

const [ifname, gatewayText, serverText, macText, port, seconds, rate] = process.argv.slice(2);
if (rate === undefined) {
  throw new Error('usage: flood.ts IFNAME GATEWAY SERVER SERVER_MAC PORT SECONDS RATE');
}
const gateway = parseAddress(gatewayText!);
const server = parseAddress(serverText!);
const serverMac = macText!.split(':').map((part) => Number.parseInt(part, 16));

const IP = 14;
const TCP = IP + 20;
const TCP_BYTES = 40;
const SYN_BYTES = TCP + TCP_BYTES;
const ARP_BYTES = 42;
/** MSS 1460, SACK permitted, timestamps, NOP, window scale 7. */
const OPTIONS = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7];
const PAUSE_US = 100;
/**
 * Not the link's: the server's answers to spoofed addresses are another host's for the kernel at
 * this end, and dropped at once. That is done on the server's core, which should pay for its own
 * work only.
 */
const GATEWAY_MAC = [2, 0x69, 0x78, 0, 0, 0xfe];

const limits = limitsFor();
const arena = new Arena(80 * 2 ** 20);
arena.bindNative();
const frames = new Frames(arena, limits.receiveFrames, limits.transmitFrames);
const { nic, close } = openXdp(arena, frames, new Counters(arena), {
  ifname: ifname!,
  ipv4: [gateway],
  ringEntries: limits.ringEntries,
});
const { view, u8 } = arena;
const random = new Random(1);
const idle = arena.carve('idle', 8, 8);
const template = [
  ...serverMac, ...nic.mac, 8, 0,
  0x45, 0, 0, 20 + TCP_BYTES, 0, 0, 0x40, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (TCP_BYTES / 4) << 4, 2, 0xfa, 0xf0, 0, 0, 0, 0,
  ...OPTIONS,
]; // biome-ignore format: a frame

function writeSyn(at: number): void {
  u8.set(template, at);
  // 1.0.0.0 to 9.255.255.255: nobody's here, and not the server's own network
  const source = ((1 + random.below(9)) << 24) | (random.word() & 0xffffff);
  view.setInt32(at + IP + 12, source);
  view.setInt32(at + IP + 16, server);
  view.setUint16(at + IP + 10, finish(sumShort(view, at + IP, 20)), true);
  view.setUint16(at + TCP, 1024 + random.below(64_000));
  view.setUint16(at + TCP + 2, Number(port));
  view.setInt32(at + TCP + 4, random.word());
  const pseudo = pseudoHeaderSum(source, server, 6, TCP_BYTES);
  view.setUint16(at + TCP + 16, finish(sumShort(view, at + TCP, TCP_BYTES, pseudo)), true);
}

/** Takes what has come; a question for the gateway's address is answered. */
function answer(): void {
  nic.reclaim();
  const count = nic.receive(BATCH_MAX);
  for (let i = 0; i < count; i++) {
    const from = nic.rxOffsets[i]!;
    const frame = frames.takeTransmit();
    if (view.getUint16(from + 12) === 0x0806 && view.getUint16(from + 20) === 1 && frame >= 0) {
      const at = frame + TRANSMIT_HEADROOM;
      u8.copyWithin(at, from + 6, from + 12);
      u8.set(GATEWAY_MAC, at + 6);
      u8.copyWithin(at + 12, from + 12, from + 20);
      view.setUint16(at + 20, 2);
      u8.set(GATEWAY_MAC, at + 22);
      view.setInt32(at + 28, gateway);
      u8.copyWithin(at + 32, from + 22, from + 32);
      nic.transmit(at, ARP_BYTES);
    } else if (frame >= 0) frames.free(frame);
    frames.free(from);
  }
}

const start = performance.now();
const end = start + Number(seconds) * 1000;
let sent = 0;
for (let now = start; now < end; now = performance.now()) {
  answer();
  let due = Math.floor(((now - start) * Number(rate)) / 1000) - sent;
  if (due > limits.ringEntries) {
    sent += due - limits.ringEntries; // the machine stood still: what is missed is missed
    due = limits.ringEntries;
  }
  for (; due > 0; due--) {
    const frame = frames.takeTransmit();
    if (frame < 0) break;
    writeSyn(frame + TRANSMIT_HEADROOM);
    nic.transmit(frame + TRANSMIT_HEADROOM, SYN_BYTES);
    sent++;
  }
  nic.kick();
  sys.wait(idle, 0, PAUSE_US);
}
const elapsed = (performance.now() - start) / 1000;
close();
console.log(JSON.stringify({ sent, seconds: elapsed, rate: sent / elapsed }));

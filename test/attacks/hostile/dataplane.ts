/**
 * A dataplane that has turned: it starts as a real one does, with its driver, its memory and its
 * lock-down, and then tries one attack after the other, each time it is asked for its state; what
 * it saw goes to its control plane as a report.
 *
 * - Frames are real: they leave through its AF_XDP queue. System calls are made by number, Node is
 *   not asked.
 * - The application's setting `last` chooses one after which nothing comes, instead of the others;
 *   `first` the one that it begins with.
 *
 * Started by control.ts in place of src/dataplane/main.ts. Its cases are in
 * ../dataplane.live.test.ts.
 */
import { writeSync } from 'node:fs';
import { CHANNEL_FD, Channel, endWithParent, readConfig } from '../../../src/child/channel.ts';
import { lockDown } from '../../../src/child/lock.ts';
import { type CallName, callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { openNicFor, shareCountersFor } from '../../../src/dataplane/nics.ts';
import { openThread } from '../../../src/dataplane/thread.ts';
import { backWith, openProcessSide } from '../../../src/domain/process-side.ts';
import { formatAddress } from '../../../src/libix/address.ts';
import { TRANSMIT_HEADROOM } from '../../../src/limits.ts';
import { sys } from '../../../src/native/sys.ts';

type Argument = number | bigint | Uint8Array;
const call = (name: CallName, ...args: Argument[]): number =>
  sys.syscall(callNumber(name), ...args);
const distinct = (values: Iterable<number>): number[] => [...new Set(values)].sort((a, b) => a - b);

const FDS = Array.from({ length: 64 }, (_, fd) => fd);
const O_NONBLOCK = 0o4000;
const SOL_XDP = 283;
const XDP_MMAP_OFFSETS = 1;
const OUTSIDE: CallName[] = [
  ...(['open', 'openat', 'openat2', 'socket', 'socketpair', 'connect', 'bind'] as const),
  ...([
    'listen',
    'accept',
    'sendmsg',
    'recvmsg',
    'recvfrom',
    'setsockopt',
    'clone',
    'fork',
  ] as const),
  ...(['vfork', 'execve', 'execveat', 'ptrace', 'process_vm_readv', 'process_vm_writev'] as const),
  ...(['pidfd_open', 'pidfd_getfd', 'tkill', 'rt_sigqueueinfo', 'bpf', 'mount', 'setns'] as const),
  ...([
    'unshare',
    'chroot',
    'capset',
    'setuid',
    'seccomp',
    'mlock',
    'memfd_create',
    'dup',
  ] as const),
  ...(['ftruncate', 'fallocate', 'perf_event_open', 'userfaultfd', 'shmget', 'unlink'] as const),
];

endWithParent();
const config = readConfig();
const { last = '', first = '', pids = '', victims = '' } = config.app.options;
const shared = config.shared![0]!;
const dataplane = openThread({
  limits: config.limits,
  net: config,
  policy: config.idle,
  openNic: (parts) => openNicFor(config, 0, parts, () => {}).nic,
  openSide: (parts) => openProcessSide(parts, shared),
  back: backWith(shared),
  shareCounters: (counters) => shareCountersFor(config, 0, counters),
  failed: () => {},
});
const { frames, nic, arena, counters, limits } = dataplane;
const channel = new Channel((line) => heard(line));
lockDown();

const say = (text: string): void => {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(CHANNEL_FD, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
};
const tell = (message: unknown): void => say(`${JSON.stringify(message)}\n`);

// --- frames ---

const addressOf = (text: string): number[] => text.split('.').map(Number);
const HOST = '10.77.0.1';
const BROADCAST = Array(6).fill(255);

/** Sends a frame as it is given, whatever it claims. */
function transmit(bytes: readonly number[]): boolean {
  const frame = frames.takeTransmit();
  if (frame < 0) return false;
  arena.u8.set(bytes, frame + TRANSMIT_HEADROOM);
  nic.transmit(frame + TRANSMIT_HEADROOM, Math.max(60, bytes.length));
  return true;
}

function flush(): void {
  nic.kick();
  nic.reclaim();
}

const sum = (bytes: readonly number[]): number => {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
};
const word = (n: number): number[] => [(n >> 8) & 255, n & 255];

/** "I am `address`", asked or unasked. */
const arp = (address: string, operation: number): number[] => {
  const mine = [...nic.mac];
  const head = [...BROADCAST, ...mine, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
  return [...head, ...mine, ...addressOf(address), ...BROADCAST, ...addressOf(HOST)];
};

/** A router's word to all nodes that it is one, and that this is their network (RFC 4861 4.2). */
function advertisement(): number[] {
  const linkLocal = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 9];
  const allNodes = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
  const week = [0, 9, 0x3a, 0x80];
  const prefix = [0x20, 1, 0x0d, 0xb8, 0, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const options = [3, 4, 64, 0xc0, ...week, ...week, 0, 0, 0, 0, ...prefix, 1, 1, ...nic.mac];
  const icmp = [134, 0, 0, 0, 64, 0, ...word(9000), 0, 0, 0, 0, 0, 0, 0, 0, ...options];
  const pseudo = [...linkLocal, ...allNodes, 0, 0, ...word(icmp.length), 0, 0, 0, 58];
  icmp.splice(2, 2, ...word(sum([...pseudo, ...icmp])));
  const ip = [0x60, 0, 0, 0, ...word(icmp.length), 58, 255, ...linkLocal, ...allNodes];
  return [0x33, 0x33, 0, 0, 0, 1, ...nic.mac, 0x86, 0xdd, ...ip, ...icmp];
}

/** A RST in another's name. */
function reset(
  hostMac: readonly number[],
  from: string,
  fromPort: number,
  toPort: number,
  sequence: number,
): number[] {
  const [source, target] = [addressOf(from), addressOf(HOST)];
  const tcp = [...word(fromPort), ...word(toPort), ...word(sequence >>> 16), ...word(sequence)];
  tcp.push(0, 0, 0, 0, 0x50, 4, 0, 0, 0, 0, 0, 0);
  tcp.splice(16, 2, ...word(sum([...source, ...target, 0, 6, 0, 20, ...tcp])));
  const ip = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, ...source, ...target];
  ip.splice(10, 2, ...word(sum(ip)));
  return [...hostMac, ...nic.mac, 8, 0, ...ip, ...tcp];
}
/** Asks the host who it is, and reads the answer off the ring. */
function learnHostMac(): number[] {
  transmit(arp(formatAddress(config.address), 1));
  flush();
  for (const end = performance.now() + 1000; performance.now() < end; ) {
    const count = nic.receive(64);
    for (let i = 0; i < count; i++) {
      const at = nic.rxOffsets[i]!;
      const [high, low, operation] = [arena.u8[at + 12], arena.u8[at + 13], arena.u8[at + 21]];
      const mac = [...arena.u8.subarray(at + 6, at + 12)];
      frames.free(at);
      if (high === 8 && low === 6 && operation === 2) return mac;
    }
    nic.reclaim();
  }
  throw new Error('the host did not say who it is');
}

// --- what it tries, in order ---

const NO_STATE = { flows: 0, timers: 0, receiveHeld: 0, transmitHeld: 0, allocatedBytes: 0 };

const ATTACKS: (() => unknown)[] = [
  function callsOutsideItsList() {
    return distinct(OUTSIDE.map((name) => call(name, 0, 0, 0, 0, 0, 0)));
  },
  function processesOfOthers() {
    const targets = [...pids.split(',').map(Number), 2, -1];
    return distinct(
      targets.flatMap((pid) => [0, 9, 19].map((signal) => call('kill', pid, signal))),
    );
  },
  function sealsAndFlagsOfWhatItHas() {
    const commands = [1033, 8, 10, 1031, 1024]; // ADD_SEALS, SETOWN, SETSIG, SETPIPE_SZ, SETLEASE
    return distinct(FDS.flatMap((fd) => commands.map((command) => call('fcntl', fd, command, 1))));
  },
  function everyDescriptorMadeToBlock() {
    for (const fd of FDS) {
      call('fcntl', fd, 4, 0);
      call('ioctl', fd, 0x5421, new Uint8Array(4));
    }
    // Reports as long as a reader's buffer: who believes the flags asks for more, and waits.
    for (const bytes of [65_535, 65_536, 65_537, 131_072, 65_536, 65_536]) {
      const head = '{"type":"report","value":"';
      say(`${head}${'x'.repeat(bytes - head.length - 3)}"}\n`);
    }
    // Its own doorbell rings without waiting only: what comes next is to be sent.
    for (const fd of nic.fds) call('fcntl', fd, 4, O_NONBLOCK);
    return 'done';
  },
  function messagesThatLie() {
    tell({ type: 'confined', done: ['all'], missing: [] });
    tell({ type: 'attached', layouts: [], flows: -1, nic: 7 });
    tell({ type: 'dropped' });
    tell({ type: 'dropped' });
    tell({ type: 'ready', ports: [1e300, -5, 'x'], nic: '' });
    for (const line of ['', '{', '[]', 'null', '{"type":{}}', '\0']) say(`${line}\n`);
    return 'done';
  },
  function answersThatNobodyAskedFor() {
    const lie = { ...NO_STATE, flows: 77, kernelDrops: {} };
    const threads = Array.from({ length: 1000 }, () => lie);
    const now = Date.now();
    for (const question of [0, -1, 0.5, 1e308, '1', null, now, now + 1, 2 ** 53]) {
      tell({ type: 'dropped', question });
      tell({ type: 'state', question, threads });
    }
    const drops = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`__proto__${i}`, i]));
    tell({ type: 'state', question: 1, threads: [{ ...NO_STATE, kernelDrops: drops }] });
    tell({ type: 'stopped', exitCode: 256 });
    return 'done';
  },
  function reportsNestedHugeAndMany() {
    const depth = 100_000; // within the longest line
    for (const [open, close] of [
      ['[', ']'],
      ['{"0":', '}'],
      ['{"a":[', ']}'],
    ] as const) {
      const most = Math.min(depth, 900_000 / (open.length + close.length));
      say(`{"type":"report","value":${open.repeat(most)}1${close.repeat(most)}}\n`);
    }
    const line = `${JSON.stringify({ type: 'report', value: 'x'.repeat(100) })}\n`;
    for (let i = 0; i < 100; i++) say(line.repeat(100));
    return 'done';
  },
  function bytesThroughItsDoorbell() {
    const bytes = Buffer.from('{"type":"report","value":"by its doorbell"}\n');
    const somebody = Uint8Array.of(2, 0, 0, 7, 10, 77, 0, 1, ...Array(8).fill(0)); // sockaddr_in
    return distinct(
      FDS.flatMap((fd) => [
        call('sendto', fd, bytes, bytes.length, 0x40, 0, 0),
        call('sendto', fd, bytes, 0, 0x40, somebody, 16),
        call('sendto', fd, 0, 0, 0x40, somebody, 16),
        call('sendto', fd, 0, 0, 0x40, 0, 0),
      ]),
    );
  },
  function advertisementsOfARouter() {
    for (let i = 0; i < 100; i++) transmit(advertisement());
    flush();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50); // the host has heard it
    nic.reclaim();
    return 'done';
  },
  function countersThatLie() {
    const lies = [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e308, -0];
    for (let i = 0; i < 128; i++) counters.f64[counters.base + i] = lies[i % lies.length]!;
    return 'done';
  },
  function addressesOfOthers() {
    for (const address of [...victims.split(','), HOST, '255.255.255.255', '0.0.0.0']) {
      for (const operation of [1, 2]) transmit(arp(address, operation));
    }
    flush();
    return 'done';
  },
  function resetsInTheNameOfOthers() {
    const [kv = '', echo = ''] = victims.split(',');
    const mac = learnHostMac();
    for (let port = 32_768; port < 61_000; port++) {
      transmit(reset(mac, kv, 11_211, port, port * 70_001));
      transmit(reset(mac, echo, 7, port, port * 70_001));
      if (port % 32 === 0) flush();
    }
    flush();
    return 'done';
  },
  function framesOfNoProtocol() {
    for (let i = 0; i < 5000; i++) {
      const bytes = Array.from({ length: 60 + ((i * 37) % 1400) }, (_, n) => (n * i) & 255);
      transmit([...BROADCAST, ...nic.mac, i & 255, (i * 7) & 255, ...bytes]);
      if (i % 32 === 0) flush();
    }
    flush();
    return 'done';
  },
  function descriptorsOfFramesThatAreNotItsOwn() {
    // Straight into its transmit ring, past its driver: the kernel must refuse each.
    const fd = config.nics[0]!.kind === 'afxdp' ? config.nics[0]!.socketFd : -1;
    // struct xdp_mmap_offsets: receive ring, transmit ring, ...
    const offsets = new BigUint64Array(16);
    const size = new Uint8Array(Uint32Array.of(128).buffer);
    call('getsockopt', fd, SOL_XDP, XDP_MMAP_OFFSETS, new Uint8Array(offsets.buffer), size);
    const ring = arena.segment('tx ring').offset;
    const producer = (ring + Number(offsets[4])) >> 2;
    const first = (ring + Number(offsets[6])) >> 2;
    const umem = BigInt(frames.end - frames.base);
    const places = [umem, umem - 1n, umem + 4096n, 1n << 31n, 1n << 47n, (1n << 64n) - 1n];
    nic.reclaim();
    const at = Atomics.load(arena.i32, producer);
    places.forEach((place, i) => {
      // struct xdp_desc: address, length, options
      const w = first + ((at + i) & (limits.ringEntries - 1)) * 4;
      arena.i32.set([Number(place & 0xffffffffn) | 0, Number(place >> 32n) | 0, 60, 0], w);
    });
    Atomics.store(arena.i32, producer, at + places.length);
    sys.kick(fd);
    // Some kernels (6.18.44) complete what they refused: its driver, which never sends such, is
    // told of frames of its own instead.
    const done = arena.segment('completion ring').offset;
    const given = Atomics.load(arena.i32, (done + Number(offsets[12])) >> 2);
    for (let k = Atomics.load(arena.i32, (done + Number(offsets[13])) >> 2); k !== given; k++) {
      const entry = done + Number(offsets[14]) + (k & (limits.ringEntries - 1)) * 8;
      arena.i32.set([frames.takeTransmit() - frames.base, 0], entry >> 2);
    }
    return 'done';
  },
];

let next = Math.max(
  0,
  ATTACKS.findIndex(({ name }) => name === first),
);

function heard(line: string): void {
  const question = Number(/^state (\d+)$/.exec(line)?.[1]);
  if (Number.isNaN(question)) return;
  const attack = last === '' ? ATTACKS[next++] : undefined;
  if (attack === undefined) return theLast();
  let value: unknown;
  try {
    value = attack();
  } catch (error) {
    value = (error as Error).message;
  }
  tell({ type: 'report', value: { attack: attack.name, value } });
  tell({ type: 'state', question, threads: [{ ...NO_STATE, kernelDrops: {} }] });
}

function theLast(): void {
  if (last === 'line') for (let i = 0; i < 8; i++) say('x'.repeat(2 ** 20));
  if (last === 'spin') for (;;);
}

process.on('SIGTERM', () => {}); // it does not want to end
if (last === 'layout') {
  const far = { name: 'far', offset: 2 ** 52, bytes: 2 ** 52 };
  const layout = { arenaBytes: 2 ** 50, receivePool: far, events: far, calls: far, memory: far };
  channel.send({ type: 'attached', layouts: [layout], flows: 2 ** 40, nic: 'far' });
} else {
  const { layout } = dataplane;
  channel.send({ type: 'attached', layouts: [layout], flows: limits.flows, nic: nic.name });
}
// Its application gets turns while it waits for the next attack.
setInterval(() => dataplane.thread.turn(), 1);

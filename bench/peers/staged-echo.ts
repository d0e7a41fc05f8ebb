/**
 * Our echo server with a stopwatch at every step of the elastic thread's cycle: where the time of
 * one request goes.
 *
 * - One dataplane thread built like the real one (src/dataplane/thread.ts); the steps of its parts
 *   are wrapped, so the order and the code are those of `ElasticThread.turn`.
 * - Turns that received nothing do not count, nor those that were interrupted. A stopwatch reading
 *   costs `clockNs`, which is taken off each step.
 *
 * Usage: node staged-echo.ts IFNAME ADDRESS, until it is ended.
 * Prints "ready" (standard error) when it serves, and now and then one line of JSON { frames,
 * turns, clockNs, stages }, where stages maps a step, in order, to its nanoseconds since the start.
 */
import echo from '../../src/apps/echo.ts';
import { openThread } from '../../src/dataplane/thread.ts';
import { openInlineSide } from '../../src/domain/inline.ts';
import { parseAddress } from '../../src/libix/address.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';

/** Between two lines of output. */
const LINE_MS = 100;
/** A turn that takes longer was interrupted: by the kernel, by the collector, by others. */
const PREEMPTED_NS = 300_000;

const [ifname, ip] = process.argv.slice(2);
if (!ifname || !ip) throw new Error('usage: staged-echo.ts IFNAME ADDRESS');
const address = parseAddress(ip);

let xdp: ReturnType<typeof openXdp> | undefined;
const dataplane = openThread({
  net: { address, prefixLength: 24, gateway: 0 },
  policy: 'spin',
  openNic: ({ arena, frames, counters, limits }) => {
    const ringEntries = limits.ringEntries;
    xdp = openXdp(arena, frames, counters, {
      ifname,
      ipv4: [address],
      mode: 'generic',
      ringEntries,
    });
    return xdp.nic;
  },
  openSide: (parts) => openInlineSide(parts, 0, { report: () => true, stop: () => {} }),
  failed: (error) => {
    console.error(error);
    process.exit(1);
  },
});

const { nic, stack, gate, side, runner, thread } = dataplane;
const names: string[] = [];
/** Of this turn, and of all turns that received something: nanoseconds. */
const now = new Float64Array(32);
const all = new Float64Array(32);
const calls = new Float64Array(32);
const nowCalls = new Float64Array(32);
let frames = 0;
let turns = 0;

/** Times a step: an own property of the object hides its class's method. */
function timed<T extends object>(object: T, method: keyof T & string, name: string): void {
  const stage = names.push(name) - 1;
  const step = (object[method] as (...words: unknown[]) => unknown).bind(object);
  Object.defineProperty(object, method, {
    writable: true,
    value: (a: unknown, b: unknown, c: unknown) => {
      const start = performance.now();
      const result = step(a, b, c);
      now[stage] = now[stage]! + (performance.now() - start) * 1e6;
      nowCalls[stage] = nowCalls[stage]! + 1;
      return result;
    },
  });
}

timed(nic, 'reclaim', 'reclaim transmitted frames');
timed(stack, 'advance', 'timers');
timed(nic, 'receive', 'receive: take frames from the ring');
timed(stack, 'receive', 'stack in: Ethernet, IP, TCP');
timed(stack, 'emit', 'event conditions');
timed(side.domain, 'enter', 'libix and application');
timed(gate, 'execute', 'system calls of the batch');
timed(stack, 'flush', 'stack out: TCP segments');
timed(nic, 'kick', 'doorbell: the kernel sends');

const sumOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

const turn = thread.turn.bind(thread);
let received = 0;
const receive = nic.receive; // timed
nic.receive = (max: number) => (received = receive(max));
thread.turn = () => {
  received = 0;
  const work = turn();
  if (received > 0 && sumOf(now) < PREEMPTED_NS) {
    frames += received;
    turns++;
    for (let i = 0; i < names.length; i++) {
      all[i] = all[i]! + now[i]!;
      calls[i] = calls[i]! + nowCalls[i]!;
    }
  }
  now.fill(0);
  nowCalls.fill(0);
  return work;
};

/** What one reading of the clock costs. */
function clockCost(): number {
  const count = 200_000;
  const start = performance.now();
  for (let i = 0; i < count; i++) performance.now();
  return ((performance.now() - start) * 1e6) / count;
}

const clockNs = clockCost();
side.ix.whenSettled(() => console.error('ready'));
echo(side.ix, { port: '7' });
runner.start();

/**
 * Sums so far: a reader takes the difference of two lines, and so leaves out the time before V8 was
 * warm.
 */
setInterval(() => {
  const stages = names.map((name, i): [string, number] => [name, all[i]! - calls[i]! * clockNs]);
  console.log(JSON.stringify({ frames, turns, clockNs, stages: Object.fromEntries(stages) }));
}, LINE_MS);

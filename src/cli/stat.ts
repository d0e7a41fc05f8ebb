/**
 * `ix stat`: what the running instances have counted.
 *
 * - Services whose control plane has died are listed, too, and said to be so (`orphan` in --json).
 * - The link is said to be up, down, without carrier, or gone; of a veth of our own, the worse of
 *   its two ends.
 * - Counters that are zero are left out of the table, never of --json and --prometheus.
 * - What the counters mean is `ix explain`'s to say (explain.ts).
 * - --watch prints rates every second until Ctrl-C; with --json one line of JSON a second.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { enforced } from '../confine/confine.ts';
import { parseAddress } from '../control/link/address.ts';
import { type Link, Netlink } from '../control/link/netlink.ts';
import { describeSteering } from '../control/link/steering.ts';
import { stateOf, worstOf } from '../control/link/watch.ts';
import { describeXdp } from '../control/link/xdp.ts';
import { type Instance, isOrphan, type LinkState } from '../control/record/instances.ts';
import type { Sample } from '../control/record/prometheus.ts';
import { readStatistics, readThreads } from '../control/record/statistics.ts';
import { GAUGES } from '../counters.ts';
import { OptionError } from '../errors.ts';
import { networkNamespace } from '../native/process.ts';
import { printable } from '../printable.ts';
import { servicesHere } from './services.ts';
import { describeLoad, loadsOf, type ThreadLoad } from './thread-loads.ts';

export interface StatOptions {
  ip?: string;
  watch?: boolean;
  json?: boolean;
  prometheus?: boolean;
}

type Counts = Record<string, number>;

const WATCH_MS = 1000;
/** How long threads are looked at to say how busy they are. */
const MOMENT_MS = 100;

export async function stat(options: StatOptions): Promise<void> {
  if (options.prometheus && (options.watch || options.json)) {
    throw new OptionError('--prometheus prints once, in its own format', 'leave out the others');
  }
  if (options.ip !== undefined) parseAddress(options.ip);
  const instances = servicesHere(options.ip);
  if (options.watch) return watch(instances, options);
  if (options.prometheus) {
    const { exposition } = await import('../control/record/prometheus.ts');
    const samples = instances.map((i): Sample => {
      const latencies = readThreads(i).map(({ latency }) => latency);
      return [i, readStatistics(i), latencies];
    });
    process.stdout.write(await exposition(samples));
    return;
  }
  const loads = await loadsNow(instances);
  if (options.json) {
    const all = instances.map((i, at) => ({ ...facts(i, readStatistics(i)), threads: loads[at] }));
    console.log(JSON.stringify({ instances: all }));
    return;
  }
  for (const [at, instance] of instances.entries()) {
    console.log(title(instance));
    const { link } = linkFacts(instance);
    if (link) console.log(`  link ${printable(link.name)}: ${link.state}`);
    if (instance.xdp) console.log(`  ${printable(instance.nic)}: ${describeXdp(instance.xdp)}`);
    if (instance.steering) console.log(`  ${describeSteering(instance.steering)}`);
    for (const load of loads[at]!) console.log(`  ${describeLoad(load)}`);
    for (const line of confinement(instance)) console.log(`  ${line}`);
    printTable(readStatistics(instance), '');
  }
  console.log('what a counter means, and what to do: bin/ix explain COUNTER');
}

/** Of each instance: what its threads have done in a moment. */
async function loadsNow(instances: readonly Instance[]): Promise<ThreadLoad[][]> {
  const before = instances.map(readThreads);
  const then = performance.now();
  await sleep(MOMENT_MS);
  const ms = performance.now() - then;
  return instances.map((instance, i) => loadsOf(before[i]!, readThreads(instance), ms));
}

/** What there is to know of one without a control plane. */
const whoHas = (i: Instance): string =>
  isOrphan(i)
    ? `(no control plane since pid ${i.control.pid} died: ` +
      `start it again to adopt it, or: bin/ix stop ${i.address})`
    : `(pid ${i.control.pid})`;

const title = (i: Instance): string =>
  `${printable(i.app)} at ${i.address}${i.ports.map((port) => `:${port}`).join('')} ${whoHas(i)}`;

const facts = (instance: Instance, counters: Counts) => ({
  app: instance.app,
  address: instance.address,
  ports: instance.ports,
  pid: instance.control.pid,
  ...(instance.xdp && { xdp: instance.xdp }),
  ...(instance.steering && { steering: instance.steering }),
  ...(isOrphan(instance) && { orphan: true }),
  ...linkFacts(instance),
  confined: {
    dataplane: enforced(instance.dataplane?.confined),
    ...(instance.application && { application: enforced(instance.application.confined) }),
  },
  counters,
});

/**
 * Its interface, and the state of the worst of its links now; what its control plane last knew,
 * from another namespace.
 */
function linkFacts({ link, namespace }: Instance): { link?: { name: string; state: LinkState } } {
  if (!link) return {};
  const { name, indexes, state } = link;
  if (namespace !== networkNamespace()) return { link: { name, state } };
  const netlink = new Netlink();
  const found = netlink.links();
  netlink.close();
  const states = indexes.map((index): [Link | undefined, LinkState] => {
    const there = found.find((each) => each.index === index);
    return [there, stateOf(there)];
  });
  const [worst, now] = worstOf(states);
  return { link: { name: worst?.name ?? name, state: now } };
}

/** One line a child: what the kernel holds it to, and what is missing here. */
function confinement({ dataplane, application }: Instance): string[] {
  const line = (who: string, child: Instance['dataplane']): string[] => {
    if (!child) return [];
    const missing = child.confined?.missing ?? [];
    const without = missing.length > 0 ? `; not enforced: ${missing.join(', ')}` : '';
    return [printable(`${who} confined: ${enforced(child.confined).join(', ') || 'no'}${without}`)];
  };
  return [...line('dataplane', dataplane), ...line('application', application)];
}

async function watch(instances: readonly Instance[], options: StatOptions): Promise<void> {
  let before = instances.map(readStatistics);
  let threads = instances.map(readThreads);
  let then = performance.now();
  for (;;) {
    await sleep(WATCH_MS);
    const counts = instances.map(readStatistics);
    const threadsNow = instances.map(readThreads);
    const now = performance.now();
    const seconds = (now - then) / 1000;
    const rates = counts.map((count, i) => ratesOf(before[i]!, count, seconds));
    for (const [i, instance] of instances.entries()) {
      const loads = loadsOf(threads[i]!, threadsNow[i]!, now - then);
      if (options.json) {
        const all = { ...facts(instance, counts[i]!), threads: loads, rates: rates[i] };
        console.log(JSON.stringify(all));
      } else {
        console.log(`${title(instance)}, per second`);
        for (const load of loads) console.log(`  ${describeLoad(load)}`);
        printTable(rates[i]!, '/s');
      }
    }
    before = counts;
    threads = threadsNow;
    then = now;
  }
}

export function ratesOf(before: Counts, after: Counts, seconds: number): Counts {
  const rate = ([name, count]: [string, number]): [string, number] => [
    name,
    GAUGES.has(name) ? count : Math.round((count - (before[name] ?? 0)) / seconds),
  ];
  return Object.fromEntries(Object.entries(after).map(rate));
}

function printTable(counts: Counts, unit: string): void {
  const shown = Object.entries(counts).filter(([, count]) => count !== 0);
  if (shown.length === 0) console.log('  nothing yet');
  for (const [name, count] of shown) {
    console.log(`  ${name.padEnd(24)} ${`${count}`.padStart(16)}${unit}`);
  }
}

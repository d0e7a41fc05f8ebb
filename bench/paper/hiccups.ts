/**
 * How much of its two cores this machine takes away from who spins on them, while nothing of ours
 * runs: what no server and no client can mend (peers/hiccups.c).
 *
 * Called by fig5.ts and whole.ts.
 */
import { compilePeer } from '../harness/compile.ts';
import { measuredBy } from '../harness/process.ts';
import type { Settings } from './experiment.ts';

interface Hiccups {
  /** Of the time, in pieces of more than 0.1 ms. */
  share: number;
  longestNs: number;
}

export interface HiccupsOfBoth {
  server: Hiccups;
  client: Hiccups;
}

/** Both cores at once, for `ms`. */
export async function hiccupsOf(
  { serverCpu, clientCpu }: Settings,
  ms: number,
): Promise<HiccupsOfBoth> {
  const command = [compilePeer('hiccups'), `${ms}`];
  const look = (cpu: number): Promise<Hiccups> => measuredBy<Hiccups>(cpu, command);
  const [server, client] = await Promise.all([look(serverCpu), look(clientCpu)]);
  return { server, client };
}

/** The largest of several looks, in words. */
export function describeHiccups(looks: readonly HiccupsOfBoth[]): string {
  const core = (name: 'server' | 'client'): string => {
    const percent = (Math.max(...looks.map((look) => look[name].share)) * 100).toFixed(2);
    const longest = (Math.max(...looks.map((look) => look[name].longestNs)) / 1e6).toFixed(1);
    return `the ${name}'s core ${percent} % of the time (longest ${longest} ms)`;
  };
  const worst = looks.length > 1 ? ` (the worst of ${looks.length} looks)` : '';
  const when = `With nothing of ours running, this machine took away${worst}`;
  return `${when} ${core('server')}, ${core('client')}, in pieces of more than 0.1 ms`;
}

/**
 * The machine that a benchmark ran on, and whether others use it: a figure of a machine whose cores
 * were not idle is no claim, and a result that is read later must say so.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  node: string;
  /** Under a hypervisor: neighbours may take part of the time. */
  virtual: boolean;
  /** Runnable threads, averaged over the minute before the first round: of others. */
  loadAverage: number;
}

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    virtual: /^flags\s*:.*\bhypervisor\b/m.test(readText('/proc/cpuinfo')),
    loadAverage: Number(readText('/proc/loadavg').split(' ')[0]),
  };
}

/**
 * Share of all cores' time that nobody used, over the next `lookMs`. proc(5): user nice system idle
 * iowait ...
 */
export async function idleShare(lookMs: number): Promise<number> {
  const before = coreTicks();
  await new Promise((resolve) => setTimeout(resolve, lookMs));
  const after = coreTicks();
  return (after.idle - before.idle) / Math.max(1, after.all - before.all);
}

function coreTicks(): { idle: number; all: number } {
  const line = /^cpu +(.*)$/m.exec(readText('/proc/stat'))?.[1] ?? '';
  const ticks = line.split(' ').map(Number);
  const all = ticks.slice(0, 8).reduce((sum, each) => sum + each, 0);
  return { idle: (ticks[3] ?? 0) + (ticks[4] ?? 0), all };
}

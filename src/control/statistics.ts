/**
 * The statistics segment: a memfd that the dataplane maps over its counters and everybody else
 * reads.
 *
 * - Made by the control plane, sealed so that it keeps its size; one page-aligned block of float64
 *   cells a thread.
 * - Readers open it through /proc/<control pid>/fd: they need the same user (or root), and no
 *   cooperation.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { STATISTICS_BYTES } from '../dataplane/config.ts';
import { must, SYS, sys } from '../native/sys.ts';
import { UserError } from './errors.ts';
import type { Instance } from './instances.ts';

const MFD_CLOEXEC_ALLOW_SEALING = 3;
const F_ADD_SEALS = 1033;
const F_SEAL_SEAL_SHRINK_GROW = 7;

export function makeStatistics(threads: number): number {
  const name = Buffer.from('ix-statistics\0');
  const what = 'memfd_create(statistics)';
  const fd = must(sys.syscall(SYS.memfd_create, name, MFD_CLOEXEC_ALLOW_SEALING), what);
  must(sys.syscall(SYS.ftruncate, fd, STATISTICS_BYTES * threads), 'ftruncate(statistics)');
  must(sys.syscall(SYS.fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL_SHRINK_GROW), 'fcntl(F_ADD_SEALS)');
  return fd;
}

/** Counters by name, summed over the threads. */
export function readStatistics(instance: Instance): Record<string, number> {
  const path = `/proc/${instance.control.pid}/fd/${instance.statisticsFd}`;
  const bytes = Buffer.alloc(STATISTICS_BYTES * instance.threads);
  try {
    const fd = openSync(path, 'r');
    readSync(fd, bytes, 0, bytes.length, 0);
    closeSync(fd);
  } catch {
    throw new UserError(
      'IX_STATISTICS',
      `the counters of ix pid ${instance.control.pid} cannot be read`,
      'run as the user who started it, or: sudo bin/ix stat',
    );
  }
  const sums = instance.counters.map((name, index): [string, number] => {
    let sum = 0;
    for (let thread = 0; thread < instance.threads; thread++) {
      sum += bytes.readDoubleLE(thread * STATISTICS_BYTES + index * 8);
    }
    return [name, sum];
  });
  return Object.fromEntries(sums);
}

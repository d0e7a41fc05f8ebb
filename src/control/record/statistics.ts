/**
 * The statistics segment: a memfd that the dataplane maps over its counters and everybody else
 * reads.
 *
 * - Made by the control plane, sealed so that it keeps its size; one page-aligned block of float64
 *   cells a thread: counters, and latencies of batches (src/latency.ts).
 * - Readers open it through /proc/<pid>/fd of the control plane, of an orphan through its
 *   dataplane's: they need the same user (or root), and no cooperation.
 */
import { closeSync, constants, openSync, readSync, statSync, writeSync } from 'node:fs';
import { STATISTICS_BYTES } from '../../child/config.ts';
import { COUNTER, type CounterName, GAUGES } from '../../counters.ts';
import { UserError } from '../../errors.ts';
import { LATENCY_CELLS, LatencyCells } from '../../latency.ts';
import { isAlive, isProcess, type ProcessName } from '../../native/process.ts';
import { must, SYS, sys } from '../../native/sys.ts';
import { type Instance, usersOf } from './instances.ts';

/** Of a thread, before records said it. */
const OLD_BYTES = 4096;
const MFD_CLOEXEC_ALLOW_SEALING = 3;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SHRINK = 2;
const F_SEAL_SEAL_SHRINK_GROW = 7;

export function makeStatistics(threads: number): number {
  const name = Buffer.from('ix-statistics\0');
  const what = 'memfd_create(statistics)';
  const fd = must(sys.syscall(SYS.memfd_create, name, MFD_CLOEXEC_ALLOW_SEALING), what);
  must(sys.syscall(SYS.ftruncate, fd, STATISTICS_BYTES * threads), 'ftruncate(statistics)');
  must(sys.syscall(SYS.fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL_SHRINK_GROW), 'fcntl(F_ADD_SEALS)');
  return fd;
}

/** Which process has it, and under which number. */
function whereIs(instance: Instance): { process: ProcessName; fd: number } {
  const { control, dataplane, estate, statisticsFd } = instance;
  if (isAlive(control) || !dataplane || !estate) return { process: control, fd: statisticsFd };
  return { process: dataplane, fd: estate.statistics.fd };
}

/** The segment, as it can be opened. */
export function statisticsPath(instance: Instance): string {
  const { process, fd } = whereIs(instance);
  return `/proc/${process.pid}/fd/${fd}`;
}

/**
 * What is behind that number may be anything. Nothing that opening would wait for is opened; only
 * memory that nobody can make smaller is read; and the process was who it should be when we had
 * opened it, so that it was before.
 */
function openStatistics(instance: Instance): number {
  const { process } = whereIs(instance);
  const path = statisticsPath(instance);
  if (!statSync(path).isFile()) throw new Error('no file');
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const seals = sys.syscall(SYS.fcntl, fd, F_GET_SEALS);
  if (seals >= 0 && (seals & F_SEAL_SHRINK) !== 0 && isProcess(process, usersOf(instance), true)) {
    return fd;
  }
  closeSync(fd);
  throw new Error('not ours');
}

/**
 * The counters of a dataplane that has ended go on in the next one. What counts pairs must be even
 * first: its application is no longer away from anything (control/children/application-watch.ts).
 * What it had at the end is gone.
 */
export function settleStatistics({ statisticsFd, threads }: Instance): void {
  const cell = new Float64Array(1);
  for (let thread = 0; thread < threads; thread++) {
    const base = thread * STATISTICS_BYTES;
    readSync(statisticsFd, cell, 0, 8, base + COUNTER.applicationLate * 8);
    writeSync(statisticsFd, cell, 0, 8, base + COUNTER.applicationBack * 8);
    cell[0] = 0;
    for (const gauge of GAUGES) {
      writeSync(statisticsFd, cell, 0, 8, base + COUNTER[gauge as CounterName] * 8);
    }
  }
}

/** Counters by name, summed over the threads. */
export function readStatistics(instance: Instance): Record<string, number> {
  const threads = readThreads(instance).map(({ counts }) => counts);
  const sumOf = (name: string): number => threads.reduce((sum, each) => sum + each[name]!, 0);
  return Object.fromEntries(instance.counters.map((name) => [name, sumOf(name)]));
}

/** What one thread has counted. */
export interface ThreadStatistics {
  /** By name. */
  readonly counts: Record<string, number>;
  /** Of its batches; empty where another version has other buckets. */
  readonly latency: LatencyCells;
}

/** One a thread. */
export function readThreads(instance: Instance): ThreadStatistics[] {
  const { counters, segment, threads } = instance;
  const threadBytes = segment?.bytes ?? OLD_BYTES;
  const bytes = Buffer.alloc(threadBytes * threads);
  try {
    const fd = openStatistics(instance);
    readSync(fd, bytes, 0, bytes.length, 0);
    closeSync(fd);
  } catch {
    throw new UserError(
      'IX_STATISTICS',
      `the counters of ix pid ${instance.control.pid} cannot be read`,
      'run as the user who started it, or: sudo bin/ix stat',
    );
  }
  return Array.from({ length: threads }, (_, thread) => {
    const first = thread * threadBytes;
    const cell = (index: number): number =>
      index * 8 + 8 > threadBytes ? 0 : bytes.readDoubleLE(first + index * 8);
    const counts = Object.fromEntries(counters.map((name, index) => [name, cell(index)]));
    const cells = segment?.cells === LATENCY_CELLS ? LATENCY_CELLS : 0;
    const latency = Array.from({ length: cells }, (_, i) => cell(segment!.latency + i));
    return { counts, latency: new LatencyCells(latency) };
  });
}

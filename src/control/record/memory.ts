/**
 * The memory of a dataplane that runs, read from outside: nothing in it is changed, and it is
 * neither stopped nor asked.
 *
 * - Who may: whom the kernel lets trace it (CAP_SYS_PTRACE; a dataplane is not dumpable), as for
 *   adopting one. No address of it is written down: its counters are found in /proc/PID/maps, as
 *   the mapping of the statistics segment, and all else by its distance from them.
 * - What is read is what the dataplane has there, which may be anything.
 *
 * Called by flows.ts. Read first: man 5 proc_pid_mem, proc_pid_maps.
 */
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { STATISTICS_BYTES } from '../../child/config.ts';
import { UserError } from '../../errors.ts';
import { isProcess, type ProcessName } from '../../native/process.ts';
import { printable } from '../../printable.ts';
import { type Instance, usersOf } from './instances.ts';
import { statisticsPath } from './statistics.ts';

/** start, offset in the file, inode */
const MAPPING = /^([0-9a-f]+)-[0-9a-f]+ \S+ ([0-9a-f]+) \S+ (\d+)/;

/** Where the counters of each thread are, by /proc/PID/maps. */
export function findCounters(maps: string, inode: number, threads: number): number[] {
  const found = new Map<number, number>();
  for (const line of maps.split('\n')) {
    const [, start = '', offset = '', file] = MAPPING.exec(line) ?? [];
    if (Number(file) !== inode) continue;
    found.set(Number.parseInt(offset, 16) / STATISTICS_BYTES, Number.parseInt(start, 16));
  }
  return Array.from({ length: threads }, (_, thread) => found.get(thread) ?? 0);
}

export class DataplaneMemory {
  readonly #fd: number;
  readonly #counters: readonly number[];
  readonly #name: string;

  /** Throws UserError: not ours to read, or gone. */
  constructor(instance: Instance) {
    this.#name = `${printable(instance.app)} at ${instance.address}`;
    const { dataplane, threads } = instance;
    if (!dataplane) throw this.#gone();
    const [fd, maps, inode] = this.#open(instance, dataplane);
    this.#fd = fd;
    this.#counters = findCounters(maps, inode, threads);
    // What was opened before was this process's if it still is who it was.
    if (isProcess(dataplane, usersOf(instance), true) && !this.#counters.includes(0)) return;
    this.close();
    throw this.#gone();
  }

  #open(instance: Instance, { pid }: ProcessName): [fd: number, maps: string, inode: number] {
    let fd = -1;
    try {
      fd = openSync(`/proc/${pid}/mem`, 'r');
      const maps = readFileSync(`/proc/${pid}/maps`, 'latin1');
      return [fd, maps, statSync(statisticsPath(instance)).ino];
    } catch (error) {
      if (fd >= 0) closeSync(fd);
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EACCES' && code !== 'EPERM') throw this.#gone();
      const problem = `the memory of ${this.#name} is not ours to read (no CAP_SYS_PTRACE)`;
      throw new UserError('IX_MEMORY', problem, 'run as root, or: sudo bin/ix flows');
    }
  }

  #gone(): UserError {
    return new UserError('IX_NOTHING_RUNS', `${this.#name} does not serve now`, 'try again');
  }

  /** Fills `into` from `from` bytes behind the counters of a thread; throws UserError. */
  read(thread: number, from: number, into: Int32Array): void {
    let count = 0;
    try {
      count = readSync(this.#fd, into, 0, into.byteLength, this.#counters[thread]! + from);
    } catch {
      // nothing is mapped there (any more)
    }
    if (count !== into.byteLength) throw this.#gone();
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * Memory that may only be read, and the descriptors behind it: written, remapped, reopened,
 * resized, unsealed.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { type CallName, callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { CALL, EVENT } from '../../../src/gate/abi.ts';
import { sys } from '../../../src/native/sys.ts';
import { type Case, distinct, INT_MAX, open, sleep } from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';

const EPERM = -1;
const EACCES = -13;
const EFAULT = -14;
const EINVAL = -22;
const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_SHARED_VALIDATE = 3;
const MREMAP_MAYMOVE = 1;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const PUNCH_HOLE = 3; // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
const PAGE = 4096;
/** What descriptors may be of. */
const HARMLESS = /^(socket:|pipe:|anon_inode:\[event|\/dev\/(null|zero)|\/memfd:ix |\/proc\/1\/fd)/;

type Argument = number | bigint | Uint8Array;
const call = (name: CallName, ...args: Argument[]): number =>
  sys.syscall(callNumber(name), ...args);

/** The parts that may only be read, with their descriptors. */
const readOnly = ({ layout, shared }: HostileGate) => [
  { ...layout.receivePool, fd: shared.receivePool },
  { ...layout.events, fd: shared.events },
];
const memfds = ({ shared }: HostileGate): number[] => [
  shared.receivePool,
  shared.events,
  shared.calls,
  shared.memory,
];
const page = (gate: HostileGate, offset: number): Uint8Array =>
  new Uint8Array(gate.u8.buffer, offset, PAGE);

/** Opens a descriptor anew, by its name. */
function reopened<T>(fd: number, flags: string, work: (again: number) => T): T | string {
  let again: number;
  try {
    again = openSync(`/proc/self/fd/${fd}`, flags);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
  try {
    return work(again);
  } finally {
    closeSync(again);
  }
}

/** errno of a mapping, or 0. */
function mapping(fd: number, protection: number, flags: number): number {
  const result = sys.map(PAGE, protection, flags, fd, 0);
  return typeof result === 'number' ? result : 0;
}

const SEGV = { cause: 'signal', signal: 'SIGSEGV' } as const;

export const cases: Case[] = [
  {
    name: 'receivePool_written_segmentationFault',
    run: (gate) => {
      gate.u8[gate.layout.receivePool.offset + 300] = 1;
    },
    ends: SEGV,
  },
  {
    name: 'lastByteOfReceivePool_writtenByAtomic_segmentationFault',
    run: ({ i32, layout: { receivePool } }) =>
      Atomics.add(i32, (receivePool.offset + receivePool.bytes - 4) >> 2, 1),
    ends: SEGV,
  },
  {
    name: 'eventArray_written_segmentationFault',
    run: (gate) => {
      gate.i32[gate.eventHeader] = 512;
    },
    ends: SEGV,
  },
  {
    name: 'readOnlyMemory_unmappedByItself_segmentationFault',
    run: (gate) => {
      const { events } = gate.layout;
      call('munmap', page(gate, events.offset), events.bytes);
      return gate.i32[gate.eventHeader];
    },
    ends: SEGV,
  },
  {
    name: 'readOnlyMemory_filledByTheKernel_isFault',
    run: (gate) => {
      const zero = openSync('/dev/zero', 'r');
      const read = ({ offset }: { offset: number }) => call('read', zero, page(gate, offset), 64);
      return distinct([
        ...readOnly(gate).map(read),
        call('getrandom', page(gate, gate.layout.events.offset), 64, 0),
      ]);
    },
    expects: [EFAULT],
  },
  {
    name: 'readOnlyMemory_protectedAnew_isRefused',
    run: (gate) =>
      distinct(
        readOnly(gate).flatMap(({ offset }) => [
          call('mprotect', page(gate, offset), PAGE, PROT_READ | PROT_WRITE),
          call('pkey_mprotect', page(gate, offset), PAGE, PROT_WRITE, -1),
          call('mprotect', page(gate, offset), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC),
        ]),
      ),
    expects: [EACCES],
  },
  {
    name: 'readOnlyMemory_mappedAnewToWrite_isRefused',
    run: (gate) =>
      distinct(
        readOnly(gate).flatMap(({ fd }) =>
          [MAP_SHARED, MAP_SHARED_VALIDATE].flatMap((flags) => [
            mapping(fd, PROT_WRITE, flags),
            mapping(fd, PROT_READ | PROT_WRITE, flags),
          ]),
        ),
      ),
    expects: [EPERM],
  },
  {
    name: 'readOnlyMemory_moved_staysReadOnly',
    run: (gate) =>
      distinct(
        readOnly(gate).map(({ fd }) => {
          const copy = sys.map(PAGE, PROT_READ, MAP_SHARED, fd, 0) as ArrayBuffer;
          const bytes = new Uint8Array(copy);
          // a second mapping of the same
          const moved = call('mremap', bytes, 0, PAGE, MREMAP_MAYMOVE);
          return moved > 0 ? call('mprotect', BigInt(moved), PAGE, PROT_READ | PROT_WRITE) : moved;
        }),
      ),
    expects: [EACCES],
  },
  {
    name: 'readOnlyMemory_mappedPrivately_isACopy',
    run: (gate) => {
      const { fd } = readOnly(gate)[1]!;
      const copy = sys.map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) as ArrayBuffer;
      new Uint8Array(copy).fill(0xff);
      return gate.call(CALL.timer, 1, 1) > 0 && gate.i32[gate.eventHeader]! < 512;
    },
    expects: true,
  },
  {
    name: 'readOnlyMemory_writtenThroughItsDescriptor_isRefused',
    run: (gate) => {
      const bytes = new Uint8Array(64);
      const zero = openSync('/dev/zero', 'r');
      const iovec = new Uint8Array(BigUint64Array.of(sys.address(bytes), 64n).buffer);
      return distinct(
        readOnly(gate).flatMap(({ fd }) => [
          ...[call('write', fd, bytes, 64), call('pwrite64', fd, bytes, 64, 0)],
          ...[call('writev', fd, iovec, 1), call('pwritev', fd, iovec, 1, 0, 0)],
          ...[call('sendfile', fd, gate.shared.memory, 0, 64)],
          ...[call('copy_file_range', zero, 0, fd, 0, 64, 0)],
        ]),
        // sendfile and copy_file_range from what they cannot read
      ).filter((result) => result !== EINVAL);
    },
    expects: [EPERM],
  },
  {
    name: 'readOnlyMemory_reopenedByItsName_isRefused',
    run: (gate) =>
      readOnly(gate).map(({ fd }) =>
        reopened(fd, 'r+', (again) => [
          mapping(again, PROT_READ | PROT_WRITE, MAP_SHARED),
          call('write', again, new Uint8Array(8), 8),
        ]),
      ),
    expects: [
      [EPERM, EPERM],
      [EPERM, EPERM],
    ],
  },
  {
    name: 'sharedMemory_resized_isRefused',
    run: (gate) =>
      distinct(
        memfds(gate).flatMap((fd) => [
          ...[0, PAGE, INT_MAX].map((size) => call('ftruncate', fd, size)),
          call('fallocate', fd, 0, INT_MAX, PAGE),
          Number(reopened(fd, 'r+', (again) => call('ftruncate', again, 0))),
        ]),
      ),
    expects: [EPERM],
  },
  {
    name: 'sharedMemory_truncatedByName_isRefused',
    run: (gate) => memfds(gate).map((fd) => reopened(fd, 'w', () => 'truncated')),
    expects: Array(4).fill('EPERM'),
  },
  {
    name: 'seals_addedOrTakenOff_areRefused',
    run: (gate) => [
      distinct(
        memfds(gate).flatMap((fd) =>
          [0, 8, 1, 31].map((seals) => call('fcntl', fd, F_ADD_SEALS, seals)),
        ),
      ),
      memfds(gate).map((fd) => call('fcntl', fd, F_GET_SEALS) & 0xf7),
    ],
    expects: [[EPERM], [23, 23, 7, 7]],
  },
  {
    name: 'readOnlyMemory_holesPunched_isRefused',
    run: (gate) =>
      distinct(
        readOnly(gate).flatMap(({ fd, offset }) => [
          call('fallocate', fd, PUNCH_HOLE, 0, PAGE),
          call('madvise', page(gate, offset), PAGE, 9), // MADV_REMOVE
        ]),
      ),
    expects: [EACCES, EPERM],
  },
  {
    name: 'readOnlyMemory_removedByAdvice_isRefused',
    run: (gate) =>
      // MADV_REMOVE
      distinct(readOnly(gate).map(({ offset }) => call('madvise', page(gate, offset), PAGE, 9))),
    expects: [EACCES],
  },
  {
    name: 'ownMemory_holesPunchedWhileItIsSent_hurtsItselfOnly',
    run: (gate, given) => {
      const flow = open(gate, given);
      const { offset, bytes } = gate.layout.memory;
      const end = performance.now() + 150;
      let sent = 0;
      while (performance.now() < end) {
        sent += Math.max(0, gate.call(CALL.sendv, flow, 1, offset, 4096));
        call('fallocate', gate.shared.memory, PUNCH_HOLE, 0, bytes - 2 ** 21);
        call('fallocate', gate.shared.calls, PUNCH_HOLE, PAGE, PAGE);
      }
      return sent > 0;
    },
    expects: true,
  },
  {
    name: 'sharedMemory_lockedOrWatched_isRefused',
    run: (gate) => {
      const bytes = page(gate, gate.layout.memory.offset);
      return distinct([
        ...[call('mlock', bytes, PAGE), call('mlockall', 1), call('userfaultfd', 0)],
        ...[call('mbind', bytes, PAGE, 0, 0, 0, 0), call('remap_file_pages', bytes, PAGE, 0, 1, 0)],
        ...[call('process_madvise', 3, 0, 0, 0, 0), call('membarrier', 0, 0)],
      ]);
    },
    expects: [EPERM],
  },
  {
    name: 'sharedMemory_poisoned_isRefused',
    run: (gate) =>
      // MADV_HWPOISON and MADV_SOFT_OFFLINE: pages that the kernel takes from everybody.
      // EINVAL where the kernel has neither.
      [100, 101].map((advice) =>
        call('madvise', page(gate, gate.layout.memory.offset), PAGE, advice),
      ),
    check: (results: number[]) => assert.ok(results.every((r) => r === EPERM || r === EINVAL)),
  },
  {
    name: 'newMemory_toStandInForTheShared_isItsOwn',
    run: (gate) => {
      // Its own view of the call array becomes anonymous memory: the dataplane sees no calls, and
      // goes on.
      const { calls } = gate.layout;
      gate.hold();
      const flags = MAP_PRIVATE | 0x20; // MAP_ANONYMOUS
      sys.mapAt(calls.offset, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
      gate.ring();
      sleep(50);
      const back = sys.mapAt(
        calls.offset,
        calls.bytes,
        PROT_READ | PROT_WRITE,
        MAP_SHARED,
        gate.shared.calls,
        0,
      );
      gate.give();
      return back;
    },
    expects: 0,
  },
  {
    name: 'descriptors_thatItHas_areThoseItWasGiven',
    run: () =>
      readdirSync('/proc/self/fd')
        .map((fd) => {
          try {
            return readlinkSync(`/proc/self/fd/${fd}`);
          } catch {
            return '/dev/null'; // of the directory itself
          }
        })
        .filter((name) => !HARMLESS.test(name)),
    expects: [],
  },
  {
    name: 'descriptors_exhausted_hurtsItselfOnly',
    run: (gate) => {
      const all: number[] = [];
      let result = 0;
      while (result >= 0 && all.length < 5000)
        if ((result = call('dup', gate.shared.bell)) >= 0) all.push(result);
      for (const fd of all) closeSync(fd);
      return [result, all.length < 1024];
    },
    expects: [-24, true],
  },
  {
    name: 'handedBackBytes_readForEver_areStillReadOnly',
    run: (gate, { flow }) => {
      // What others sent before may be read in the pool (it is this application's own pool); it
      // cannot be held.
      const { offset } = gate.layout.receivePool;
      return [
        gate.u8.slice(offset, offset + PAGE).length,
        gate.call(CALL.recv_done, flow, 1),
        gate.until(EVENT.recv, 0, 1) ?? 0,
      ];
    },
    expects: [PAGE, -8, 0],
  },
];

/**
 * The application's side of an elastic thread when the application is another process: shared
 * memory under the four segments it may see, and two pipes.
 *
 * - The control plane makes the descriptors (`SharedDescriptors`) and hands them to both processes.
 *   This side gives the memfds their size and maps them; afterwards the control plane seals them,
 *   so that nobody can map the receive pool or the event array writable any more
 *   (F_SEAL_FUTURE_WRITE).
 */
import type { Arena, Segment } from '../arena/arena.ts';
import type { Placement, SharedDescriptors } from '../child/config.ts';
import { must, PROT_READ, PROT_WRITE, SYS, sys } from '../native/sys.ts';
import type { Side, SideParts } from './domain.ts';
import { ProcessDomain } from './process.ts';

/** Puts the memfd of its name under a segment: for `openThread`'s `back`. */
export function backWith(shared: SharedDescriptors): (segment: Segment, arena: Arena) => void {
  return (segment, arena) => {
    const { name, bytes } = segment;
    const fd = shared[name as keyof SharedDescriptors];
    must(sys.syscall(SYS.ftruncate, fd, bytes), `ftruncate of ${name}`);
    arena.mapShared(segment, fd, PROT_READ | PROT_WRITE);
  };
}

/** Bytes of rings that one look takes: an application may have rung often. */
const RINGS_MAX = 4096;

export function openProcessSide(
  parts: SideParts,
  shared: SharedDescriptors,
  placement: Placement = 'same-core',
): Side {
  const { arena, layout } = parts;
  const rung = new Uint8Array(RINGS_MAX);
  const domain = new ProcessDomain({
    arena,
    eventArray: layout.events.offset,
    callArray: layout.calls.offset,
    wakeFd: shared.wake,
    placement,
  });
  return {
    domain,
    leave: () => domain.leave(),
    doorbell: {
      fd: shared.bell,
      drain: () => void sys.syscall(SYS.read, shared.bell, rung, RINGS_MAX),
    },
  };
}

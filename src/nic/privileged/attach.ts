/**
 * The privileged half of AF_XDP: the XDP program on an interface, and the map of its sockets.
 *
 * - `attachXdp` needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF in the namespace that owns the
 *   interface; what it hands out (`openSocket`: a descriptor) needs no privilege to use:
 *   nic/afxdp.ts is given it, here or in another process.
 * - Order: attachXdp -> openSocket -> new AfXdp(...) (registers memory, binds) -> enable(queue,
 *   socket). A socket can enter the map only when it has its rings, so `enable` comes last; until
 *   then frames go to the kernel.
 * - Native mode where the driver has it, else generic mode on every driver: `mode` and `fallback`
 *   say which and why. A mode that is asked for is that or a NicError.
 * - The program is there as long as anybody has `linkFd` open (BPF link): until `detach`, or the
 *   death of the last process that was given it, however it dies.
 * - A queue is busy as long as one copy of its socket is open: who hands one on closes its own.
 *
 * Called by the control plane. Read first: Documentation/networking/af_xdp.rst.
 */
import { AF_XDP, EBUSY, SOCK_NONBLOCK, SOCK_RAW_CLOEXEC, SYS, sys } from '../../native/sys.ts';
import type { XdpMode } from '../drivers.ts';
import { ATTACH_MEANINGS, errnoText, granted, MEANINGS, NIC_REFUSED, NicError } from '../errors.ts';
import {
  createMap,
  deleteFromMap,
  linkXdp,
  loadProgram,
  MAP_TYPE_XSKMAP,
  PROGRAM,
  updateMap,
  XDP_MODE,
} from './bpf.ts';
import { type Interface, readInterface } from './interface.ts';
import { assembleXdpProgram, type OurAddresses } from './xdp-program.ts';

/** Entries of the map of sockets: as many queues as a dataplane may have threads. */
const QUEUES_MAX = 64;

export interface AttachOptions extends OurAddresses {
  ifname: string;
  /** Asks for one mode only; both are tried otherwise. */
  mode?: XdpMode;
  /** Why `mode` is generic. */
  why?: string;
  /**
   * What else the kernel says when it has refused a program on an interface, in one of XDP_MODE.
   */
  explain?: (programFd: number, ifindex: number, mode: number) => string;
}

export class Attachment {
  readonly interface: Interface;
  readonly mode: XdpMode;
  /** Why it is not native mode; empty if it is. */
  readonly fallback: string;
  /** Whoever has both of these can go on with it: another control plane. */
  readonly mapFd: number;
  #linkFd: number;

  constructor(found: Interface, mode: XdpMode, fallback: string, mapFd: number, linkFd: number) {
    this.interface = found;
    this.mode = mode;
    this.fallback = fallback;
    this.mapFd = mapFd;
    this.#linkFd = linkFd;
  }

  get linkFd(): number {
    return this.#linkFd;
  }

  /**
   * An AF_XDP socket for one queue; it does not block, since its doorbell is a write(2). The
   * descriptor is the caller's: AfXdp closes it.
   */
  openSocket(): number {
    const type = SOCK_RAW_CLOEXEC | SOCK_NONBLOCK;
    return granted(sys.syscall(SYS.socket, AF_XDP, type, 0), 'AF_XDP socket');
  }

  /** From now on frames of this queue go to the socket, which has its rings. */
  enable(queue: number, socketFd: number): void {
    updateMap(this.mapFd, queue, socketFd);
  }

  /** Frames of this queue go to the kernel again. */
  disable(queue: number): boolean {
    return deleteFromMap(this.mapFd, queue);
  }

  detach(): void {
    if (this.#linkFd < 0) return;
    sys.syscall(SYS.close, this.#linkFd);
    sys.syscall(SYS.close, this.mapFd);
    this.#linkFd = -1;
  }
}

/** Attaches the program; throws a NicError that names the remedy. */
export function attachXdp(options: AttachOptions): Attachment {
  const found = readInterface(options.ifname);
  if (!found.up) {
    const remedy = `the interface is down; \`ip link set ${found.name} up\``;
    throw new NicError(NIC_REFUSED.interfaceDown, `interface ${found.name}`, 0, remedy);
  }
  const mapFd = createMap(MAP_TYPE_XSKMAP, QUEUES_MAX, 'ix_sockets');
  try {
    const programFd = loadProgram(PROGRAM.xdp, assembleXdpProgram(options, mapFd), 'ix');
    try {
      return link(options, found, programFd, mapFd);
    } finally {
      sys.syscall(SYS.close, programFd); // the link holds it
    }
  } catch (error) {
    sys.syscall(SYS.close, mapFd);
    throw error;
  }
}

function link(options: AttachOptions, found: Interface, program: number, map: number): Attachment {
  const { mode, why = '', explain = () => '' } = options;
  const what = `attaching to ${found.name}`;
  let fallback = why;
  if (mode !== 'generic') {
    const result = linkXdp(program, found.index, XDP_MODE.native);
    if (result >= 0) return new Attachment(found, 'native', '', map, result);
    // EBUSY is another owner, not a driver without XDP: generic mode would only hide it.
    if (result === -EBUSY) granted(result, what, ATTACH_MEANINGS);
    const words = explain(program, found.index, XDP_MODE.native);
    if (mode === 'native') refuse(result, `${what} in native mode`, words);
    const text = errnoText(-result);
    fallback = `native mode refused: ${words === '' ? text : `${words} (${text})`}`;
  }
  const result = linkXdp(program, found.index, XDP_MODE.generic);
  if (result < 0) refuse(result, what, explain(program, found.index, XDP_MODE.generic));
  return new Attachment(found, 'generic', fallback, map, result);
}

/** With what the kernel says of it, where the number has no remedy of its own. */
function refuse(result: number, what: string, words: string): never {
  const hasRemedy = (ATTACH_MEANINGS[-result] ?? MEANINGS[-result]) !== undefined;
  if (hasRemedy || words === '') granted(result, what, ATTACH_MEANINGS);
  throw new NicError(NIC_REFUSED.refused, what, -result, words);
}

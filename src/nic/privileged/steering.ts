/**
 * Frames of a flow go to the queue of the thread that has it: a program at the egress of the host's
 * end of a veth pair, and the map of its flow groups.
 *
 * - The program writes `queue_mapping`: the queue that a frame leaves the host's end by, and so the
 *   one that it arrives on at ours. The number is one more than the queue's, 0 none.
 * - In native mode veth gives a frame of the sender's queue n to the receiver's queue n. Generic
 *   XDP asks the frame, which still has the sender's number in it, and takes it for one of
 *   `queue_mapping`'s kind: n arrives on n - 1, and 0, none, on 0. So there the host's end has a
 *   transmit queue more (`queueBefore`), and native XDP refuses a pair like that.
 * - What has no flow group (flow-group-program.ts) goes to queue 0: its thread tells the others
 *   what concerns them all (nic/around/siblings.ts), and hands on the rest (net/both/owners.ts).
 * - Attached by a BPF link (tcx, Linux 6.6): it is there as long as somebody has `linkFd` open. On
 *   older kernels by netlink (clsact), which `classify` does: it is there as long as the interface.
 *   Either ends with the interface.
 * - The map has the queue of each group and, behind them, the key, which only who has the map's
 *   descriptor may know: so another control plane that is given it can go on (`adoptSteering`).
 * - The program takes nothing from anybody: others at the same hook run behind it.
 *
 * Called by control/link/steering.ts and control/service/holdings.ts. Read first: flow-groups.ts;
 * net/core/dev.c `sch_handle_egress`, `skb_tx_hash`, `netif_get_rxqueue`; drivers/net/veth.c
 * `veth_xmit`, `veth_xdp_set`.
 */
import { randomBytes } from 'node:crypto';
import { SYS, sys } from '../../native/sys.ts';
import type { XdpMode } from '../drivers.ts';
import { granted } from '../errors.ts';
import { FLOW_GROUPS, FLOW_KEY_WORDS, type FlowGroupTable, spreadGroups } from '../flow-groups.ts';
import {
  Assembler,
  createMap,
  FRAME_POINTER,
  linkTcxEgress,
  loadProgram,
  MAP_TYPE_ARRAY,
  PROGRAM,
  readMap,
  register,
  updateMap,
} from './bpf.ts';
import { CONTEXT, emitFlowGroup, GROUP, STACK_USED } from './flow-group-program.ts';

const BPF_MAP_LOOKUP_ELEM = 1;
/** struct __sk_buff */
const CTX_QUEUE_MAPPING = 12;
/** As TC_ACT_UNSPEC: whoever else is there decides. */
const TCX_NEXT = -1;
const MAP_KEY = -STACK_USED - 8;

export const STEERED_BY = ['tcx', 'clsact'] as const;
export type SteeredBy = (typeof STEERED_BY)[number];
/** Who brings a flow's frames to its thread: a program of ours, a NIC, the threads themselves. */
export const SPREAD_BY = [...STEERED_BY, 'rss', 'threads'] as const;
export type SpreadBy = (typeof SPREAD_BY)[number];

/** Transmit queues of the host's end before the one whose frames arrive on queue 0 of ours. */
export const queueBefore = (mode: XdpMode | undefined): number => (mode === 'generic' ? 1 : 0);

export interface SteeringOptions {
  /** The host's end. */
  ifname: string;
  ifindex: number;
  /** Queues of the other end, a thread each. */
  threads: number;
  /** Of the XDP program there. */
  mode: XdpMode;
  /** Attaches a program by netlink, or throws. */
  classify(programFd: number, ifindex: number): void;
  /** One way only; absent: the newer one that this kernel has. */
  by?: SteeredBy;
}

export class Steering {
  readonly by: SteeredBy;
  readonly table: FlowGroupTable;
  /** Whoever has these can go on with it: another control plane. */
  readonly mapFd: number;
  /** tcx only. */
  readonly linkFd: number | undefined;
  #isOpen = true;

  constructor(by: SteeredBy, table: FlowGroupTable, mapFd: number, linkFd: number | undefined) {
    this.by = by;
    this.table = table;
    this.mapFd = mapFd;
    this.linkFd = linkFd;
  }

  /** Gives up our part of it: may be called twice. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.linkFd !== undefined) sys.syscall(SYS.close, this.linkFd);
    sys.syscall(SYS.close, this.mapFd);
  }
}

/** The program's code for this key, the map behind `mapFd`, and a link in this mode. */
export function assembleSteering(key: readonly number[], mapFd: number, mode: XdpMode): Uint8Array {
  const first = 1 + queueBefore(mode);
  const program = new Assembler().alu('mov', CONTEXT, register(1));
  return emitFlowGroup(program, key)
    .store(4, FRAME_POINTER, MAP_KEY, register(GROUP))
    .alu('mov', 2, register(FRAME_POINTER))
    .alu('add', 2, MAP_KEY)
    .loadMap(1, mapFd)
    .call(BPF_MAP_LOOKUP_ELEM)
    .jumpIf('eq', 0, 0, 'no group')
    .load(4, 1, 0, 0)
    .alu('add', 1, first)
    .jump('write')
    .label('no group')
    .alu('mov', 1, first)
    .label('write')
    .store(4, CONTEXT, CTX_QUEUE_MAPPING, register(1))
    .alu('mov', 0, TCX_NEXT)
    .exit()
    .assemble();
}

/** Of so many threads, with a key that nobody knows. */
export function drawTable(threads: number): FlowGroupTable {
  const bytes = randomBytes(FLOW_KEY_WORDS * 4);
  const key = Array.from({ length: FLOW_KEY_WORDS }, (_, i) => bytes.readInt32LE(4 * i));
  return { key, threads: spreadGroups(threads) };
}

/** Attaches it with a key of its own; throws what `classify` does, or a NicError. */
export function steerFlows(options: SteeringOptions): Steering {
  const table = drawTable(options.threads);
  const mapFd = createMap(MAP_TYPE_ARRAY, FLOW_GROUPS + FLOW_KEY_WORDS, 'ix_flow_groups');
  try {
    for (const [i, value] of [...table.threads, ...table.key].entries()) updateMap(mapFd, i, value);
    const code = assembleSteering(table.key, mapFd, options.mode);
    const programFd = loadProgram(PROGRAM.classifier, code, 'ix_steer');
    try {
      const linkFd = attach(options, programFd);
      return new Steering(linkFd === undefined ? 'clsact' : 'tcx', table, mapFd, linkFd);
    } finally {
      sys.syscall(SYS.close, programFd); // whatever it is attached by holds it
    }
  } catch (error) {
    sys.syscall(SYS.close, mapFd);
    throw error;
  }
}

/** The link's descriptor; undefined: there is none. */
function attach(options: SteeringOptions, programFd: number): number | undefined {
  const { ifname, ifindex, by, classify } = options;
  if (by !== 'clsact') {
    const linkFd = linkTcxEgress(programFd, ifindex);
    if (linkFd >= 0) return linkFd;
    if (by === 'tcx') granted(linkFd, `attaching to the egress of ${ifname}`);
  }
  classify(programFd, ifindex);
  return undefined;
}

/** That of another control plane, by descriptors that are ours now. */
export function adoptSteering(by: SteeredBy, mapFd: number, linkFd: number | undefined): Steering {
  const entry = (index: number): number => readMap(mapFd, index) | 0;
  const threads = Array.from({ length: FLOW_GROUPS }, (_, group) => entry(group));
  const key = Array.from({ length: FLOW_KEY_WORDS }, (_, i) => entry(FLOW_GROUPS + i));
  return new Steering(by, { key, threads }, mapFd, linkFd);
}

/**
 * The hash of flow-groups.ts in eBPF, for a program that sees the frames of a peer to us, as the
 * kernel has them (`struct __sk_buff`): at the egress of the other end of a link.
 *
 * - The source of a frame is the flow's remote end, its destination ours.
 * - TCP and UDP over IPv4 and IPv6 have a group. Everything else has none: other protocols,
 *   fragments (only the first has ports, and all of them must go one way), extension headers of
 *   IPv6, tags, and what is cut before its ports end.
 * - Headers are read by a helper, since those of a forwarded frame may lie in fragments of the
 *   kernel's buffer. A header that is wrong has some group or none: who receives it counts it.
 * - The key's words are immediates: another key is another program.
 *
 * Called by steering.ts. Read first: flow-groups.ts; bpf-helpers(7) bpf_skb_load_bytes.
 */

import { ETH_PAYLOAD, ETH_TYPE_IPV4, ETH_TYPE_IPV6 } from '../../wire/ethernet.ts';
import {
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER_BYTES,
  IP_MORE_FRAGMENTS,
  IP_OFFSET_MASK,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_VERSION_IHL,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import {
  IP6_DESTINATION,
  IP6_HEADER_BYTES,
  IP6_NEXT_HEADER,
  IP6_PAYLOAD,
  IP6_SOURCE,
} from '../../wire/ipv6.ts';
import { swap16 } from '../byte-order.ts';
import {
  GROUP_SHIFT,
  KEY_ADDED,
  KEY_LOCAL,
  KEY_LOCAL_PORT,
  KEY_REMOTE,
  KEY_REMOTE_PORT,
  MIX_ODDS,
  MIX_SHIFT,
} from '../flow-groups.ts';
import { type Assembler, FRAME_POINTER, register } from './bpf.ts';

const BPF_SKB_LOAD_BYTES = 26;

/** struct __sk_buff: the frame's type, in network order. */
const CTX_PROTOCOL = 16;

/** Registers that keep their values. The program puts its context into CONTEXT first. */
export const CONTEXT = 6;
/** The result. */
export const GROUP = 7;
const SCRATCH = 8;
const TRANSPORT = 9;

/** On the stack: an IP header, and then the ports. */
const HEADER = -40;
/** From here down the stack is the caller's. */
export const STACK_USED = -HEADER;

const PORT_BYTES = 4;
/** An IPv4 address is the last two halves of its mapped one; the half before them is all ones. */
const MAPPED_HALF = 5;
const IPV4_HALF = 6;
const MAPPED = 0xffff;

/** `bytes` of the frame from TRANSPORT on, to HEADER; those that do not have them have no group. */
const loadHeader = (program: Assembler, bytes: number): Assembler =>
  program
    .alu('mov', 1, register(CONTEXT))
    .alu('mov', 2, register(TRANSPORT))
    .alu('mov', 3, register(FRAME_POINTER))
    .alu('add', 3, HEADER)
    .alu('mov', 4, bytes)
    .call(BPF_SKB_LOAD_BYTES)
    .jumpIf('ne', 0, 0, 'no group');

/** The sum grows by the half at `field` of the header times a word. */
const addHalf = (program: Assembler, field: number, word: number): Assembler =>
  program
    .load(2, SCRATCH, FRAME_POINTER, HEADER + field)
    .alu('mul', SCRATCH, word)
    .alu('add', GROUP, register(SCRATCH));

function addHalves(
  program: Assembler,
  field: number,
  key: readonly number[],
  first: number,
  last: number,
): void {
  for (let word = first; word <= last; word++) {
    addHalf(program, field + 2 * (word - first), key[word]!);
  }
}

/** Falls through to what is done for TCP and UDP. */
const onlyWithPorts = (program: Assembler, field: number, label: string): Assembler =>
  program
    .load(1, SCRATCH, FRAME_POINTER, HEADER + field)
    .jumpIf32('eq', SCRATCH, PROTOCOL_TCP, label)
    .jumpIf32('ne', SCRATCH, PROTOCOL_UDP, 'no group')
    .label(label);

function ipv4(program: Assembler, key: readonly number[]): void {
  const isFragment = swap16(IP_MORE_FRAGMENTS | IP_OFFSET_MASK);
  program.label('ipv4').alu('mov', TRANSPORT, ETH_PAYLOAD);
  loadHeader(program, IP_HEADER_BYTES)
    .load(2, SCRATCH, FRAME_POINTER, HEADER + IP_FRAGMENT)
    .jumpIf32('set', SCRATCH, isFragment, 'no group');
  const mapped = key[KEY_REMOTE + MAPPED_HALF]! + key[KEY_LOCAL + MAPPED_HALF]!;
  onlyWithPorts(program, IP_PROTOCOL, 'ipv4 with ports').alu(
    'mov',
    GROUP,
    (key[KEY_ADDED]! + Math.imul(mapped, MAPPED)) | 0,
  );
  addHalves(program, IP_SOURCE, key, KEY_REMOTE + IPV4_HALF, KEY_LOCAL - 1);
  addHalves(program, IP_DESTINATION, key, KEY_LOCAL + IPV4_HALF, KEY_REMOTE_PORT - 1);
  program
    .load(1, SCRATCH, FRAME_POINTER, HEADER + IP_VERSION_IHL)
    .alu('and', SCRATCH, 15)
    .alu('shl', SCRATCH, 2)
    .alu('add', TRANSPORT, register(SCRATCH))
    .jump('ports');
}

function ipv6(program: Assembler, key: readonly number[]): void {
  program.label('ipv6').alu('mov', TRANSPORT, ETH_PAYLOAD);
  loadHeader(program, IP6_HEADER_BYTES);
  onlyWithPorts(program, IP6_NEXT_HEADER, 'ipv6 with ports').alu('mov', GROUP, key[KEY_ADDED]!);
  addHalves(program, IP6_SOURCE, key, KEY_REMOTE, KEY_LOCAL - 1);
  addHalves(program, IP6_DESTINATION, key, KEY_LOCAL, KEY_REMOTE_PORT - 1);
  program.alu('mov', TRANSPORT, IP6_PAYLOAD);
}

function mix(program: Assembler): void {
  for (const odd of MIX_ODDS) {
    program
      .alu32('mov', SCRATCH, register(GROUP))
      .alu32('shr', SCRATCH, MIX_SHIFT)
      .alu32('xor', GROUP, register(SCRATCH))
      .alu32('mul', GROUP, odd);
  }
  program.alu32('shr', GROUP, GROUP_SHIFT);
}

/**
 * Code that leaves the frame's group in GROUP and falls through, or jumps to the label 'no group'.
 * CONTEXT is set before.
 */
export function emitFlowGroup(program: Assembler, key: readonly number[]): Assembler {
  program
    .load(4, SCRATCH, CONTEXT, CTX_PROTOCOL)
    .jumpIf32('eq', SCRATCH, swap16(ETH_TYPE_IPV4), 'ipv4')
    .jumpIf32('ne', SCRATCH, swap16(ETH_TYPE_IPV6), 'no group');
  ipv6(program, key);
  program.jump('ports');
  ipv4(program, key);
  loadHeader(program.label('ports'), PORT_BYTES);
  addHalves(program, 0, key, KEY_REMOTE_PORT, KEY_LOCAL_PORT);
  mix(program);
  return program;
}

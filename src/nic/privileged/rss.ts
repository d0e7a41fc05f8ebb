/**
 * How a NIC spreads frames over its queues (RSS), as its driver says: by ioctl.
 *
 * - `readRss` answers with key and table if they can be computed with: the Toeplitz hash, of both
 *   addresses and both ports, for TCP of both versions. Else with what is in the way, and the
 *   remedy, if there is one.
 * - `datagrams` is what stands in the way for UDP alone: such frames come by another rule, and are
 *   handed on.
 * - The command's answer is read in two calls: how long key and table are, then both.
 *
 * Called by control/link/steering.ts. Read first: include/uapi/linux/ethtool.h, `struct
 * ethtool_rxfh`, `struct ethtool_rxnfc`; ethtool(8) -x, -X, -n rx-flow-hash.
 */
import { Struct } from '../struct.ts';
import { TOEPLITZ_KEY_MIN, type ToeplitzTable } from '../toeplitz.ts';
import { askEthtool } from './interface.ts';

const ETHTOOL_GRXFH = 0x29;
const ETHTOOL_GRSSH = 0x46;
/** struct ethtool_rxfh */
const RXFH_INDIR_SIZE = 8;
const RXFH_KEY_SIZE = 12;
const RXFH_HFUNC = 16;
const RXFH_INPUT_XFRM = 17;
const RXFH_BYTES = 24;
const HFUNC_TOP = 1;
/** More than any NIC has. */
const INDIR_MAX = 4096;
const KEY_MAX = 256;

/** struct ethtool_rxnfc */
const RXNFC_FLOW_TYPE = 4;
const RXNFC_DATA = 8;
const RXNFC_BYTES = 256;
const TCP4 = 1;
const UDP4 = 2;
const TCP6 = 5;
const UDP6 = 6;
/** RXH_IP_SRC, RXH_IP_DST, RXH_L4_B_0_1, RXH_L4_B_2_3 */
const FOUR_TUPLE = 0xf0;

export interface Rss {
  readonly table: ToeplitzTable;
  /** '', or what to say of UDP. */
  readonly datagrams: string;
}

/** Runs one command in place: its structure, as <linux/ethtool.h> has it. Throws if refused. */
export type Ethtool = (structure: Struct) => void;

/** A sentence with the remedy, if there is one, instead of what it is about. */
export const isRefused = (rss: Rss | string): rss is string => typeof rss === 'string';

export function readRss(
  name: string,
  threads: number,
  ethtool: Ethtool = (structure) => askEthtool(name, structure),
): Rss | string {
  const found = readTable(name, ethtool);
  if (typeof found === 'string') return found;
  if (found.threads.some((queue) => queue >= threads)) {
    return `its table names queues above ${threads - 1}; ethtool -X ${name} equal ${threads}`;
  }
  for (const [type, word] of [
    [TCP4, 'tcp4'],
    [TCP6, 'tcp6'],
  ] as const) {
    if (fieldsOf(ethtool, type) === FOUR_TUPLE) continue;
    const remedy = remedyFor(name, word);
    return `it does not hash ${word} by addresses and ports; ${remedy}`;
  }
  const odd = (
    [
      [UDP4, 'udp4'],
      [UDP6, 'udp6'],
    ] as const
  ).filter(([type]) => fieldsOf(ethtool, type) !== FOUR_TUPLE);
  const remedies = odd.map(([, word]) => remedyFor(name, word));
  return { table: found, datagrams: remedies.join('; ') };
}

const remedyFor = (name: string, word: string): string =>
  `ethtool -N ${name} rx-flow-hash ${word} sdfn`;

function readTable(name: string, ethtool: Ethtool): ToeplitzTable | string {
  try {
    const sizes = new Struct(RXFH_BYTES).u32(0, ETHTOOL_GRSSH);
    ethtool(sizes);
    const entries = Math.min(sizes.readU32(RXFH_INDIR_SIZE), INDIR_MAX);
    const keyBytes = Math.min(sizes.readU32(RXFH_KEY_SIZE), KEY_MAX);
    if (entries === 0 || keyBytes === 0) return 'it does not tell its RSS key and table';
    const answer = new Struct(RXFH_BYTES + 4 * entries + keyBytes).u32(0, ETHTOOL_GRSSH);
    ethtool(answer.u32(RXFH_INDIR_SIZE, entries).u32(RXFH_KEY_SIZE, keyBytes));
    const threads = Array.from({ length: entries }, (_, i) => answer.readU32(RXFH_BYTES + 4 * i));
    const toeplitz = [...answer.bytes.subarray(RXFH_BYTES + 4 * entries)];
    return wrongWith(name, answer, entries, keyBytes) ?? { toeplitz, threads };
  } catch {
    return 'it does not tell its RSS key and table';
  }
}

/** undefined: nothing, we can compute it. */
function wrongWith(name: string, answer: Struct, entries: number, keyBytes: number) {
  if (answer.bytes[RXFH_HFUNC] !== HFUNC_TOP) {
    return `its hash is not Toeplitz; ethtool -X ${name} hfunc toeplitz`;
  }
  if (answer.bytes[RXFH_INPUT_XFRM] !== 0) {
    return `its hash is symmetric; ethtool -X ${name} xfrm none`;
  }
  if ((entries & (entries - 1)) !== 0) return `its table has ${entries} entries, no power of two`;
  if (keyBytes < TOEPLITZ_KEY_MIN) return `its key has ${keyBytes} bytes, too few for IPv6`;
  return undefined;
}

/** Bits of what such a packet is hashed by; 0: not said. */
function fieldsOf(ethtool: Ethtool, flowType: number): number {
  const question = new Struct(RXNFC_BYTES).u32(0, ETHTOOL_GRXFH).u32(RXNFC_FLOW_TYPE, flowType);
  try {
    ethtool(question);
    return question.readU64(RXNFC_DATA);
  } catch {
    return 0;
  }
}

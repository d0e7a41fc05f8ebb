/**
 * The way out of a link of our own, beyond the host (`--outbound nat`): the host forwards what the
 * dataplane sends, as from an address of its own. IPv4.
 *
 * - Two things of the host are changed, both said by `serve`: one nftables table, `ip ix`, and,
 *   where it was 0, net.ipv4.ip_forward.
 * - Only what a dataplane begins goes through, from its own address; from outside come answers.
 *   Where the host did not forward before, it goes on not to for everybody else: the chain
 *   `closed` drops that.
 * - All instances of a network namespace share the table, and each has its link and address in its
 *   sets. The last to go takes the table away, and sets ip_forward back if `closed` was there: the
 *   kernel itself has on record what is to be put back, whatever ends us.
 *
 * Called by network.ts, under the lock of starts. Read first: man 8 nft, SETS;
 * Documentation/networking/ip-sysctl.rst, ip_forward.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { InterfaceError } from '../../errors.ts';
import { formatAddress } from './address.ts';

const FORWARD = '/proc/sys/net/ipv4/ip_forward';
const TABLE = 'ip ix';

/** A link of our own, by the name of its host's end, and who is behind it. */
export interface Guest {
  readonly hostName: string;
  /** Dotted. */
  readonly address: string;
}

interface Answer {
  readonly isDone: boolean;
  readonly text: string;
}

function nft(words: readonly string[], input = ''): Answer {
  const { status, stdout, stderr, error } = spawnSync('nft', words, { input, encoding: 'utf8' });
  if (error) return { isDone: false, text: error.message };
  return { isDone: status === 0, text: status === 0 ? stdout : (stderr.split('\n')[0] ?? '') };
}

/** Before anything is made: whether there is what it takes. */
export function requireOutbound(): void {
  const { isDone, text } = nft(['--version']);
  if (isDone) return;
  const remedy = 'install it (apt install nftables), or leave out --outbound nat';
  throw new InterfaceError(`--outbound nat needs the program nft (${text})`, remedy);
}

/** Sets, and chains that are the same for all; adding again what is there changes nothing. */
const BASE = `
add table ${TABLE}
add set ${TABLE} links { type ifname; }
add set ${TABLE} addresses { type ipv4_addr; }
add chain ${TABLE} leaving { type nat hook postrouting priority 100; }
add chain ${TABLE} passing { type filter hook forward priority 0; }
flush chain ${TABLE} leaving
flush chain ${TABLE} passing
add rule ${TABLE} leaving ip saddr @addresses oifname != @links masquerade
add rule ${TABLE} passing iifname @links ip saddr != @addresses drop
add rule ${TABLE} passing oifname @links ct state != { established, related } drop
`;
const CLOSED = `
add chain ${TABLE} closed { type filter hook forward priority 10; }
flush chain ${TABLE} closed
add rule ${TABLE} closed iifname != @links oifname != @links drop
`;

const elements = ({ hostName, address }: Guest): readonly [set: string, element: string][] => [
  ['links', `"${hostName}"`],
  ['addresses', address],
];

/** Opens it, and answers in a line what of the host was changed. */
export function openOutbound(hostName: string, address: number): string {
  const guest: Guest = { hostName, address: formatAddress(address) };
  const wasOff = readFileSync(FORWARD, 'latin1').trim() === '0';
  const ours = elements(guest).map(([set, one]) => `add element ${TABLE} ${set} { ${one} }\n`);
  const { isDone, text } = nft(['-f', '-'], BASE + (wasOff ? CLOSED : '') + ours.join(''));
  if (!isDone) {
    const remedy = 'this kernel may lack nf_tables: leave out --outbound nat';
    throw new InterfaceError(`nft refuses the rules of --outbound nat (${text})`, remedy);
  }
  if (wasOff) writeFileSync(FORWARD, '1\n');
  const rule = `nftables table ${TABLE} masquerades ${guest.address}`;
  return `--outbound nat: ${rule}, ${forwardText(wasOff)}`;
}

function forwardText(wasOff: boolean): string {
  if (!wasOff) return 'net.ipv4.ip_forward was 1 and stays so';
  const others = 'others are still not forwarded';
  return `net.ipv4.ip_forward is 1 now (${others}); both are put back at the end`;
}

interface Listed {
  nftables: { set?: { name: string; elem?: unknown[] }; chain?: { name: string } }[];
}

/** Takes an instance's part away, and with the last one all of it. May be called twice. */
export function closeOutbound(guest: Guest): void {
  for (const [set, one] of elements(guest)) {
    nft(['delete', 'element', ...TABLE.split(' '), set, `{ ${one} }`]);
  }
  const { isDone, text } = nft(['-j', 'list', 'table', ...TABLE.split(' ')]);
  if (!isDone) return; // taken away already
  const { nftables } = JSON.parse(text) as Listed;
  if (nftables.some(({ set }) => set?.name === 'addresses' && (set.elem ?? []).length > 0)) return;
  if (nftables.some(({ chain }) => chain?.name === 'closed')) writeFileSync(FORWARD, '0\n');
  nft(['delete', 'table', ...TABLE.split(' ')]);
}

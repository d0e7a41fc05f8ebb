/**
 * `--connect`: whom an application may speak to first, as people write it: `none`, `any`, or ranges
 * of addresses, '10.0.0.0/8,fd00::/8,192.0.2.7'.
 *
 * Called by options.ts. Enforced by src/net/both/egress.ts.
 */
import { OptionError } from '../../errors.ts';
import type { EgressRange } from '../../net/both/egress.ts';
import { parseIpv4 } from '../../wire/ipv4-text.ts';
import { parseIpv6 } from '../../wire/ipv6-text.ts';

export type Ranges = readonly EgressRange[] | 'any';

const MAPPED_BITS = 96;
const RANGES_MAX = 64;

export function parseRanges(text: string): Ranges {
  if (text === 'any') return 'any';
  if (text === 'none') return [];
  const words = text.split(',');
  if (words.length > RANGES_MAX) {
    throw new OptionError(`--connect takes ${RANGES_MAX} ranges`, 'join some of them');
  }
  return words.map(parseRange);
}

function parseRange(text: string): EgressRange {
  const [address = '', length, ...more] = text.split('/');
  const v4 = parseIpv4(address);
  const v6 = v4 === undefined ? parseIpv6(address) : undefined;
  const bits = v4 === undefined ? 128 : 32;
  const given = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : 129;
  if ((v4 === undefined && v6 === undefined) || more.length > 0 || given > bits) {
    throw new OptionError(
      `--connect: '${text}' is no range of addresses`,
      'it takes none, any, or ranges like 10.0.0.0/8,fd00::/8',
    );
  }
  if (v4 === undefined) return { words: v6!, prefixLength: given };
  return { words: [0, 0, 0xffff, v4], prefixLength: MAPPED_BITS + given };
}

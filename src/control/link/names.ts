/**
 * Where this machine looks names up: its hosts file and its resolver's configuration, for a program
 * that is confined and cannot see either.
 *
 * - What cannot be read, or is not as man 5 says, counts as not there.
 * - A name server on the host's loopback is out of reach of a stack of its own. systemd-resolved,
 *   which is one, writes down whom it asks itself: those are asked instead.
 *
 * Called by control/service/life.ts. Read first: man 5 hosts, man 5 resolv.conf.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Names } from '../../node/resolver.ts';

const HOSTS = '/etc/hosts';
const RESOLV_CONF = '/etc/resolv.conf';
/** man 8 systemd-resolved: "all known uplink DNS servers". */
const RESOLVED = '/run/systemd/resolve/resolv.conf';
/** man 5 resolv.conf, and as many as glibc takes of each. */
const SERVERS_MAX = 3;
const SEARCH_MAX = 6;
const HOSTS_MAX = 2000;
const OPTIONS = {
  ndots: { initial: 1, most: 15 },
  timeout: { initial: 5, most: 30 },
  attempts: { initial: 2, most: 5 },
} as const;

export const namesOfHost = (): Names => ({
  hosts: parseHosts(textOf(HOSTS)),
  ...resolverFrom([RESOLV_CONF, RESOLVED]),
});

/** The first that names a server which is not on our loopback, else the first of all. */
export function resolverFrom(paths: readonly string[]): Omit<Names, 'hosts'> {
  const all = paths.map((path) => parseResolver(textOf(path)));
  return all.find(({ servers }) => !servers.every(isLoopback)) ?? all[0]!;
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.');

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const wordsOf = (text: string, comment: RegExp): string[][] =>
  text
    .split('\n')
    .map((line) => line.replace(comment, '').trim().split(/\s+/))
    .filter(([first]) => first !== '');

/** Name in lower case -> addresses, in the order of the file. */
export function parseHosts(text: string): Names['hosts'] {
  const hosts = new Map<string, string[]>();
  for (const [address = '', ...names] of wordsOf(text, /#.*/)) {
    if (isIP(address) === 0) continue;
    for (const name of names.map((each) => each.toLowerCase())) {
      const known = hosts.get(name);
      if (known) known.push(address);
      else if (hosts.size < HOSTS_MAX) hosts.set(name, [address]);
    }
  }
  return [...hosts].map(([name, addresses]) => ({ name, addresses }));
}

export function parseResolver(text: string): Omit<Names, 'hosts'> {
  const servers: string[] = [];
  let search: string[] = [];
  const given = new Map<string, number>();
  for (const [keyword = '', ...words] of wordsOf(text, /(^|\s)[#;].*/)) {
    const [first = ''] = words;
    if (keyword === 'nameserver' && isIP(first) !== 0) servers.push(first);
    if (keyword === 'search' || keyword === 'domain') search = words;
    if (keyword !== 'options') continue;
    for (const word of words) {
      const [name = '', value = ''] = word.split(':');
      if (/^\d+$/.test(value)) given.set(name, Number(value));
    }
  }
  const option = (name: keyof typeof OPTIONS): number =>
    Math.min(OPTIONS[name].most, given.get(name) ?? OPTIONS[name].initial);
  return {
    servers: (servers.length > 0 ? servers : ['127.0.0.1']).slice(0, SERVERS_MAX),
    search: search.map((each) => each.replace(/\.$/, '')).slice(0, SEARCH_MAX),
    ndots: option('ndots'),
    timeoutMs: Math.max(1, option('timeout')) * 1000,
    attempts: Math.max(1, option('attempts')),
  };
}

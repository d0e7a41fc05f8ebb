/**
 * The host's end of a link that we made: what the host's kernel believes of who is at the other
 * one.
 *
 * - That is a dataplane, which may have been taken over. With the kernel's defaults one router
 *   advertisement of it gives the host a default route and an address: everything the host says
 *   over IPv6 would pass through it.
 * - So: no router advertisements, no addresses made of them, no redirects, no source routes; and
 *   from that side only packets whose source the host itself would reach that way (RFC 3704 2.2;
 *   there is no such setting for IPv6).
 * - Redirects of IPv4 cannot be switched off for one interface while they are on for all
 *   (ip-sysctl.rst, accept_redirects). The kernel takes one only from the gateway in use for that
 *   destination, which a dataplane never is.
 *
 * Called by links.ts before the link is up. Read first: Documentation/networking/ip-sysctl.rst.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Below /proc/sys/net, for each interface. */
export const HOST_END: readonly (readonly [
  family: 'ipv4' | 'ipv6',
  name: string,
  value: string,
])[] = [
  ['ipv6', 'accept_ra', '0'],
  ['ipv6', 'accept_ra_defrtr', '0'],
  ['ipv6', 'autoconf', '0'],
  ['ipv6', 'accept_redirects', '0'],
  ['ipv6', 'accept_source_route', '0'],
  ['ipv4', 'accept_redirects', '0'],
  ['ipv4', 'accept_source_route', '0'],
  ['ipv4', 'rp_filter', '1'],
];

/**
 * -> the settings that could not be made, as 'ipv6/accept_ra'. One that this kernel does not have
 * is none.
 */
export function distrust(ifname: string): string[] {
  return HOST_END.filter(([family, name, value]) => {
    const path = `/proc/sys/net/${family}/conf/${ifname}/${name}`;
    if (!existsSync(path)) return false;
    try {
      writeFileSync(path, value);
      return false;
    } catch {
      return readFileSync(path, 'latin1').trim() !== value;
    }
  }).map(([family, name]) => `${family}/${name}`);
}

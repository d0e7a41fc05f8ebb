/**
 * Whose an address is: an instance may have one that nobody else has, here and now.
 *
 * - Asked under the lock that every start holds, and the record is written under it, too: so of two
 *   starts the second is told of the first.
 * - Somebody is another instance in this network namespace, be it an orphan; this machine; and for
 *   a link of our own every network that the address lies in: the host would find two ways.
 *
 * Called by network.ts. Read first: control/record/instances.ts.
 */
import { AddressInUseError } from '../../errors.ts';
import { isAlive } from '../../native/process.ts';
import { printable } from '../../printable.ts';
import { formatIpv6 } from '../../wire/ipv6-text.ts';
import { holderOf, holders, type Instance } from '../record/instances.ts';
import { formatAddress, hostAddressFor, isWithin } from './address.ts';
import { isSameAddress } from './address6.ts';
import type { HostSide } from './host-side.ts';
import type { Netlink } from './netlink.ts';

/** `isPrivate`: it will be on a link of our own. */
export function refuseTaken(netlink: Netlink, side: HostSide, isPrivate: boolean): void {
  const text = formatAddress(side.address);
  const holder = holderOf(text);
  if (holder) refuseHeld(text, holder);
  const links = netlink.links();
  const nameOf = (index: number) => links.find((link) => link.index === index)?.name ?? `${index}`;
  const addresses = netlink.addresses();
  const same = addresses.find((entry) => entry.address === side.address);
  if (same) {
    throw new AddressInUseError(`${text} is an address of this machine (${nameOf(same.index)})`);
  }
  refuseTaken6(netlink, side, nameOf);
  if (!isPrivate) return;
  const host = hostAddressFor(side);
  // The host's own address on another instance's link is shared, not in the way.
  const clash = addresses.find(
    (entry) =>
      isWithin(side.address, entry) &&
      !(entry.address === host && /^ix\d+$/.test(nameOf(entry.index))),
  );
  if (clash) {
    const whose = `${formatAddress(clash.address)}/${clash.prefixLength} on ${nameOf(clash.index)}`;
    throw new AddressInUseError(`${text} belongs to a network that is there already (${whose})`);
  }
}

function refuseTaken6(
  netlink: Netlink,
  { ip6 }: HostSide,
  nameOf: (index: number) => string,
): void {
  if (!ip6) return;
  const text = formatIpv6(ip6.address);
  const holder = holders().find((each) => each.address6 === text);
  if (holder) refuseHeld(text, holder);
  const same = netlink.addresses6().find((entry) => isSameAddress(entry.address, ip6.address));
  if (!same) return;
  throw new AddressInUseError(`${text} is an address of this machine (${nameOf(same.index)})`);
}

function refuseHeld(text: string, { control, app, address }: Instance): never {
  if (isAlive(control)) {
    throw new AddressInUseError(`${text} is already served by ix pid ${control.pid}`);
  }
  const problem = `${text} is served by ${printable(app)}, whose control plane has died`;
  throw new AddressInUseError(problem, `stop it with: bin/ix stop ${address}`);
}

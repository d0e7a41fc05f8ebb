/**
 * The network of one instance, and its place in the registry: claimed, made, taken over and taken
 * away.
 *
 * - What is not written down does not exist: `makeNetwork` records the instance before it makes the
 *   first link, and forgets it after it has removed the last one. So whatever ends us, the next
 *   start finds in the record what to take away.
 * - From the sweep of what dead instances left to the record everything is done under one lock, so
 *   an address or a name (ix0, ix1, ...: the first free ones) that was free is ours.
 * - A link is removed by its name only as long as it has the number that the record says.
 *
 * Called by control/service/holdings.ts, adopt.ts and service.ts; what a link is, is links.ts;
 * whose an address is, claim.ts. Read first: control/record/instances.ts.
 */
import { type Estate, forget, type Instance, record, withLock } from '../record/instances.ts';
import { sweep } from '../record/sweep.ts';
import { refuseTaken } from './claim.ts';
import {
  type Ends,
  freeNames,
  joinFor,
  linksFor,
  makeLinks,
  type NetworkPlan,
  removeLink,
} from './links.ts';
import { Netlink } from './netlink.ts';
import { closeOutbound, openOutbound, requireOutbound } from './outbound.ts';

export type Network = Omit<Ends, 'leave'> & {
  /** Lines to say of it when it serves. */
  readonly changes?: readonly string[];
  /** Takes away everything that was made, and forgets the instance. May be called twice. */
  remove(): void;
};

/** `instance` is completed with the names of the links and recorded. */
export function makeNetwork(plan: NetworkPlan, instance: Instance): Network {
  const { outbound } = plan;
  if (outbound !== undefined) requireOutbound();
  return withLock(() => {
    const netlink = new Netlink();
    try {
      sweepLinks(netlink);
      const count = linksFor(plan.nic);
      refuseTaken(netlink, plan, count > 0);
      instance.links = freeNames(netlink, count);
      if (outbound !== undefined) instance.outbound = outbound;
      record(instance);
      const { leave, ...ends } = recorded(instance, () => makeLinks(netlink, plan, instance.links));
      const remove = removal(instance, leave);
      if (outbound === undefined) return { ...ends, remove };
      try {
        return { ...ends, remove, changes: [openOutbound(instance.links[0]!, plan.address)] };
      } catch (error) {
        remove();
        throw error;
      }
    } finally {
      netlink.close();
    }
  });
}

/** What cannot be made is not left in the record. */
function recorded<T>(instance: Instance, make: () => T): T {
  try {
    return make();
  } catch (error) {
    forget(instance);
    throw error;
  }
}

/** The network that an orphan goes on with; `fds` are our copies of the device's (tap). */
export function adoptNetwork(
  instance: Instance,
  network: Estate['network'],
  fds?: number[],
): Network {
  const { hostName, hostIndex, ipv6, ...rest } = network;
  const isPrivate = hostName !== undefined;
  return {
    ...rest,
    ...(isPrivate && { hostName }),
    ...(hostIndex === undefined ? {} : { hostIndex }),
    ...(ipv6 && { ipv6 }),
    ...(fds && { fds }),
    remove: removal(instance, joinFor(rest.ifindex, isPrivate ? undefined : ipv6)),
  };
}

/** Takes away the links of an instance that has ended, and forgets it. */
export function removeNetwork(instance: Instance): void {
  withLock(removal(instance, () => {}));
}

/** Its name now; undefined: it is gone. */
export function linkName(index: number): string | undefined {
  const netlink = new Netlink();
  const found = netlink.links().find((link) => link.index === index);
  netlink.close();
  return found?.name;
}

/** Removes links that dead instances left behind; returns their names. Call under `withLock`. */
export function sweepLinks(netlink: Netlink): string[] {
  return sweep((name, indexes) => removeLink(netlink, name, indexes), closeWay);
}

/** The way out of an instance, if it had one. */
function closeWay({ outbound, links, address }: Instance): void {
  const [hostName] = links;
  if (outbound !== undefined && hostName !== undefined) closeOutbound({ hostName, address });
}

function removal(instance: Instance, leave: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    leave();
    closeWay(instance);
    const netlink = new Netlink();
    for (const name of instance.links) removeLink(netlink, name, instance.link?.indexes);
    netlink.close();
    forget(instance);
  };
}

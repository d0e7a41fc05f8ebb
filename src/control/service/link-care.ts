/**
 * What a service does about its links, on behalf of every life that is lived on them.
 *
 * - Every change is on record (`stat` says it) and an incident: down and without carrier are waited
 *   out, since the dataplane and its connections live on. A link that is up again has the host's
 *   addresses and routes restored, and the dataplane is woken to send what waits and to announce
 *   itself.
 * - A link that is gone takes the service with it: `gone` is told why.
 * - A record that cannot be written (a full disk) is said, and no reason to end: this runs as links
 *   change, not as one starts.
 * - Checksums that a sender has left to hardware on a link that is not known for them are an
 *   incident, once.
 *
 * Called by service.ts.
 */
import type { Incident } from '../children/incidents.ts';
import { PartialChecksumWatch } from '../link/advice.ts';
import { giveHostAddresses, type HostSide } from '../link/host-side.ts';
import { Netlink } from '../link/netlink.ts';
import { type LinkName, type LinkNews, LinkWatch } from '../link/watch.ts';
import { recordOrSay } from '../record/instances.ts';
import type { Holdings } from './holdings.ts';

export interface LinkCareParts {
  readonly holdings: Holdings;
  readonly application: string;
  readonly incident: (incident: Incident) => void;
  /** The link is up again: the dataplane of this moment is to know. */
  wake(): void;
  gone(why: string): void;
}

export class LinkCare {
  readonly #parts: LinkCareParts;
  readonly #watch: LinkWatch;
  readonly #checksums: PartialChecksumWatch;

  constructor(parts: LinkCareParts) {
    this.#parts = parts;
    const { network, instance, statisticsFd } = parts.holdings;
    this.#watch = new LinkWatch(linksOf(parts.holdings), {
      state: (news) => this.#changed(news),
      renamed: (from, to) => this.#renamed(from, to),
      looked: () => this.#mend(),
    });
    this.#checksums = new PartialChecksumWatch(statisticsFd, instance.threads, (refused) =>
      parts.incident({ ...this.#named(), event: 'checksums', interface: network.ifname, refused }),
    );
    this.#checksums.start();
  }

  close(): void {
    this.#watch.close();
    this.#checksums.stop();
  }

  #named(): { application: string; address: string } {
    const { application, holdings } = this.#parts;
    return { application, address: holdings.instance.address };
  }

  #changed({ name, state, isMoved, afterMs }: LinkNews): void {
    const { holdings, incident, wake, gone } = this.#parts;
    const { instance } = holdings;
    if (instance.link) instance.link.state = state;
    recordOrSay(instance);
    const seconds = afterMs / 1000;
    incident({ ...this.#named(), event: 'link', interface: name, state, isMoved, seconds });
    if (state === 'up') wake();
    if (state !== 'gone') return;
    gone(`${name} ${isMoved ? 'was moved to another network namespace' : 'was removed'}`);
  }

  /** Its number is what counts; whoever looks for it by name must find it. */
  #renamed(from: string, to: string): void {
    const { instance, network } = this.#parts.holdings;
    if (network.ifname === from) network.ifname = to;
    if (network.hostName === from) network.hostName = to;
    if (instance.link?.name === from) instance.link.name = to;
    if (instance.estate?.network.ifname === from) instance.estate.network.ifname = to;
    if (instance.estate?.network.hostName === from) instance.estate.network.hostName = to;
    instance.links = instance.links.map((name) => (name === from ? to : name));
    recordOrSay(instance);
    this.#parts.incident({ ...this.#named(), event: 'link-renamed', interface: to, was: from });
  }

  #mend(): void {
    const { network, hostSide } = this.#parts.holdings;
    if (network.hostIndex !== undefined) mend(network.hostIndex, hostSide);
  }
}

/** The host's end first: what happens to it shows at the other. */
function linksOf({ network }: Holdings): LinkName[] {
  const { ifname, ifindex, hostName, hostIndex } = network;
  const ours = { index: ifindex, name: ifname };
  if (hostName === undefined || hostIndex === undefined || hostIndex === ifindex) return [ours];
  return [{ index: hostIndex, name: hostName }, ours];
}

function mend(index: number, side: HostSide): void {
  const netlink = new Netlink();
  try {
    giveHostAddresses(netlink, index, side);
  } catch {
    // It went down again meanwhile, or somebody else has the address now: the next look finds out.
  } finally {
    netlink.close();
  }
}

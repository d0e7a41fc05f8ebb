/**
 * From where a generator reaches a server: which interface, with which address.
 *
 * - What --nic and --ip say is taken. Without them: the host's end of a link that `ix serve` made
 *   here, with an address of its network that nobody has; or, when the server is the host's own end
 *   of the default network, a link made for it. Anything else must be said: which addresses are
 *   free on a network is not ours to guess.
 */
import { formatAddress, isWithin, parseAddress, parseSubnet } from '../../control/link/address.ts';
import { liveInstances } from '../../control/record/instances.ts';
import { missingFor, requireKernel } from '../../control/wish/privilege.ts';
import { OptionError, PrivilegeError } from '../../errors.ts';
import { networkNamespace } from '../../native/process.ts';
import type { DataplaneCarrier } from './point.ts';

/** The address that `ix serve` gives to a dataplane, and to the host, by default. */
const DEFAULT_IP = '10.77.0.2/24';
const DEFAULT_HOST = '10.77.0.1';
/** Generators' addresses are the last of a network: servers are given the first. */
const LAST_HOST = 254;
const PREFIX_LENGTH = 24;

export function dataplaneCarrier(
  host: string,
  given: { nic?: string; ip?: string },
): DataplaneCarrier {
  const carrier = { via: 'dataplane', ...wayTo(host, given) } as const;
  const missing = missingFor(carrier.nic);
  if (missing.length > 0) {
    const refusal = new PrivilegeError(carrier.nic, missing);
    refusal.message = refusal.message.replace(/; .*/, '; run as root, or with --via kernel');
    throw refusal;
  }
  requireKernel();
  return carrier;
}

function wayTo(
  host: string,
  { nic, ip }: { nic?: string; ip?: string },
): Omit<DataplaneCarrier, 'via'> {
  if (nic !== undefined && (ip !== undefined || nic === 'veth')) {
    return { nic, ip: ip ?? DEFAULT_IP };
  }
  if (/^127\./.test(host)) {
    throw new OptionError(
      `${host} is this machine's own, out of reach of our dataplane`,
      `use --via kernel, or --nic veth and the server's port at ${DEFAULT_HOST}`,
    );
  }
  const instance = instanceBeside(host);
  if (instance !== undefined && nic === undefined) {
    const xdp = 'generic'; // as on every link of our own
    return { nic: instance.nic, ip: ip ?? instance.ip, xdp };
  }
  if (host === DEFAULT_HOST && nic === undefined) return { nic: 'veth', ip: ip ?? DEFAULT_IP };
  const what =
    nic === undefined ? 'the interface that leads to it' : 'an address that is free there';
  throw new OptionError(
    `${host} is not of a network that ix made here: ${what} must be given`,
    'say --nic IFNAME --ip A/N, or --via kernel',
  );
}

/**
 * The host's end of the link of an instance in the server's network, and an address that is free on
 * it.
 */
function instanceBeside(host: string): { nic: string; ip: string } | undefined {
  const network = { address: parseAddress(host), prefixLength: PREFIX_LENGTH };
  const here = liveInstances().filter(
    (each) =>
      each.namespace === networkNamespace() && isWithin(parseAddress(each.address), network),
  );
  const nic = here.find((each) => each.address === host && each.links.length === 2)?.links[0];
  if (nic === undefined) return undefined;
  const taken = new Set(here.map((each) => each.address));
  for (let last = LAST_HOST; last > 1; last--) {
    const ip = formatAddress((network.address & ~255) | last);
    if (!taken.has(ip)) return { nic, ip: `${ip}/${PREFIX_LENGTH}` };
  }
  return undefined;
}

/** Checks what was given as `ip`, before anything is started. */
export const checkIp = (ip: string | undefined): void => void (ip !== undefined && parseSubnet(ip));

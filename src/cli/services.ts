/**
 * The services that a command may look at, by name or address.
 *
 * - Those with a control plane first, then orphans; only such as this user may see and read.
 *
 * Called by stat.ts, explain.ts, flows.ts and top.ts.
 */
import { type Instance, isOurs, liveInstances, orphans } from '../control/record/instances.ts';
import { readStatistics } from '../control/record/statistics.ts';
import { UserError } from '../errors.ts';
import { printable } from '../printable.ts';

/**
 * At least one; `which`: an application's name or an address, absent: all. Who of other users
 * cannot be read is left out, and named to `complain`.
 */
export function servicesHere(which?: string, complain = console.error): Instance[] {
  const live = [...liveInstances(), ...orphans()];
  const isMeant = ({ app, address, address6 }: Instance): boolean =>
    which === undefined || [app, address, address6].includes(which);
  const readable = live.filter(isMeant).filter((each) => isReadable(each, complain));
  if (readable.length > 0) return readable;
  if (which !== undefined && live.length > 0) {
    const others = live.map(({ app, address }) => `${app} at ${address}`).join(', ');
    const problem = `nothing runs here as ${printable(which)}`;
    throw new UserError('IX_NOTHING_RUNS', problem, `what does: ${printable(others)}`);
  }
  const where = which === undefined ? '' : ` as ${printable(which)}`;
  throw new UserError('IX_NOTHING_RUNS', `nothing runs here${where}`, 'start it with: npm start');
}

/** What another user has in the place of his counters is nobody's trouble but his. */
function isReadable(instance: Instance, complain: (line: string) => void): boolean {
  if (isOurs(instance)) return true;
  try {
    readStatistics(instance);
    return true;
  } catch (error) {
    complain(`ix: ${(error as Error).message}`);
    return false;
  }
}

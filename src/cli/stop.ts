/**
 * `ix stop`: ends services by name or address, with their control plane or without.
 *
 * - One with a control plane gets what Ctrl-C would have sent to it. An orphan is ended in its
 *   place (control/service/adopt.ts).
 * - Ours only; as root those of other users, too, as far as their processes are theirs
 *   (control/record/instances.ts).
 * - A name that several have is not enough: each has an address of its own. `--all` ends all, and
 *   sweeps what dead ones left.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Netlink } from '../control/link/netlink.ts';
import { sweepLinks } from '../control/link/network.ts';
import { signalOnly } from '../control/record/descriptors.ts';
import {
  type Instance,
  isOrphan,
  liveInstances,
  mayEnd,
  orphans,
  usersOf,
  withLock,
} from '../control/record/instances.ts';
import { endOrphan } from '../control/service/adopt.ts';
import { OptionError, UserError } from '../errors.ts';
import { isAlive } from '../native/process.ts';
import { printable } from '../printable.ts';

export interface StopOptions {
  all?: boolean;
  json?: boolean;
}

/** A control plane gives its children 2 s each. */
const STOP_MS = 10_000;
const LOOK_MS = 20;
const SIGTERM = 15;

export async function stop(name: string | undefined, options: StopOptions): Promise<void> {
  if ((name === undefined) !== (options.all === true)) {
    throw new OptionError('stop takes a name or an address, or --all', 'see: bin/ix stat');
  }
  const running = [...liveInstances(), ...orphans()];
  const chosen = name === undefined ? running.filter(mayEnd) : [theOne(running, name)];
  for (const instance of chosen) await end(instance);
  const swept = name === undefined ? sweepNow() : [];
  const stopped = chosen.map(({ app, address }) => ({ app, address }));
  if (options.json) return console.log(JSON.stringify({ stopped, swept }));
  for (const { app, address } of stopped) {
    console.log(`ix: stopped ${printable(app)} at ${address}`);
  }
  if (swept.length > 0) console.log(`ix: removed what was left: ${printable(swept.join(', '))}`);
  if (stopped.length + swept.length === 0) console.log('ix: nothing runs here');
}

function theOne(running: readonly Instance[], name: string): Instance {
  const named = running.filter(({ app, address }) => app === name || address === name);
  const matching = named.filter(mayEnd);
  const [first, second] = matching;
  if (!first && named.length > 0) {
    throw new UserError('IX_NOT_OURS', `${name} is another user's`, 'run as who started it');
  }
  if (!first) {
    throw new UserError('IX_NOTHING_RUNS', `nothing runs here as ${name}`, 'see: bin/ix stat');
  }
  if (!second) return first;
  const addresses = matching.map(({ address }) => address).join(', ');
  throw new OptionError(`${name} runs at ${addresses}`, 'give the address, or --all');
}

async function end(instance: Instance): Promise<void> {
  if (isOrphan(instance)) return endOrphan(instance);
  const { control, app, address } = instance;
  if (!isAlive(control)) return;
  signalOnly(control, usersOf(instance), SIGTERM);
  for (let waitedMs = 0; isAlive(control); waitedMs += LOOK_MS) {
    if (waitedMs > STOP_MS) {
      const problem = `${printable(app)} at ${address} does not end`;
      throw new UserError(
        'IX_STOP',
        problem,
        `try: kill -9 ${control.pid}; bin/ix stop ${address}`,
      );
    }
    await sleep(LOOK_MS);
  }
}

function sweepNow(): string[] {
  return withLock(() => {
    const netlink = new Netlink();
    try {
      return sweepLinks(netlink);
    } finally {
      netlink.close();
    }
  });
}

/**
 * `ix serve` and `ix run`: an application on its own network stack until Ctrl-C.
 *
 * - Standard output gets what a user wants to know once: where it serves and what to try (with
 *   --json: one object).
 * - SIGINT and SIGTERM stop it in order, exit code 0. SIGHUP does not: who started it may log out,
 *   and daemons are told by it to read again what they have read. SIGUSR1 is nobody's: the debugger
 *   that Node would open by it is switched off (bin/ix).
 * - A dataplane that dies by itself is reported (one line on standard error, one object with
 *   --json) and started again; with --tied it is exit code 1, and so is a link that is gone.
 * - When this command dies in another way (kill -9, a fault of its own), the service goes on. The
 *   same command again adopts it; a command for the same address with other options ends it first,
 *   and says so.
 * - Without the privileges for the network that was asked for: an error if one was asked for, or
 *   something that only a network has; otherwise the same application with a built-in client over
 *   the cable, in one process (demonstration.ts).
 */
import { enforced } from '../confine/confine.ts';
import { describe, type Incident } from '../control/children/incidents.ts';
import type { End } from '../control/children/launch.ts';
import { formatAddress } from '../control/link/address.ts';
import { describeXdp } from '../control/link/xdp.ts';
import { claim, endOrphan, mayAdopt, orphanAt, wishOf } from '../control/service/adopt.ts';
import { adoptService, type Service, startService } from '../control/service/service.ts';
import { type Application, applicationFor, commandsToTry } from '../control/wish/applications.ts';
import { parseRunOptions } from '../control/wish/options.ts';
import { type Plan, planOf } from '../control/wish/plan.ts';
import { missingFor, requireKernel } from '../control/wish/privilege.ts';
import { DataplaneDiedError, LinkGoneError, OptionError, PrivilegeError } from '../errors.ts';
import { printable } from '../printable.ts';
import { beyondDemonstration, demonstrate } from './demonstration.ts';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** Without a listener they would end us. */
const IGNORED_SIGNALS = ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

export async function serve(
  name: string,
  settings: readonly string[],
  given: Record<string, unknown>,
): Promise<void> {
  const options = parseRunOptions(given);
  const app = applicationFor(name, settings);
  const nic = options.nic ?? 'veth';
  const planned = (): Plan => planOf(app, options, nic);
  const beyond = beyondDemonstration(given);
  if (nic === 'cable') {
    if (beyond === undefined) return demonstrate(planned(), printReport);
    throw new OptionError(
      `${beyond.option} cannot be with --nic cable, which is server and client in one process`,
      beyond.remedy,
    );
  }
  const missing = missingFor(nic);
  if (missing.length > 0) {
    const refusal = new PrivilegeError(nic, missing);
    if (options.nic !== undefined || beyond !== undefined) throw refusal;
    console.error(`ix: ${refusal.message}`);
    console.error(`ix: showing ${app.name} with a built-in client instead, in one process`);
    return demonstrate(planned(), printReport);
  }
  if (nic !== 'tap') requireKernel();
  await serveUntilStopped({ app, plan: planned(), isJson: options.json });
}

const ignore = (): void => {};

interface Asked {
  readonly app: Application;
  readonly plan: Plan;
  /** How to say what comes of it. */
  readonly isJson: boolean;
}

async function serveUntilStopped(asked: Asked): Promise<void> {
  const stopped = Promise.withResolvers<'stopped'>();
  const stop = () => stopped.resolve('stopped');
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  for (const signal of IGNORED_SIGNALS) process.on(signal, ignore);
  try {
    const starting = adoptOrStart(asked);
    const begun = await Promise.race([starting, stopped.promise]);
    // A signal before it was ready: the command ends, and the exit handler takes down what there
    // is.
    if (begun === 'stopped') return;
    const { service } = begun;
    if (!service.hasStopped) announce(asked, begun); // a program that had nothing to serve
    const outcome = await Promise.race([service.ended, stopped.promise]);
    await service.stop();
    service.takeDown();
    if (outcome !== 'stopped') process.exitCode = exitCodeOf(outcome);
  } finally {
    for (const signal of STOP_SIGNALS) process.off(signal, stop);
    for (const signal of IGNORED_SIGNALS) process.off(signal, ignore);
  }
}

interface Begun {
  service: Service;
  /** Pid of the control plane that it was adopted from. */
  from?: number;
}

/**
 * What runs at the address without a control plane is adopted if it is what is asked for, and ended
 * if not.
 */
async function adoptOrStart({ plan, isJson }: Asked): Promise<Begun> {
  const wish = wishOf(plan);
  const incident = (each: Incident): void => printIncident(each, isJson);
  const restarts = !plan.life.isTied;
  const given = {
    report: printReport,
    incident,
    restarts,
    ...(restarts && mayAdopt() && { wish }),
  };
  // Who read what we print may go: that is no reason to end.
  if (restarts) for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const address = formatAddress(plan.network.address);
  const orphan = orphanAt(address);
  if (orphan) {
    const from = orphan.control.pid;
    const isSame = given.wish !== undefined && orphan.estate?.wish === wish;
    if (isSame && claim(orphan)) {
      try {
        return { service: await adoptService(orphan, plan, given), from };
      } catch (error) {
        sayEnded(orphan.app, address, from, error instanceof Error ? error.message : `${error}`);
        await endOrphan(orphan);
      }
    } else if (!isSame) {
      sayEnded(orphan.app, address, from, 'what is asked for now is something else');
      await endOrphan(orphan);
    }
  }
  return { service: await startService(plan, given) };
}

function sayEnded(app: string, address: string, from: number, why: string): void {
  const was = `${printable(app)} at ${address} was left by pid ${from}, which died`;
  console.error(`ix: ${was}; not adopted (${printable(why)}): ended, starting anew`);
}

/** The application may end the dataplane; everything else is an accident. */
function exitCodeOf({ how, failure, stopped, link }: End): number {
  if (stopped !== undefined) return stopped;
  if (link !== undefined) throw new LinkGoneError(link);
  throw new DataplaneDiedError(`the dataplane ended (${how})${failure ? `: ${failure}` : ''}`);
}

/** What the application says with `ix.report`: text as it is, the rest as JSON. */
function printReport(value: unknown): void {
  console.log(typeof value === 'string' ? value : JSON.stringify(value));
}

/** One line for people; with --json also one object. */
function printIncident(incident: Incident, isJson: boolean): void {
  console.error(`ix: ${describe(incident)}`);
  if (isJson) console.log(JSON.stringify(incident));
}

function announce({ app, isJson }: Asked, { service, from }: Begun): void {
  const { address, address6, ports, nic, xdp, dataplane, application, advice } = service;
  for (const line of advice) console.error(`ix: ${line}`);
  const missing = [dataplane, application].flatMap((child) => child?.confined?.missing ?? []);
  const notEnforced = [...new Set(missing)];
  if (isJson) {
    const facts = {
      app: app.name,
      kind: app.args === undefined ? 'application' : 'program',
      address,
      ...(address6 !== undefined && { address6 }),
      ports,
      nic,
      ...(xdp && { xdp }),
      pid: process.pid,
      dataplane: dataplane.pid,
      ...(application && { application: application.pid }),
      ...(from !== undefined && { adoptedFrom: from }),
      ...(advice.length > 0 && { advice }),
      confined: {
        dataplane: enforced(dataplane.confined),
        ...(application && { application: enforced(application.confined) }),
        ...(notEnforced.length > 0 && { notEnforced }),
      },
    };
    console.log(JSON.stringify(facts));
    return;
  }
  if (notEnforced.length > 0) {
    console.error(`ix: not enforced here: ${notEnforced.join(', ')}; see: bin/ix doctor`);
  }
  const [port] = ports;
  console.log(`ix: ${app.name} ready at ${address}${port === undefined ? '' : `:${port}`}`);
  if (app.args !== undefined)
    console.log('  a Node program: net, tls, http, http2 are on this stack');
  if (from !== undefined) {
    console.log(`  it went on when pid ${from} died: connections and values are kept`);
  }
  if (xdp) console.log(`  ${nic}: ${describeXdp(xdp)}`);
  for (const command of commandsToTry(app, address, ports)) console.log(`  ${command}`);
  if (address6 !== undefined) {
    console.log(`  and at ${port === undefined ? address6 : `[${address6}]:${port}`}`);
  }
}

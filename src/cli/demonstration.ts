/**
 * The demonstration as `serve` gives it: which options it can honour, and what its end means to the
 * user.
 *
 * - An option that was given and means nothing on a cable is not ignored: `beyondDemonstration`
 *   names it.
 * - Server and client run in this process (src/cli/demo.ts), domain inline. A client that comes to
 *   no good end is one line and exit code 1; what the application refuses is one line and exit code
 *   2, as in any dataplane.
 *
 * Called by serve.ts.
 */
import { closeSync } from 'node:fs';
import { CaptureFiles } from '../control/children/capture-file.ts';
import { hostAddressFor } from '../control/link/address.ts';
import type { Plan } from '../control/wish/plan.ts';
import { DataplaneFailedError, UserError } from '../errors.ts';

interface Beyond {
  option: string;
  remedy: string;
}

const LEAVE_OUT = 'leave it out, or use --nic veth or tap';
/**
 * There is IPv4 on the cable, nothing to confine, restart or preempt, and what is printed is a
 * transcript.
 */
const BEYOND: Record<string, string> = {
  ip6: '--ip6',
  slaac: '--slaac',
  outbound: '--outbound',
  xdp: '--xdp',
  placement: '--placement',
  appCpu: '--app-cpu',
  hangTimeout: '--hang-timeout',
  onCrash: '--on-crash',
  allowRead: '--allow-read',
  allowWrite: '--allow-write',
  json: '--json',
};

/**
 * The first option that only a network of its own can honour; `given` has what the user wrote and
 * no defaults.
 */
export function beyondDemonstration(given: Record<string, unknown>): Beyond | undefined {
  if (given['domain'] === 'process') {
    return { option: '--domain process', remedy: 'use --domain inline, or --nic veth or tap' };
  }
  for (const [name, option] of Object.entries(BEYOND)) {
    const value = given[name];
    if (value === undefined || (name === 'ip6' && value === 'none')) continue;
    return { option, remedy: LEAVE_OUT };
  }
  return undefined;
}

class DemonstrationError extends UserError {
  override readonly exitCode = 1;
  constructor(problem: string) {
    super('IX_DEMONSTRATION', problem, '');
  }
}

export async function demonstrate(
  { application, dataplane, network, output }: Plan,
  report: (value: unknown) => void,
): Promise<void> {
  const { capture } = output;
  const { address, prefixLength } = network;
  const captureFd = capture === undefined ? undefined : new CaptureFiles(capture).open(0);
  const server = {
    ...{ ...dataplane, app: application, address, prefixLength },
    ...(captureFd !== undefined && { captureFd }),
  };
  // Loaded here: nobody else who serves needs a dataplane in this process.
  const { DEMO_CLIENT_FAILED, DemoError, runDemo } = await import('./demo.ts');
  try {
    process.exitCode = await runDemo({ server, clientAddress: hostAddressFor(network), report });
  } catch (error) {
    if (!(error instanceof DemoError)) throw error;
    const { code, message } = error;
    if (code === DEMO_CLIENT_FAILED) throw new DemonstrationError(message);
    throw new DataplaneFailedError(code, message);
  } finally {
    if (captureFd !== undefined) closeSync(captureFd);
  }
}

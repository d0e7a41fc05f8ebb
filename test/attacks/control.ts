/**
 * A control plane for the hostile service: what `ix run` does, and it answers what its dataplane
 * holds.
 *
 * - Arguments: module, subnet, and optionally the program to run as the dataplane. Lines of JSON on
 *   standard output: `ready`, `state` or `pong` for each line on standard input, `report`,
 *   `incident`, `ended`. Standard error is the control plane's own.
 *
 * Not a test itself: service.ts starts it.
 */
import { createInterface } from 'node:readline';
import { startService } from '../../src/control/service/service.ts';
import { findApplication } from '../../src/control/wish/applications.ts';
import { parseRunOptions, parseSettings } from '../../src/control/wish/options.ts';
import { planOf } from '../../src/control/wish/plan.ts';

const [, , module = '', ip = '', main, options = '{}', ...settings] = process.argv;

const say = (message: unknown): void => void process.stdout.write(`${JSON.stringify(message)}\n`);

const { restarts = false, ...rest } = JSON.parse(options);
const given = { ip, domain: 'process', ...rest };
const app = findApplication(module, parseSettings(settings));
const service = await startService(planOf(app, parseRunOptions(given), 'veth'), {
  main: main || undefined,
  restarts,
  report: (value) => say({ type: 'report', value }),
  incident: (incident) => say({ type: 'incident', incident }),
});
const { dataplane } = service;
const pids = () => ({
  control: process.pid,
  dataplane: dataplane.pid,
  application: service.application?.pid,
});
say({ type: 'ready', ...pids() });
void service.ended.then((end) => say({ type: 'ended', end }));

let isStopping = false;
async function stop(): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  await service.stop();
  service.takeDown();
  process.exit(0);
}
process.on('SIGTERM', () => void stop());
createInterface({ input: process.stdin }).on('line', async (line) => {
  if (line === 'ping') return say({ type: 'pong' });
  const state = await dataplane.state().catch(() => undefined); // it has ended: `ended` says so
  if (state) say({ type: 'state', state: state[0], threads: state, ...pids() });
});

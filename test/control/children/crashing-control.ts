/**
 * `ix serve echo --nic tap` whose control plane throws where nobody catches it, on SIGUSR2. Not a
 * test itself.
 */
import { startService } from '../../../src/control/service/service.ts';
import { findApplication } from '../../../src/control/wish/applications.ts';
import { parseRunOptions } from '../../../src/control/wish/options.ts';
import { planOf } from '../../../src/control/wish/plan.ts';

const options = parseRunOptions({ nic: 'tap' });
const given = { restarts: true, wish: 'to be a test' };
const service = await startService(planOf(findApplication('echo'), options, 'tap'), given);
process.once('SIGUSR2', () => {
  throw new Error('a fault of the control plane');
});
setInterval(() => {}, 1000);
// Last: whoever reads this may send the signal at once.
console.log(JSON.stringify({ dataplane: service.dataplane.pid }));

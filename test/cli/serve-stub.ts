/**
 * `ix serve echo` with the stub as its dataplane, in a process that a test can kill. Not a test
 * itself.
 */
import { fileURLToPath } from 'node:url';
import { startService } from '../../src/control/service/service.ts';
import { findApplication } from '../../src/control/wish/applications.ts';
import { parseRunOptions } from '../../src/control/wish/options.ts';
import { planOf } from '../../src/control/wish/plan.ts';

const [ip = '10.77.0.2/24'] = process.argv.slice(2);
const main = fileURLToPath(new URL('../control/children/stub-dataplane.ts', import.meta.url));
const options = parseRunOptions({ nic: 'tap', ip, domain: 'inline' });
const service = await startService(planOf(findApplication('echo'), options, 'tap'), { main });
console.log(JSON.stringify({ address: service.address, dataplane: service.dataplane.pid }));
process.once('SIGTERM', () => process.exit());
setInterval(() => {}, 1000);

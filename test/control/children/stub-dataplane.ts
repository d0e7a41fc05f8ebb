/**
 * A dataplane that does nothing but say it is ready: for tests of what is around it. Not a test
 * itself.
 */
import { endWithParent, readConfig, readLine, send } from '../../../src/child/channel.ts';

endWithParent();
const { app } = readConfig();
send({ type: 'attached', layouts: [], flows: 1, nic: 'stub' });
readLine();
send({ type: 'ready', ports: [Number(app.options['port'] ?? 7)], nic: 'stub' });
setInterval(() => {}, 1000);

/**
 * A dataplane that does nothing but say it is ready: for tests of what is around it. Not a test
 * itself.
 */
import { endWithParent, readConfig, report } from '../../src/dataplane/channel.ts';

endWithParent();
const { app } = readConfig();
report({ type: 'ready', ports: [Number(app.options['port'] ?? 7)], nic: 'stub' });
setInterval(() => {}, 1000);

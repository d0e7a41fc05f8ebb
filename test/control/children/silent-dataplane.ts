/** A dataplane that never says that it is attached. Not a test itself. */
import { endWithParent, readConfig } from '../../../src/child/channel.ts';

endWithParent();
readConfig();
setInterval(() => {}, 1000);

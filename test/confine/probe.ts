/**
 * A program in the place of a child's that has not locked itself down: it sees what the step before
 * Node has done, without the list of system calls, which answers first in production. Not a test
 * itself: confine-layers.live.test.ts starts it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { endWithParent, readConfig, send } from '../../src/child/channel.ts';
import { callNumber } from '../../src/confine/seccomp-numbers.ts';
import { sys } from '../../src/native/sys.ts';

const PR_GET_SECUREBITS = 27;

export interface Layers {
  /** Of each mount: where, options, kind. */
  mounts: [string, string[], string][];
  secureBits: number;
  umask: number;
  environment: string[];
  root: string[];
  limits: string;
  status: string;
}

endWithParent();
readConfig();
const mounts = readFileSync('/proc/self/mountinfo', 'latin1').trim().split('\n');
const layers: Layers = {
  mounts: mounts.map((line) => {
    const [, , , , where = '', options = ''] = line.split(' ');
    return [where, options.split(','), line.split(' - ')[1]?.split(' ')[0] ?? ''];
  }),
  secureBits: sys.syscall(callNumber('prctl'), PR_GET_SECUREBITS, 0, 0, 0, 0),
  umask: sys.syscall(callNumber('umask'), 0o002),
  environment: Object.keys(process.env).sort(),
  root: listed('/'),
  limits: readFileSync('/proc/self/limits', 'latin1'),
  status: readFileSync('/proc/self/status', 'latin1'),
};

function listed(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    return [(error as { code: string }).code];
  }
}

send({ type: 'report', value: layers });
send({ type: 'ready', ports: [7], nic: 'stub' });
setInterval(() => {}, 1000);

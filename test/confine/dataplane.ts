/**
 * A dataplane that has turned: it locks itself down like the real one, then tries. Not a test
 * itself: confine.live.test.ts starts it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { endWithParent, readConfig, send } from '../../src/child/channel.ts';
import { lockDown } from '../../src/child/lock.ts';
import { type CallName, callNumber } from '../../src/confine/seccomp-numbers.ts';
import { sys } from '../../src/native/sys.ts';

const TRIED: CallName[] = [
  ...(['openat', 'socket', 'clone', 'execve', 'ptrace', 'bpf', 'setsockopt', 'bind'] as const),
  ...(['mount', 'setns', 'prlimit64', 'kill', 'mlock', 'memfd_create', 'io_uring_setup'] as const),
];

const capabilities = (): string[] =>
  readdirSync('/proc/self/task').map((thread) => {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'latin1');
    return [...status.matchAll(/^Cap(?:Prm|Eff|Inh|Amb|Bnd):\t(\w+)$/gm)]
      .map((m) => m[1])
      .join(' ');
  });

endWithParent();
readConfig();
// A thread that waits in the kernel, as an elastic thread does.
const waiter = new Worker('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)', {
  eval: true,
});
waiter.once('online', () => {
  const before = capabilities();
  lockDown();
  const results = TRIED.map((name) => [name, sys.syscall(callNumber(name), 1, 0, 0, 0, 0, 0)]);
  send({ type: 'report', value: { before, results: Object.fromEntries(results) } });
  send({ type: 'ready', ports: [7], nic: 'stub' });
});
setInterval(() => {}, 1000);

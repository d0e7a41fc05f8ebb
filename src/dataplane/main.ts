/**
 * The dataplane process: reads its configuration from the control plane, runs one worker per elastic thread, and
 * passes on what they say.
 *
 * - Exit codes: 0 when the application stopped itself, 1 when a thread failed.
 * - Ends with the control plane (channel.ts `endWithParent`).
 */
import { Worker } from 'node:worker_threads';
import { CHANNEL_FD, endWithParent, readConfig, report } from './channel.ts';
import type { DataplaneConfig, DataplaneMessage } from './config.ts';

function run(config: DataplaneConfig): void {
  let ready = 0;
  config.nics.forEach((_nic, index) => {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { config, index },
    });
    worker.on('message', (message: DataplaneMessage) => {
      if (message.type === 'ready') {
        ready += 1;
        if (ready === config.nics.length) report(message);
        return;
      }
      report(message);
      if (message.type === 'failed') process.exit(1);
      if (message.type === 'stopped') process.exit(message.exitCode);
    });
    worker.on('error', (error) => {
      report({
        type: 'failed',
        code: 'IX_WORKER',
        message: String((error as Error).stack ?? error),
      });
      process.exit(1);
    });
  });
}

endWithParent();
try {
  run(readConfig(CHANNEL_FD));
} catch (error) {
  const code = (error as { code?: string }).code ?? 'IX_DATAPLANE';
  report({ type: 'failed', code, message: (error as Error).message });
  process.exitCode = 1;
}

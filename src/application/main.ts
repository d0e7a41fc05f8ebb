/**
 * The application process: reads its configuration from the control plane, runs one worker per elastic thread, and
 * passes on what they say.
 *
 * - What the application may ask of the kernel is decided here, before it is loaded (`lockDown`).
 * - Exit codes: 0 when the application stopped itself, 1 when it failed. What it held is the dataplane's to clean.
 */
import { Worker } from 'node:worker_threads';
import * as v from 'valibot';
import { builtBeside } from '../built.ts';
import { lockDown } from '../control/confine-lock.ts';
import { CHANNEL_FD, endWithParent, readLine, send } from '../dataplane/channel.ts';
import { ApplicationConfig, type ApplicationMessage } from '../dataplane/config.ts';

/** What a worker prints leaves it when it goes around its event loop: after a slice, and a wait for its turn (turns.ts). */
const LAST_WORDS_MS = 20;

function run(config: ApplicationConfig): void {
  let ready = 0;
  config.threads.forEach((_thread, index) => {
    const worker = new Worker(builtBeside(import.meta.url, './worker.ts'), {
      workerData: { config, index },
    });
    worker.on('message', (message: ApplicationMessage) => {
      if (message.type === 'ready') {
        ready += 1;
        if (ready === config.threads.length) send(message);
        return;
      }
      send(message);
      if (message.type === 'failed') process.exit(1);
      if (message.type === 'stopped') process.exit(message.exitCode);
    });
    worker.on('exit', (code) => process.exit(code)); // process.exit() in a worker ends the worker alone
    worker.on('error', (error) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      send({ type: 'failed', code: 'IX_APPLICATION', message: text });
      process.exit(1);
    });
  });
}

endWithParent();
// Process 1 of a PID namespace gets the signals that it has asked for.
process.on('SIGTERM', () => setTimeout(() => process.exit(143), LAST_WORDS_MS));
const config = v.parse(ApplicationConfig, JSON.parse(readLine(CHANNEL_FD)));
try {
  lockDown(config.lasting);
} catch (error) {
  send({ type: 'failed', code: 'IX_CONFINE', message: (error as Error).message });
  process.exit(1);
}
run(config);

/**
 * The application process: reads its configuration from the control plane, runs one worker per
 * elastic thread, and passes on what they say.
 *
 * - The configuration comes when the dataplane is attached; our one argument says how many ms that
 *   may take.
 * - What the application may ask of the kernel is decided here, before it is loaded (`lockDown`).
 * - Exit codes: 0 when the application stopped itself, 1 when it failed. What it held is the
 *   dataplane's to clean.
 * - A Node program that exits, or has nothing left to do, has stopped itself, with its exit code.
 *   What it throws is printed as Node prints it, also when it is started again.
 */
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import * as v from 'valibot';
import { builtBeside } from '../built.ts';
import { CHANNEL_FD, Channel, ChannelError, endWithParent, readLine } from '../child/channel.ts';
import { ApplicationConfig, type ApplicationMessage } from '../child/config.ts';
import { lockDown } from '../child/lock.ts';
import {
  makeUnderWay,
  passedOn,
  type ReportMessage,
  type WorkerInput,
} from '../dataplane/reports.ts';

type WorkerMessage = Exclude<ApplicationMessage, { type: 'report' }> | ReportMessage;

/**
 * What a worker prints leaves it when it goes around its event loop: after a slice, and a wait for
 * its turn (domain/turns.ts).
 */
const LAST_WORDS_MS = 20;

function run(config: ApplicationConfig, channel: Channel): void {
  let ready = 0;
  let isReady = false;
  const isProgram = config.app.program !== undefined;
  config.threads.forEach((_thread, index) => {
    const reports = makeUnderWay();
    const worker = new Worker(builtBeside(import.meta.url, './worker.ts'), {
      workerData: { config, index, reports } satisfies WorkerInput<ApplicationConfig>,
    });
    worker.on('message', (message: WorkerMessage) => {
      if (message.type === 'ready') {
        ready += 1;
        isReady = ready === config.threads.length;
        if (isReady) channel.send(message);
      } else if (message.type === 'report') {
        channel.report(message.json, () => passedOn(reports, message));
      } else channel.last(message, message.type === 'stopped' ? message.exitCode : 1);
    });
    // process.exit() in a worker ends the worker alone.
    worker.on('exit', (code) => {
      const stopped = { type: 'stopped', exitCode: code & 0xff } as const;
      channel.last(isProgram ? stopped : undefined, code);
    });
    worker.on('error', (error) => {
      const text = thrownText(error);
      // Before it is ready it is what the command ends with; afterwards the command says one line.
      if (isProgram && isReady) process.stderr.write(`${text}\n`);
      channel.last({ type: 'failed', code: 'IX_APPLICATION', message: text }, 1);
    });
  });
}

/** As Node says what nobody has caught. */
function thrownText(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : `Uncaught ${inspect(error)}`;
}

endWithParent();
// Process 1 of a PID namespace gets the signals that it has asked for.
process.on('SIGTERM', () => setTimeout(() => process.exit(143), LAST_WORDS_MS));
let channel: Channel | undefined;
try {
  const line = readLine(CHANNEL_FD, Number(process.argv[2]));
  const config = v.parse(ApplicationConfig, JSON.parse(line));
  channel = new Channel(() => {}); // after the configuration an application is told nothing
  lockDown(config.lasting);
  run(config, channel);
} catch (error) {
  const code = error instanceof ChannelError ? error.code : 'IX_CONFINE';
  channel ??= new Channel(() => {});
  channel.last({ type: 'failed', code, message: (error as Error).message }, 1);
}

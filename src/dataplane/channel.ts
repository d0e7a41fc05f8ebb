/**
 * The dataplane's end of the channel to the control plane that started it.
 *
 * - A stream socket inherited as descriptor CHANNEL_FD: one line of JSON in (the configuration),
 *   lines of JSON out.
 * - Reads and writes are synchronous: an elastic thread never returns to an event loop.
 * - The dataplane ends with the control plane: the kernel kills it when its parent dies
 *   (`endWithParent`), however that happens, so that nothing keeps frames of an interface that
 *   nobody looks after.
 *
 * Called by src/dataplane/main.ts. Read first: man 2 prctl, PR_SET_PDEATHSIG.
 */
import { readSync, writeSync } from 'node:fs';
import * as v from 'valibot';
import { must, SYS, sys } from '../native/sys.ts';
import { DataplaneConfig, type DataplaneMessage } from './config.ts';

export const CHANNEL_FD = 3;

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
/** A configuration is a few kilobytes; more is not one. */
const LINE_BYTES_MAX = 1 << 20;

export class ChannelError extends Error {
  readonly code = 'IX_CHANNEL';
}

/** The one line that the control plane sends before anything else. */
export function readConfig(fd = CHANNEL_FD): DataplaneConfig {
  const chunk = Buffer.alloc(65_536);
  let text = '';
  while (!text.endsWith('\n')) {
    const n = readSync(fd, chunk);
    if (n === 0)
      throw new ChannelError('the control plane went away before it sent a configuration');
    text += chunk.toString('latin1', 0, n);
    if (text.length > LINE_BYTES_MAX) throw new ChannelError('the configuration is too long');
  }
  const parsed = v.safeParse(DataplaneConfig, JSON.parse(Buffer.from(text, 'latin1').toString()));
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new ChannelError(`configuration: ${v.getDotPath(issue) ?? ''}: ${issue.message}`);
}

export function report(message: DataplaneMessage, fd = CHANNEL_FD): void {
  writeSync(fd, `${JSON.stringify(message)}\n`);
}

/** Call before `readConfig`: should the parent be dead already, that finds the channel closed. */
export function endWithParent(): void {
  must(sys.syscall(SYS.prctl, PR_SET_PDEATHSIG, SIGKILL), 'prctl(PR_SET_PDEATHSIG)');
}

/**
 * A load generator on ordinary sockets as a process of its own: configuration in by the channel,
 * reports out.
 *
 * - Ends with whoever started it.
 * - Every run ends with one report: the generator's, or `load-failed` when it threw.
 *
 * Started by point/kernel.ts.
 */
import { writeSync } from 'node:fs';
import * as v from 'valibot';
import { CHANNEL_FD, endWithParent, readLine } from '../../child/channel.ts';
import { sys } from '../../native/sys.ts';
import generator from '../generator/generator.ts';
import { KernelHost } from './host.ts';

const Config = v.object({
  settings: v.record(v.string(), v.string()),
  memoryBytes: v.number(),
  cpu: v.optional(v.number()),
});

const say = (value: unknown): void => void writeSync(CHANNEL_FD, `${JSON.stringify(value)}\n`);

function failed(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  say({ kind: 'load-failed', message });
  process.exit(1);
}

endWithParent();
try {
  const { settings, memoryBytes, cpu } = v.parse(Config, JSON.parse(readLine()));
  if (cpu !== undefined) sys.pin(cpu);
  const host = new KernelHost(memoryBytes, say);
  generator(host, settings);
  host.start(failed);
} catch (error) {
  failed(error);
}

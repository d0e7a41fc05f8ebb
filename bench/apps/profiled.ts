/**
 * Another application, with V8's sampling profiler beside it in the same thread: where the elastic
 * thread's own time goes.
 *
 * - Settings: `module` (absolute path of the application), `afterMs`, `forMs`; the others are the
 *   application's.
 * - Reports { kind: 'profile', selfUs: { area: microseconds } } once; areas are folders of src, or
 *   what V8 calls it.
 * - Domain inline and unconfined only: the profiler wants a thread of its own.
 */
import { Session } from 'node:inspector';
import { pathToFileURL } from 'node:url';
import type { Application } from '../../src/libix/index.ts';

const INTERVAL_US = 200;

interface CpuProfile {
  nodes: { id: number; callFrame: { url: string; functionName: string } }[];
  samples: number[];
  timeDeltas: number[];
}

/** Our folder, or what V8 calls it. */
function areaOf({ url, functionName }: CpuProfile['nodes'][number]['callFrame']): string {
  const folder = /\/(?:src|bench)\/([\w-]+)(?:\/|\.ts)/.exec(url)?.[1];
  if (folder !== undefined) return folder;
  if (url.startsWith('wasm:')) return 'kernels';
  if (url.startsWith('node:')) return 'node';
  // System calls and V8's builtins have a name and no place; the others are V8's own, in brackets.
  return functionName === '' ? '(native)' : functionName;
}

function selfUsOf({ nodes, samples, timeDeltas }: CpuProfile): Record<string, number> {
  const areas = new Map(nodes.map(({ id, callFrame }) => [id, areaOf(callFrame)]));
  const sums: Record<string, number> = {};
  samples.forEach((id, i) => {
    const area = areas.get(id) ?? 'unknown';
    sums[area] = (sums[area] ?? 0) + Math.max(0, timeDeltas[i]!);
  });
  return sums;
}

const profiled: Application = async (ix, options) => {
  const { module = '', afterMs = '500', forMs = '1000', ...others } = options;
  const application = (await import(pathToFileURL(module).href)) as { default: Application };
  await application.default(ix, others);
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US });
  ix.timer(Number(afterMs) * 1000, () => session.post('Profiler.start'));
  ix.timer((Number(afterMs) + Number(forMs)) * 1000, () => {
    session.post('Profiler.stop', (_error, { profile }) => {
      ix.report({ kind: 'profile', selfUs: selfUsOf(profile as CpuProfile) });
      session.disconnect();
    });
  });
};

export default profiled;

/**
 * Where the time of one request goes, step by step of the elastic thread's cycle.
 *
 * - The paper: section 5.4 and the discussion of Fig. 6 account for latency in prose; it has no
 *   such table.
 * - Ours: echo of 64 B on a thread built like the real one whose steps are wrapped by a stopwatch
 *   (peers/staged-echo.ts), with one request at a time and with 64 connections. What is left of the
 *   round trip is the client, its kernel and the link.
 * - Differs: the stopwatch slows the server by some tens of nanoseconds a step (its own cost is
 *   taken off).
 */
import { onLink } from '../harness/bench.ts';
import { peerSource } from '../harness/compile.ts';
import { SERVER_LINK } from '../harness/network.ts';
import { startPinned } from '../harness/process.ts';
import { echo } from './clients.ts';
import type { Context, Experiment } from './experiment.ts';
import { type Line, sweep } from './sweep.ts';

const START_MS = 5000;
interface Staged {
  frames: number;
  turns: number;
  clockNs: number;
  stages: Record<string, number>;
}

const stages: Experiment = {
  name: 'stages',
  title: 'Where the time of one request goes',
  paper: 'The paper explains latency in prose (sections 4.2, 5.4); it has no such table.',
  ours:
    "Echo of 64 B; every step of the elastic thread's cycle under a stopwatch, per received " +
    'frame, with one request at a time and with 64 connections.',
  differs:
    'The stopwatch costs the server some speed; its own time is taken off each step. "Elsewhere" is the round trip less all steps: the client, the kernel between, and waiting (one connection only).',
  run: async (context) => {
    const shorter = { ...context, settings: { ...context.settings, rounds: 1 } };
    const names: string[] = [];
    const series = await sweep(
      [
        line('one', 'one request at a time', 1, shorter, names),
        line('many', '64 connections', 64, shorter, names),
      ],
      shorter,
    );
    return {
      series,
      charts: [
        {
          title: 'Nanoseconds a request',
          kind: 'bars',
          x: { label: '' },
          y: { label: 'ns', metric: 'stageNs' },
          names: Object.fromEntries(names.map((name, i) => [i + 1, name])),
        },
      ],
      ratios: {},
      notes: [],
    };
  },
};
export default stages;

/** Nanoseconds a received frame, by step: what the later half of the server's lines add. */
function stepsOf(output: string): [string, number][] {
  const whole = output.split('\n').filter((text) => text.endsWith('}'));
  const lines = whole.map((text) => JSON.parse(text) as Staged);
  const last = lines.at(-1);
  const half = lines.findLast(({ frames }) => last !== undefined && frames <= last.frames / 2);
  if (last === undefined || half === undefined || last.frames === half.frames) return [];
  const frames = last.frames - half.frames;
  return Object.entries(last.stages).map(([step, ns]) => [
    step,
    Math.max(0, ns - half.stages[step]!) / frames,
  ]);
}

function line(
  name: string,
  title: string,
  connections: number,
  context: Context,
  names: string[],
): Line {
  return {
    name,
    title,
    round: ({ add }) =>
      onLink(
        'ours',
        async () => ({ stop: async () => {} }),
        async (address) => {
          const { serverCpu } = context.settings;
          const words = [peerSource('staged-echo.ts'), SERVER_LINK, address];
          const server = startPinned(serverCpu, [process.execPath, ...words]);
          try {
            if (!(await server.complains(/ready/, START_MS))) throw new Error('no server');
            const client = await echo(context, address, {
              connections,
              clock: connections === 1 ? 'fine' : 'batch',
            });
            await server.stop();
            const { output, errors } = await server.ended;
            const steps = stepsOf(output);
            if (steps.length === 0) throw new Error(errors.trim().split('\n').at(-1));
            if (connections === 1) {
              const server = steps.reduce((sum, [, ns]) => sum + ns, 0);
              steps.push(['elsewhere: client, links, kernel', client['p50Ns']! - server]);
            }
            for (const [step, ns] of steps) {
              if (!names.includes(step)) names.push(step);
              add(names.indexOf(step) + 1, { stageNs: ns });
            }
          } finally {
            await server.stop();
          }
        },
      ),
  };
}

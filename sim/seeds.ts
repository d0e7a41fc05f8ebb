/**
 * Runs of many seeds, and how they are told of.
 *
 * - Whatever is printed of a failed run is enough to repeat it.
 * - One hash of all runs: two machines that print the same have run the same.
 *
 * Called by main.ts.
 */
import type { RunResult } from './run.ts';
import { Simulator } from './run.ts';
import { makeScenario } from './scenario.ts';

export interface SeedsOptions {
  first: number;
  count: number;
  pcap?: string;
  json: boolean;
  describe: boolean;
  keepGoing: boolean;
}

const REPORT_MS = 10_000;

const seconds = (us: number): string => (us / 1e6).toFixed(6);
const hex = (hash: number): string => hash.toString(16).padStart(8, '0');

/** A failed run, for people. */
export function explain(result: RunResult): string {
  const { error } = result;
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return [
    `seed ${result.seed} failed at ${seconds(result.virtualUs)} s of virtual time: ${message}`,
    '',
    ...result.flows.slice(0, 40),
    '',
    'last frames:',
    ...result.lastFrames,
    '',
    `to repeat it: bin/ix sim --seed ${result.seed} --pcap /tmp/ix-sim.pcap`,
  ].join('\n');
}

/** Runs the seeds; returns how many failed. */
export function runSeeds(options: SeedsOptions): number {
  const simulator = new Simulator();
  const start = performance.now();
  let reported = start;
  const total = { seeds: 0, failed: 0, virtualUs: 0, frames: 0, turns: 0, bytes: 0, hash: 0 };
  const failures: { seed: number; message: string }[] = [];
  for (let seed = options.first; seed < options.first + options.count; seed++) {
    if (options.describe) console.error(JSON.stringify(makeScenario(seed), null, 1));
    const result = simulator.run(seed, options.pcap ? { pcap: options.pcap } : {});
    total.seeds++;
    total.virtualUs += result.virtualUs;
    total.frames += result.frames;
    total.turns += result.turns;
    total.bytes += result.bytes;
    total.hash = (Math.imul(total.hash, 31) ^ result.hash) >>> 0;
    if (result.error !== undefined) {
      total.failed++;
      failures.push({ seed, message: String(result.error).split('\n')[0]! });
      if (!options.keepGoing) console.error(explain(result));
      else console.error(`seed ${seed}: ${failures.at(-1)!.message}`);
      if (!options.keepGoing) break;
    }
    if (performance.now() - reported > REPORT_MS) {
      reported = performance.now();
      console.error(`ix sim: ${total.seeds} of ${options.count} seeds, ${total.failed} failed`);
    }
  }
  const elapsed = (performance.now() - start) / 1000;
  const rates = {
    seconds: elapsed,
    seedsPerSecond: total.seeds / elapsed,
    timesRealTime: total.virtualUs / 1e6 / elapsed,
    framesPerSecond: total.frames / elapsed,
  };
  if (options.json) {
    console.log(JSON.stringify({ sim: { ...total, hash: hex(total.hash), ...rates, failures } }));
  } else {
    console.log(
      `${total.seeds} seeds, ${total.failed} failed, ${seconds(total.virtualUs)} s of virtual time in ${elapsed.toFixed(1)} s (x ${rates.timesRealTime.toFixed(0)}), ${total.frames} frames, hash ${hex(total.hash)}`,
    );
  }
  return total.failed;
}

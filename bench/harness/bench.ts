/**
 * What every benchmark does around its rounds: a private network, a link per run, progress, and the
 * way out.
 *
 * - Progress goes to standard error, the report to standard output.
 * - SIGINT and SIGTERM end the process at once (exit code 130): guards kill the peers, the kernel
 *   kills our dataplanes with their parent, and the namespace goes with the last of them.
 */
import { describeMachine } from './machine.ts';
import { enterPrivateNetwork, makeBenchLink } from './network.ts';
import type { BenchOptions } from './options.ts';
import { type Peer, startPeer } from './peers.ts';
import { printReport, type RatioPlan, ratiosOf, targetsMissed, warningsOf } from './report.ts';
import { type Contender, type Results, runRounds, type Sample } from './rounds.ts';
import { type OursPlan, type Server, startOurs } from './run.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export const progress = (line: string): void => console.error(`ix bench: ${line}`);

const exitBySignal = (): never => process.exit(130);

/** SIGINT and its like end the process with 130; the returned function takes that back. */
export function exitsBySignal(): () => void {
  for (const signal of SIGNALS) process.once(signal, exitBySignal);
  return () => {
    for (const signal of SIGNALS) process.off(signal, exitBySignal);
  };
}

export interface BenchPlan {
  name: string;
  options: BenchOptions;
  settings: Record<string, number | string>;
  contenders: readonly Contender[];
  ratios: readonly RatioPlan[];
  /** What follows from the contenders' results, to stand beside them. */
  derive?(results: Results): Results;
}

export async function runBench(plan: BenchPlan): Promise<void> {
  const machine = describeMachine();
  const restore = exitsBySignal();
  try {
    enterPrivateNetwork();
    const repeated: string[] = [];
    const { contenders, options } = plan;
    const measured = await runRounds(contenders, options.rounds, progress, repeated);
    const results = { ...measured, ...plan.derive?.(measured) };
    const ratios = ratiosOf(results, plan.ratios);
    printReport(
      {
        bench: plan.name,
        machine,
        rounds: options.rounds,
        settings: plan.settings,
        results,
        ratios,
        warnings: [
          ...warningsOf(ratios, machine),
          ...targetsMissed(ratios, plan.ratios),
          ...repeated,
        ],
      },
      options.json,
    );
  } finally {
    restore();
  }
}

/** A contender of ours: its server on the server's end, then `measure` against it. */
export const ours = (
  title: string,
  plan: Omit<OursPlan, 'address'>,
  measure: (address: string) => Promise<Sample>,
): Contender => ({
  name: 'ours',
  title,
  run: () => onLink('ours', (address) => startOurs({ ...plan, address }), measure),
});

/** A contender on the kernel's TCP. */
export const theirs = (
  peer: Peer,
  cpu: number,
  measure: (address: string) => Promise<Sample>,
): Contender => ({
  name: peer.name,
  title: peer.title,
  missing: peer.missing(),
  run: () => onLink('kernel', (address) => startPeer(peer, address, cpu), measure),
});

/** A fresh link, a server on it, a measurement; then both are taken down again. */
export async function onLink<T>(
  side: 'kernel' | 'ours',
  start: (address: string) => Promise<Server>,
  measure: (address: string) => Promise<T>,
): Promise<T> {
  const link = makeBenchLink(side);
  try {
    const server = await start(link.serverAddress);
    try {
      return await measure(link.serverAddress);
    } finally {
      await server.stop();
    }
  } finally {
    link.remove();
  }
}

/**
 * `ix bench goodput`: one TCP flow on bad networks, our stack and Linux's (CUBIC) at either end.
 *
 * - Every flow has a lane of its own in our impairment box (goodput/box.ts, goodput/conditions.ts):
 *   loss x round trip x reordering, four pairings, several seeds. The four flows of a seed meet the
 *   same dice.
 * - Flows that need little run side by side; the bottleneck of 100 Mbit/s keeps every run within
 *   what two cores can do, so that TCP is compared, not the CPU.
 * - Exit code 1 when our sender is more than a tenth slower than Linux's in a cell, or a flow
 *   stalls.
 * - `--save` merges the cells into goodput/snapshot.json and docs/goodput.md;
 *   test/bench/goodput.test.ts compares the snapshot with the simulator.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import {
  CELLS,
  type Conditions,
  nameOf,
  PAIRINGS,
  pairingName,
  RATE_MBITS,
  selectCells,
} from './goodput/conditions.ts';
import { batchesOf, msOf, type Plan } from './goodput/plan.ts';
import { runLanes } from './goodput/runner.ts';
import {
  type CellFigures,
  figureOf,
  markdownOf,
  merge,
  problemsOf,
  type Snapshot,
  senderRatio,
  tableOf,
} from './goodput/table.ts';
import { progress } from './harness/bench.ts';
import { describeMachine } from './harness/machine.ts';
import { enterPrivateNetwork } from './harness/network.ts';
import { number, readOptions } from './harness/options.ts';
import { spreadOf } from './harness/statistics.ts';

export const SNAPSHOT: URL = new URL('goodput/snapshot.json', import.meta.url);
const DOCUMENT = new URL('../docs/goodput.md', import.meta.url);
const TABLE_MARKS = /(<!-- table -->\n)[\s\S]*?(\n<!-- end -->)/;

interface Options extends Plan {
  json: boolean;
  save: boolean;
}

export default async function goodput(args: string[]): Promise<void> {
  const options = parse(args);
  if (!options) return;
  const machine = describeMachine();
  process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(130));
  enterPrivateNetwork();
  const cells = await measure(options);
  const problems = problemsOf(cells);
  if (options.save) save({ machine, cells });
  if (options.json) console.log(JSON.stringify(reportOf(options, machine, cells, problems)));
  else print(cells, problems);
  if (problems.length > 0) process.exitCode = 1;
}

function parse(args: string[]): Options | undefined {
  const whole = number(1, 1000, true);
  const cells = (text: string): Conditions[] => {
    try {
      return selectCells(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
  const command = new Command('ix bench goodput')
    .description('one TCP flow on bad networks: our stack and Linux at either end')
    .option('--json', 'print one JSON object', false)
    .option('--quick', 'six cells, one seed: less than a minute', false)
    .option('--cells <filter>', "only these: 'loss=0,1 rtt=20 reorder=off'; rtt=200,300 too", cells)
    .option('--seeds <count>', 'seeds of a cell with loss (default: 5; quick: 1)', whole)
    .option('--first <seed>', 'the first of them', whole, 1)
    .option(
      '--seconds <time>',
      'of one flow (default: 4, with 100 ms 8, beyond 16; quick: 3)',
      whole,
    )
    .option('--save', 'merge the cells into the snapshot and its table', false);
  if (!readOptions(command, args)) return undefined;
  const given = command.opts();
  const isQuick = given['quick'] as boolean;
  const chosen = isQuick
    ? CELLS.filter((c) => c.rttMs === 20 && [0, 1, 3].includes(c.loss))
    : CELLS;
  return {
    json: given['json'],
    cells: given['cells'] ?? [...chosen],
    seeds: given['seeds'] ?? (isQuick ? 1 : 5),
    first: given['first'],
    seconds: given['seconds'] ?? (isQuick ? 3 : undefined),
    save: given['save'],
  };
}

async function measure(options: Options): Promise<CellFigures[]> {
  const batches = batchesOf(options);
  const left = (from: number): number =>
    batches.slice(from).reduce((sum, { ms }) => sum + ms / 1000 + 2, 0);
  const values = new Map<string, { mbits: number[]; gap: number }>();
  for (const [index, { lanes, ms }] of batches.entries()) {
    const names = [...new Set(lanes.map(nameOf))].join('; ');
    progress(
      `run ${index + 1} of ${batches.length}, ${Math.round(left(index))} s left: ` +
        `${lanes.length} flows (${names})`,
    );
    const results = await runLanes(lanes, ms);
    for (const [i, lane] of lanes.entries()) {
      const key = `${nameOf(lane)} ${pairingName(lane)}`;
      const { bytes, ms: took, longestGapMs } = results[i]!;
      const known = values.get(key) ?? { mbits: [], gap: 0 };
      known.mbits.push(Math.round((bytes * 8) / took / 10) / 100);
      known.gap = Math.max(known.gap, longestGapMs);
      values.set(key, known);
    }
  }
  return options.cells.map((cell) => ({
    ...cell,
    ms: msOf(cell, options),
    figures: Object.fromEntries(
      PAIRINGS.map(pairingName).map((pairing) => {
        const { mbits, gap } = values.get(`${nameOf(cell)} ${pairing}`)!;
        return [pairing, figureOf(mbits, gap)];
      }),
    ),
  }));
}

function save({ machine, cells }: Snapshot): void {
  let old: CellFigures[] = [];
  try {
    old = (JSON.parse(readFileSync(SNAPSHOT, 'utf8')) as Snapshot).cells;
  } catch {
    // The first one.
  }
  const merged = merge(old, cells);
  writeFileSync(SNAPSHOT, `${JSON.stringify({ machine, cells: merged }, null, 1)}\n`);
  const text = readFileSync(DOCUMENT, 'utf8');
  writeFileSync(DOCUMENT, text.replace(TABLE_MARKS, `$1${markdownOf(merged)}$2`));
}

function reportOf(
  options: Options,
  machine: Snapshot['machine'],
  cells: readonly CellFigures[],
  problems: readonly string[],
) {
  const ratios = Object.fromEntries(cells.map((cell) => [nameOf(cell), senderRatio(cell)]));
  return {
    ...{ bench: 'goodput', machine, rounds: options.seeds, bottleneckMbits: RATE_MBITS },
    results: cells,
    ratios: { senderVsLinux: spreadOf(Object.values(ratios)) },
    ...{ cells: ratios, problems },
  };
}

function print(cells: readonly CellFigures[], problems: readonly string[]): void {
  const rows = tableOf(cells);
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  console.log(`Mbit/s: median (least-most) of the seeds; bottleneck ${RATE_MBITS} Mbit/s`);
  for (const row of rows) console.log(row.map((word, i) => word.padStart(widths[i]!)).join('  '));
  for (const problem of problems) console.log(`missed: ${problem}`);
}

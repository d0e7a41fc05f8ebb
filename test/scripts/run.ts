/**
 * Plays packet scripts by hand: `node test/scripts/run.ts FILE.script [SCENARIO...]` (IX_VERIFY=1
 * checks invariants).
 *
 * - Prints a line a scenario, and for the first failure the script's line and what happened
 *   instead. Exit code 1.
 */
import { readFileSync } from 'node:fs';
import { Player } from './player.ts';
import { parse } from './script.ts';

const [file, ...names] = process.argv.slice(2);
if (!file) {
  console.error('usage: node test/scripts/run.ts FILE.script [SCENARIO...]');
  process.exitCode = 2;
} else {
  for (const scenario of parse(file, readFileSync(file, 'utf8'))) {
    if (names.length > 0 && !names.includes(scenario.name)) continue;
    try {
      new Player(scenario).play();
      console.log(`ok      ${scenario.name}`);
    } catch (error) {
      console.log(`FAILED  ${scenario.name}\n${error instanceof Error ? error.message : error}`);
      process.exitCode = 1;
    }
  }
}

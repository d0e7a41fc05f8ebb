/**
 * `ix sim`: runs seeds until one breaks a rule, or all have passed.
 *
 * - Invariants are on (VERIFY is read when modules load, so everything else is imported after it is
 *   set).
 * - A failing seed says what broke, when, the last frames, and how to repeat it. Exit code 1.
 */
import { parseArgs } from 'node:util';
import { printable } from '../src/printable.ts';

const HELP = `usage: ix sim [--seed N] [--seeds COUNT] [--pcap FILE] [--json]

  --seed N       the run of this seed; with --seeds the first one
  --seeds COUNT  so many runs, from --seed (default 1) on
  --pcap FILE    every frame of the run, for Wireshark (one seed only)
  --describe     what the seed is made of
  --keep-going   after a failure too
  --json         one object on standard output
`;

process.env['IX_VERIFY'] ??= '1';
const OPTIONS = {
  seed: { type: 'string', default: '1' },
  seeds: { type: 'string', default: '1' },
  pcap: { type: 'string' },
  describe: { type: 'boolean', default: false },
  'keep-going': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

function valuesOf(words: string[]): Values | string {
  try {
    return parseArgs({ args: words, options: OPTIONS }).values;
  } catch (error) {
    // Node's first sentence names the option; the others advise on shells.
    return (error as Error).message.split('. ')[0]!;
  }
}

/** A whole number that JavaScript can count to. */
const isWhole = (text: string): boolean => /^\d+$/.test(text) && Number.isSafeInteger(+text);

function wrongWith({ seed, seeds, pcap }: Values): string | undefined {
  if (!isWhole(seed)) return `--seed takes a whole number, not '${printable(seed)}'`;
  if (!isWhole(seeds) || Number(seeds) < 1) {
    return `--seeds takes a whole number from 1, not '${printable(seeds)}'`;
  }
  return pcap !== undefined && Number(seeds) > 1 ? '--pcap is for one seed' : undefined;
}

const values = valuesOf(process.argv.slice(2));
const wrong = typeof values === 'string' ? values : wrongWith(values);
if (typeof values !== 'string' && values.help) {
  process.stdout.write(HELP);
} else if (wrong !== undefined || typeof values === 'string') {
  console.error(`ix: ${wrong}; see: bin/ix sim --help`);
  process.exitCode = 2;
} else {
  const { runSeeds } = await import('./seeds.ts');
  const { pcap, json, describe } = values;
  const failures = runSeeds({
    ...{ first: Number(values.seed), count: Number(values.seeds), json, describe },
    ...{ keepGoing: values['keep-going'], ...(pcap ? { pcap } : {}) },
  });
  process.exitCode = failures > 0 ? 1 : 0;
}

/**
 * `ix sim`: runs seeds until one breaks a rule, or all have passed.
 *
 * - Invariants are on (VERIFY is read when modules load, so everything else is imported after it is
 *   set).
 * - A failing seed says what broke, when, the last frames, and how to repeat it. Exit code 1.
 */
import { parseArgs } from 'node:util';

const HELP = `usage: ix sim [--seed N] [--seeds COUNT] [--pcap FILE] [--json]

  --seed N       the run of this seed; with --seeds the first one
  --seeds COUNT  so many runs, from --seed (default 1) on
  --pcap FILE    every frame of the run, for Wireshark (one seed only)
  --describe     what the seed is made of
  --keep-going   after a failure too
  --json         one object on standard output
`;

process.env['IX_VERIFY'] ??= '1';
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    pcap: { type: 'string' },
    describe: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(HELP);
} else {
  const { runSeeds } = await import('./seeds.ts');
  const first = Number(values.seed ?? 1);
  const count = Number(values.seeds ?? 1);
  if (!Number.isInteger(first) || !Number.isInteger(count) || count < 1) {
    console.error(HELP);
    process.exitCode = 2;
  } else {
    const { pcap, json, describe } = values;
    const keepGoing = values['keep-going'];
    const failures = runSeeds({
      first,
      count,
      json,
      describe,
      keepGoing,
      ...(pcap ? { pcap } : {}),
    });
    process.exitCode = failures > 0 ? 1 : 0;
  }
}

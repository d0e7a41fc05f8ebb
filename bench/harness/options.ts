/**
 * Options that every benchmark takes, and how they are read.
 *
 * - `--quick` chooses rounds and seconds so that the whole benchmark takes a minute or two; either
 *   may still be given. A wrong option is one line and exit code 2, as everywhere.
 */
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { IDLE_POLICIES } from '../../src/child/config.ts';
import { OptionError } from '../../src/errors.ts';

export interface BenchOptions {
  json: boolean;
  quick: boolean;
  rounds: number;
  /** Measured time of one run. */
  seconds: number;
  warmupSeconds: number;
  connections: number;
  /** Messages in flight per connection. */
  depth: number;
  /** Bytes: of an echo message. */
  size: number;
  serverCpu: number;
  clientCpu: number;
  /** Idle policy of our server. */
  idle: string;
  /** Where our server's application runs; benchmarks that compare the two do not ask. */
  domain: 'inline' | 'process';
}

/** Parsers of options' values, for commander. */
export const number = (minimum: number, maximum: number, isWhole: boolean) => (text: string) => {
  const value = Number(text);
  const isFine =
    text.trim() !== '' &&
    value >= minimum &&
    value <= maximum &&
    (!isWhole || Number.isInteger(value));
  if (isFine) return value;
  throw new InvalidArgumentError(
    `takes a ${isWhole ? 'whole ' : ''}number from ${minimum} to ${maximum}.`,
  );
};

export const oneOf = (words: readonly string[]) => (text: string) => {
  if (words.includes(text)) return text;
  throw new InvalidArgumentError(`takes ${words.join(', ')}.`);
};

export const domain = oneOf(['inline', 'process']);
export const policy = oneOf(IDLE_POLICIES);

/**
 * Reads a benchmark's options into `command`; false: help was asked for and printed. Throws an
 * OptionError.
 */
export function readOptions(command: Command, args: readonly string[]): boolean {
  command
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  try {
    command.parse(args, { from: 'user' });
    return true;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === 'commander.helpDisplayed') return false;
    const problem = message.replace(/^error: /, '').replace(/\.$/, '');
    throw new OptionError(problem, `see: bin/${command.name()} --help`);
  }
}

/** undefined: help was asked for and printed. */
export function parseBenchOptions(
  name: string,
  description: string,
  args: readonly string[],
): BenchOptions | undefined {
  const cores = availableParallelism();
  const command = new Command(`ix bench ${name}`)
    .description(description)
    .option('--json', 'print one JSON object', false)
    .option('--quick', 'a minute or two in all', false)
    .option('--rounds <count>', 'rounds (default: 5; quick: 3)', number(1, 1000, true))
    .option(
      '--seconds <time>',
      'measured time of one run (default: 3; quick: 0.7)',
      number(0.1, 600, false),
    )
    .option('--connections <count>', 'connections', number(1, 65_536, true), 64)
    .option('--depth <count>', 'messages in flight per connection', number(1, 1024, true), 1)
    .option('--size <bytes>', 'bytes of an echo message', number(4, 1_048_576, true), 64)
    .option('--server-cpu <core>', 'core of the server', number(0, cores - 1, true), 1)
    .option('--client-cpu <core>', 'core of the client', number(0, cores - 1, true), 0)
    .option('--idle <policy>', 'idle policy of our server', policy, 'adaptive')
    .option('--domain <name>', 'inline or process: domain of our server', domain, 'process');
  if (!readOptions(command, args)) return undefined;
  return complete(command.opts(), cores);
}

function complete(given: Partial<BenchOptions>, cores: number): BenchOptions {
  const options = given as BenchOptions;
  options.rounds ??= options.quick ? 3 : 5;
  options.seconds ??= options.quick ? 0.7 : 3;
  // V8 compiles for a second and a half what takes part in a message: with 0.3 s it was the
  // compiler that was measured.
  options.warmupSeconds = options.quick ? 1.5 : 2.5;
  if (cores < 2 || options.serverCpu === options.clientCpu) {
    throw new OptionError(
      'server and client need a core each',
      `choose two of 0 to ${cores - 1} with --server-cpu and --client-cpu`,
    );
  }
  return options;
}

/** For benchmarks whose server is on core 1 and whose client on core 0. */
export function needTwoCores(): void {
  if (availableParallelism() >= 2) return;
  throw new OptionError('server and client need a core each', 'run it on a machine with two cores');
}

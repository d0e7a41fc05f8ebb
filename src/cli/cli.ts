/**
 * The command line: which command, with which words; each command's file does the rest and is
 * loaded when it is called.
 *
 * - Results go to standard output, progress and errors to standard error.
 * - Exit codes: 0 done; 1 something broke, or `doctor` found something missing; 2 what was asked
 *   cannot be, with one line that says why and what to do.
 *
 * Started by bin/ix, which also does `setup`, `test` and `sim`.
 */
import { Command, CommanderError, Option } from 'commander';
import { UserError } from '../errors.ts';
import { withLoadOptions } from '../load/command-options.ts';
import { NicError } from '../nic/errors.ts';
import { versionText } from './version.ts';

const listed = (value: string, before: string[] = []): string[] => [...before, value];

function withRunOptions(command: Command): Command {
  return command
    .option('--nic <kind>', 'veth, tap, cable or the name of an interface (default: veth)')
    .option('--ip <address/length>', 'the address to serve at (default: 10.77.0.2/24)')
    .option('--ip6 <address/length>', 'and at this IPv6 address, or none (default: fd77::2/64)')
    .option(
      '--outbound <none|nat>',
      'what it opens beyond the host: nothing, or as the host (IPv4)',
    )
    .option('--slaac', 'and at addresses made from what routers advertise')
    .option('--domain <domain>', 'process: protected (default); inline: trusted, inside it')
    .option('--threads <count>', 'elastic threads')
    .option(
      '--xdp <mode>',
      'auto, native, native-copy, zerocopy or generic: that or nothing (default: auto)',
    )
    .option('--idle <policy>', 'spin, adaptive or sleep (default: adaptive)')
    .option('--congestion <name>', 'of TCP: cubic, newReno or dctcp (default: cubic)')
    .option(
      '--keepalive <seconds>',
      'ask peers silent for so long; 0: never (default: 0; kv: 7200)',
    )
    .option('--ecn <use>', 'of TCP: off, accept or ask (default: accept; with dctcp ask)')
    .option('--cpu <core>', 'pin the dataplane to this core')
    .option('--placement <where>', 'of the application: same-core (default) or split, polling')
    .option('--app-cpu <core>', 'its core in placement split (default: the next one)')
    .option('-m, --memory <MiB>', 'memory for values (kv)')
    .option('-p, --port <port>', 'port to listen on')
    .option('--batch <frames>', 'B: most frames of one iteration (default: 64)')
    .option('--flows <count>', 'most connections (default: 16384)')
    .option('--capture <file>', 'write every frame to a pcap file')
    .option('--trace', 'print one line a frame to standard error')
    .option('--allow-read <path>', 'what the application may read; may be repeated', listed)
    .option('--allow-write <path>', 'what it may read and change; may be repeated', listed)
    .option('--env <name[=value]>', "of a Node program's process.env; may be repeated", listed)
    .option('--hang-timeout <seconds>', 'restart an application that hangs (default: 10)')
    .option('--start-timeout <seconds>', 'how long it may take to start (default: 30)')
    .option('--on-crash <how>', 'rst or fin: how its connections end when it dies (default: rst)')
    .option('--quota <quotas>', 'what the application may have: flows=1000,timers=100')
    .option(
      '--connect <whom>',
      'whom it may speak to first: none (default of kv, echo), any (of other modules), 10.0.0.0/8,fd00::/8',
    )
    .option('--unconfined', 'to debug: without users, roots and filters of their own')
    .option('--tied', 'end when the dataplane or this command dies, instead of going on')
    .option('--json', 'print what is ready as one JSON object')
    .addOption(
      new Option('--impair <how>', 'for tests: a bad network, loss=0.01,seed=1').hideHelp(),
    );
}

function build(): Command {
  const program = new Command('ix')
    .description('network services in TypeScript on a TCP/IP stack of their own')
    .enablePositionalOptions()
    .option('--version', 'print version, commit and Node')
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  program.on('option:version', () => {
    process.stdout.write(`${versionText()}\n`);
    process.exit();
  });
  withRunOptions(program.command('serve'))
    .description('serve an application: kv, echo or the path of a module')
    .argument('<app>')
    .argument('[settings...]', 'name=value, for the application')
    .action(async (app: string, settings: string[], options) => {
      await (await import('./serve.ts')).serve(app, settings, options);
    });
  withRunOptions(program.command('run'))
    .description('run a Node program, or an application module (one with a default export)')
    .argument('<module>')
    .argument(
      '[words...]',
      "the program's arguments, behind -- if they begin with one; or name=value",
    )
    .action(async (module: string, settings: string[], options) => {
      const path = /^[./]/.test(module) ? module : `./${module}`;
      await (await import('./serve.ts')).serve(path, settings, options);
    });
  program
    .command('stat')
    .description('print the counters of what is running here')
    .option('--ip <address>', 'only the instance at this address')
    .option('--watch', 'print rates every second')
    .option('--json', 'print JSON')
    .option('--prometheus', 'print in the Prometheus exposition format')
    .action(async (options) => await (await import('./stat.ts')).stat(options));
  addViews(program);
  addTop(program);
  program
    .command('stop')
    .description('end a service, also one whose control plane has died')
    .argument('[name]', 'its name or its address')
    .option('--all', 'end all of them, and remove what dead ones left')
    .option('--json', 'print JSON')
    .action(async (name: string | undefined, options) => {
      await (await import('./stop.ts')).stop(name, options);
    });
  program
    .command('doctor')
    .description('say what this machine lacks, and the command that fixes it')
    .option('--json', 'print JSON')
    .action(async (options) => await (await import('./doctor.ts')).doctor(options));
  addTools(program);
  return program;
}

/** What looks into a service that runs. */
function addViews(program: Command): void {
  program
    .command('explain')
    .description('say what a counter means and what to do; without one, those that ask for a look')
    .argument('[counter]', 'its name as stat or Prometheus has it, or all')
    .option('--json', 'print JSON')
    .action(async (counter: string | undefined, options) => {
      await (await import('./explain.ts')).explain(counter, options);
    });
  program
    .command('flows')
    .description('print the connections of what is running here, with their state in TCP')
    .argument('[name]', 'of a service, or its address')
    .argument('[filter...]', 'src|dst|host ADDRESS[/N], sport|dport|port N, state NAME, thread N')
    .option('--json', 'print JSON')
    .action(async (name: string | undefined, filter: string[], options) => {
      const words = name === undefined ? [] : [name, ...filter];
      await (await import('./flows.ts')).flows(words, options);
    });
}

function addTop(program: Command): void {
  program
    .command('top')
    .description('show rates, load, latencies and drops of what is running here, on one screen')
    .argument('[name]', 'of a service, or its address')
    .option('--once', 'print one screen')
    .option('--sort <column>', 'name, busy, rx, tx, queue, flows, p99 or drops (default: name)')
    .option('--interval <seconds>', 'between two screens (default: 1)')
    .action(async (name: string | undefined, options) => {
      await (await import('./top.ts')).top(name, options);
    });
}

/** What measures and tests, and needs no service. */
function addTools(program: Command): void {
  withLoadOptions(program.command('load'))
    .description(
      'measure a memcached or echo server: rate, and latency from when requests were due',
    )
    .action(async (target: string | undefined, options) => {
      await (await import('./load.ts')).load(target, options);
    });
  program
    .command('bench')
    .description('run a benchmark of bench/')
    .argument('<name>')
    .argument('[arguments...]')
    .passThroughOptions()
    .helpOption(false)
    .allowUnknownOption()
    .action(async (name: string, words: string[]) => {
      await (await import('./bench.ts')).bench(name, words);
    });
  program.command('setup').description('install packages and compile what is needed, no more');
  program.command('test').description('run the tests').argument('[files...]');
  program.command('sim').description('run whole systems in virtual time, by seed');
}

/** Prints what went wrong and returns the exit code. */
function explain(program: Command, error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0; // --help
    if (error.code === 'commander.help') return 2; // no command: the list of them is the answer
    const problem = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
    // Its own help says more than the list of commands, where the first word is one.
    const [word] = process.argv.slice(2);
    const named = program.commands.some((command) => command.name() === word) ? `${word} ` : '';
    console.error(`ix: ${problem.replace(/\.$/, '')}; see: bin/ix ${named}--help`);
    return 2;
  }
  if (error instanceof UserError || error instanceof NicError) {
    console.error(`ix: ${error.message}`);
    return error instanceof UserError ? error.exitCode : 2;
  }
  console.error(error);
  return 1;
}

const program = build();
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = explain(program, error);
}
// A pipe that a child shares with us may not block us: then a long text (--json) is not yet out
// when its write returns.
const isWriting = (): boolean => process.stdout.writableLength > 0 && !process.stdout.destroyed;
while (isWriting()) await new Promise((resolve) => setTimeout(resolve, 5));
// The command is over; what it left open (a dataplane that is still starting) must not keep us.
process.exit();

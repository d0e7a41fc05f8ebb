/**
 * Runs an ordinary Node program on the stack: its entry, as `node program.ts arguments...` would.
 *
 * - net, tls, http, http2 and what stands on them are Node's own, over libix (install.ts). What is
 *   not TCP over IP is the kernel's still, and confinement refuses it.
 * - It is up when its entry has been evaluated, top-level await included, and it listens; a program
 *   that does not listen within LISTENS_MS is taken for one that never will.
 * - It ends by process.exit, or (domain process) when nothing holds its event loop any more, and
 *   its service with it, with its exit code (application/main.ts, dataplane/main.ts), ready or not.
 *   What throws and is not caught is an accident: it is started again once it was ready, and the
 *   end of the command before.
 *
 * Called by child/module.ts, before the program's first line.
 */
import Module from 'node:module';
import { extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { Ix, OwnAddress } from '../libix/index.ts';
import { Flows } from './flows.ts';
import { install } from './install.ts';
import { node } from './internals.ts';
import { lookUpWith } from './lookup.ts';
import { Loopback } from './loopback.ts';
import { Network } from './network.ts';
import { type Names, Resolver } from './resolver.ts';
import { checkNode } from './self-check.ts';
import { surround } from './surroundings.ts';
import { fatal } from './ticks.ts';

export interface Program {
  /** Absolute path. */
  readonly module: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly addresses: readonly OwnAddress[];
  readonly names?: Names | undefined;
}

const NO_NAMES: Names = {
  ...{ hosts: [], servers: [], search: [] },
  ...{ ndots: 1, timeoutMs: 5000, attempts: 2 },
};

const LISTENS_MS = 1000;
const LOOK_MS = 2;

export async function runProgram(ix: Ix, program: Program): Promise<void> {
  const { module, args, env, addresses, names = NO_NAMES } = program;
  const own = (): readonly OwnAddress[] => ownOf(ix, addresses);
  const texts = (): string[] => own().map(({ address }) => address);
  const network = new Network({
    outer: new Flows(ix),
    loopback: new Loopback(),
    get addresses() {
      return texts();
    },
  });
  install(network);
  checkNode(network);
  const resolver = new Resolver(ix, names);
  surround(own);
  lookUpWith(node.names, resolver, network.keeper, texts);
  ix.yieldAfterTurns(true);
  ix.mayEnd(true);
  process.argv.splice(1, process.argv.length, module, ...args);
  Object.assign(process.env, env);
  await loadOrTell(module);
  for (let ms = 0; ix.ports.length === 0 && ms < LISTENS_MS; ms += LOOK_MS) await sleep(LOOK_MS);
}

/** What it was started with, and what routers have added. */
function ownOf(ix: Ix, given: readonly OwnAddress[]): OwnAddress[] {
  const known = new Set(given.map(({ address }) => address));
  return [...given, ...ix.addresses6.filter(({ address }) => !known.has(address))];
}

/** What its first lines throw is also for 'uncaughtException'; else the command says it. */
async function loadOrTell(path: string): Promise<void> {
  try {
    await load(path);
  } catch (error) {
    if (process.listenerCount('uncaughtException') === 0) throw error;
    fatal(error);
  }
}

/**
 * As the main module (`require.main === module`), but for what only `import` can load: .mjs, .mts,
 * and ES modules that await at their top. Not Node's own `Module._load(path, null, true)`: of an
 * ES module that returns before it is loaded, and what it throws is nobody's.
 */
async function load(path: string): Promise<void> {
  if (/^\.m[jt]s$/.test(extname(path))) return void (await import(pathToFileURL(path).href));
  const { _cache } = Module as unknown as { _cache: Record<string, Module> };
  const main = new Module(path);
  main.id = '.';
  process.mainModule = main;
  _cache[path] = main;
  try {
    (main as unknown as { load(file: string): void }).load(path);
  } catch (error) {
    delete _cache[path];
    if ((error as NodeJS.ErrnoException).code !== 'ERR_REQUIRE_ASYNC_MODULE') throw error;
    await import(pathToFileURL(path).href);
  }
}

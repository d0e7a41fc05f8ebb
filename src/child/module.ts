/**
 * Loads an application's module, and says why an application does not start.
 *
 * - What its user can mend is one line, the problem and then the remedy: a module that cannot be
 *   loaded (IX_MODULE), a Node on which programs cannot run (IX_NODE), a file or a system call that
 *   confinement refuses (IX_PERMISSION), an error with a code of the application's own (KV_OPTION:
 *   anything with an underscore that is not Node's ERR_).
 * - Everything else is a fault of the application (IX_APPLICATION): it keeps its stack.
 *
 * Called by application/worker.ts and, for domain inline, src/dataplane/worker.ts. The exit codes
 * are src/errors.ts.
 */
import { accessSync, constants } from 'node:fs';
import { basename, dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { built, builtBeside } from '../built.ts';
import { CONFINED } from '../confine/list.ts';
import type { Application } from '../libix/index.ts';
import type { App } from './config.ts';

export interface Failure {
  code: string;
  message: string;
}

class ModuleError extends Error {
  readonly code = 'IX_MODULE';
}

/** What Node throws about a file or a call: man 3 errno. */
interface SystemError extends Error {
  code: string;
  syscall: string;
  path?: string;
}

const REFUSED = ['EACCES', 'EPERM', 'EROFS'];
/** Calls that name a path and change what is there. */
const WRITES =
  /^(mkdir|mkdtemp|rmdir|rm|unlink|rename|link|symlink|copyfile|[lf]?chown|chmod|utime)/;
/** Calls about something that is no file. */
const NO_FILE = /^(spawn|connect|listen|bind|send|getaddrinfo|uv_)/;

/** An application's default export, or what runs a Node program in its place. */
export async function loadApplication({ module: path, program }: App): Promise<Application> {
  if (program !== undefined) {
    // Loaded here: nobody else needs it.
    const own = pathToFileURL(builtBeside(import.meta.url, '../node/program.ts')).href;
    const { runProgram } = (await import(own)) as typeof import('../node/program.ts');
    return (ix) => runProgram(ix, { ...program, module: path });
  }
  const { default: application } = await import(pathToFileURL(built(path)).href);
  if (typeof application === 'function') return application;
  const remedy = 'write: export default function application(ix) { ... }';
  throw new ModuleError(`${path} has no default export that is a function; ${remedy}`);
}

/** Why the application of module `path` has not started. */
export function failureOf(error: unknown, path: string): Failure {
  const code = `${(error as Partial<SystemError> | undefined)?.code ?? ''}`;
  if (!(error instanceof Error)) return { code: 'IX_APPLICATION', message: `${path}: ${error}` };
  const unloadable = moduleProblem(error, code, path);
  if (unloadable) return { code: 'IX_MODULE', message: unloadable };
  const refused = 'syscall' in error && permissionProblem(error as SystemError, path);
  if (refused) return { code: 'IX_PERMISSION', message: refused };
  if (code === 'IX_NODE') return { code, message: error.message };
  const stack = error.stack ?? error.message;
  if (/^(?!ERR_).*_/.test(code)) return { code, message: stack };
  return { code: 'IX_APPLICATION', message: `${path} failed to start: ${stack}` };
}

function moduleProblem(error: Error, code: string, path: string): string | undefined {
  const [first = ''] = error.message.split('\n');
  if (code === 'ERR_MODULE_NOT_FOUND') {
    const name = /^Cannot find package '([^']+)'/.exec(first)?.[1];
    const install = name && `install it: npm --prefix ${dirname(path)} install ${name}`;
    return `${first}; ${install ?? `correct the import${sees('it')}`}`;
  }
  // V8 and Node put the place before the stack of what they cannot compile or link.
  const place = /^(?:file:\/\/)?(\/[^\n]*:\d+)\n/.exec(error.stack ?? '')?.[1];
  if (error instanceof SyntaxError && place)
    return `${place}: ${first}; ${lineRemedy(first, path)}`;
  // Of a main module that was required, without a place.
  if (/^The requested module .* does not provide an export /.test(first)) {
    return `${path}, or what it imports: ${first}; correct the import`;
  }
  if (!/^ERR_.*(MODULE|IMPORT|PACKAGE|EXTENSION|TYPE_STRIPPING)/.test(code)) return undefined;
  return `${path} cannot be loaded: ${first}; correct the import`;
}

/** What `npm init` writes today says that its modules are CommonJS. */
const lineRemedy = (problem: string, path: string): string =>
  /^(Unexpected token 'export'|Cannot use import statement)/.test(problem)
    ? `its package.json says CommonJS: write "type": "module" there, or name it ${esmName(path)}`
    : 'correct this line';

const esmName = (path: string): string => basename(path).replace(/\.([jt]s)$/, '.m$1');

const sees = (what: string): string =>
  process.env[CONFINED] ? `, or let the application see ${what} with --allow-read DIRECTORY` : '';

function permissionProblem(error: SystemError, path: string): string | undefined {
  const { code, syscall, path: file } = error;
  const isConfined = Boolean(process.env[CONFINED]);
  const isFile = file !== undefined && !NO_FILE.test(syscall);
  const [problem = ''] = error.message.split('\n');
  if (isFile && isConfined && (REFUSED.includes(code) || code === 'ENOENT')) {
    const isWrite = code === 'EROFS' || WRITES.test(syscall) || isReadable(file);
    const option = isWrite ? `--allow-write ${dirname(file)}` : `--allow-read ${file}`;
    const condition = code === 'ENOENT' ? 'if it exists, allow' : 'allow';
    return `${path}: ${problem}; ${condition} it with ${option}`;
  }
  if (!REFUSED.includes(code)) return undefined;
  const user = isFile ? 'change the permissions of that file' : 'run it as a user who may';
  const confined =
    'a confined application may not (docs/SECURITY.md); to try without: --unconfined';
  return `${path}: ${problem}; ${isConfined ? confined : user}`;
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

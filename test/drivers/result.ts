/**
 * What came of a case of test/drivers/run, kept as RESULTS/KERNEL/CASE.json, and the table of all
 * of them.
 *
 * - `right`: it came to its end, and a client got every byte that it had stored back, at every
 *   size, and the service ran as src/nic/drivers.ts says of this driver, and the kernel's own
 *   socket diagnosis agrees with what the service said of itself, and frames came on every queue;
 *   of tests: none failed and at least one passed; of doctor: nothing that is needed is missing.
 * - `wrong`: something else was seen. `unfinished`: it began and was cut off. `not run`: it did not
 *   begin, or could not. The last two are never taken for right; the detail says why.
 * - A row tells the commit that was tried: a result stays until its case is run again.
 *
 * Called by main.ts.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CASES, type Case } from './cases.ts';
import type { Outcome } from './machine.ts';

export type Verdict = 'right' | 'wrong' | 'unfinished' | 'not run';

export interface Result {
  /** As it was asked for, 6.12, and its whole name. */
  readonly kernel: string;
  readonly release: string;
  /** Commit of the product; with `+` there were changes. */
  readonly product: string;
  readonly options: string;
  readonly name: string;
  readonly verdict: Verdict;
  /** Numbers, or why it is not right. */
  readonly detail: string;
  readonly driver: string;
  /** What `serve` says of XDP, and of the reason that it is not more. */
  readonly mode: string;
  readonly why: string;
  /** xsk_diag's word on the sockets. */
  readonly sockets: string;
  readonly readySeconds: number;
  readonly outcome?: Outcome;
}

interface Xdp {
  mode: string;
  copy: string;
  why: string;
}

/** What the service's line said, if it has XDP. */
function xdpOf({ said }: Outcome): Xdp | undefined {
  const found = /"xdp":(\{[^}]*\})/.exec(said['out']?.join('') ?? '')?.[1];
  return found === undefined ? undefined : JSON.parse(found);
}

type Judged = Pick<Result, 'verdict' | 'detail'>;
const wrong = (detail: string): Judged => ({ verdict: 'wrong', detail });

function judgeTests({ said }: Outcome): Judged {
  const lines = said['test'] ?? [];
  const count = (what: string): number => {
    const numbers = lines.map((line) => new RegExp(`ℹ ${what} (\\d+)`).exec(line)?.[1] ?? 0);
    return numbers.reduce<number>((sum, number) => sum + Number(number), 0);
  };
  const [pass, fail] = [count('pass'), count('fail')];
  const skips = (said['skip'] ?? []).map((line) => line.replace(/ \([\d.]+m?s\)/, ''));
  const numbers = `${pass} pass, ${fail} fail`;
  const skipped = skips.length > 0 ? `; ${skips.join(', ')}` : '';
  const failures = new Set(lines.filter((line) => line.startsWith('✖') && !/failing/.test(line)));
  const failed = [...failures].map((line) => line.replace(/ \([\d.]+m?s\)/, ''));
  if (fail > 0) return wrong(`${numbers}: ${failed.join(', ')}${skipped}`);
  if (pass > 0) return { verdict: 'right', detail: numbers + skipped };
  return { verdict: 'not run', detail: skips.join(', ') || 'no test came to an end' };
}

function judgeService(each: Case, kernel: string, options: string, outcome: Outcome): Judged {
  const { client, said } = outcome;
  if (!client) return wrong('no client');
  if (client.wrong.length > 0) return wrong(client.wrong.join('; '));
  const xdp = xdpOf(outcome);
  const runs = xdp ? `${xdp.mode} ${xdp.copy}` : '';
  const expected = options.includes('--xdp') ? runs : (each.runs?.(kernel) ?? '');
  if (runs !== expected) return wrong(`it runs as '${runs}', '${expected}' was to be expected`);
  const sockets = new Set(said['socket']);
  const own = xdp && (xdp.copy === 'zero-copy' ? 'zc:1' : 'zc:0');
  if (own && sockets.size > 0 && (sockets.size > 1 || !sockets.has(own)))
    return wrong(`it says ${xdp.copy}, the kernel ${[...sockets].join(' ')}`);
  const rates = `${client.requests} requests/s, ${client.pipelined} pipelined/s`;
  if (each.queues === undefined) return { verdict: 'right', detail: rates };
  const frames = framesOf(said['queue'] ?? [], each.queues);
  const came = `frames on queues: ${frames.join(', ')}`;
  if (frames.some((count) => count === 0)) return wrong(came);
  return { verdict: 'right', detail: `${rates}, ${came}` };
}

/** On each queue, of lines `1 2345`: a driver may count it by more than one name. */
function framesOf(lines: readonly string[], queues: number): number[] {
  const counts = lines.map((line) => line.split(' ').map(Number));
  return Array.from({ length: queues }, (_, queue) =>
    Math.max(0, ...counts.flatMap(([of, count]) => (of === queue ? [count!] : []))),
  );
}

export function judge(each: Case, kernel: string, options: string, outcome: Outcome): Judged {
  const { state, failed, lacks, said } = outcome;
  if (lacks !== '') return { verdict: 'not run', detail: lacks };
  if (state === 'waiting') return { verdict: 'not run', detail: failed || 'not reached' };
  if (state === 'running') return { verdict: 'unfinished', detail: failed };
  const missing = (said['out'] ?? []).filter((line) => line.startsWith('missing'));
  if (failed !== '') return wrong([failed, ...(said['err'] ?? []), ...missing].join('; '));
  if (each.kind === 'doctor') return { verdict: 'right', detail: 'nothing needed is missing' };
  return each.kind === 'tests' ? judgeTests(outcome) : judgeService(each, kernel, options, outcome);
}

export function resultOf(
  about: Pick<Result, 'kernel' | 'release' | 'product' | 'options'>,
  each: Case,
  outcome: Outcome,
): Result {
  const { mode = '', copy = '', why = '' } = xdpOf(outcome) ?? {};
  return {
    ...about,
    name: each.name,
    ...judge(each, about.kernel, about.options, outcome),
    driver: outcome.said['driver']?.[0] ?? '',
    mode: `${mode} ${copy}`.trim(),
    why,
    sockets: [...new Set(outcome.said['socket'])].join(' '),
    readySeconds: outcome.readySeconds,
    outcome,
  };
}

/** All results below a folder, by kernel and case. */
export class Results {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  #path(kernel: string, name: string): string {
    return join(this.#folder, kernel, `${name}.json`);
  }

  get(kernel: string, name: string): Result | undefined {
    try {
      return JSON.parse(readFileSync(this.#path(kernel, name), 'utf8'));
    } catch {
      return undefined;
    }
  }

  put(result: Result): void {
    mkdirSync(join(this.#folder, result.kernel), { recursive: true });
    writeFileSync(this.#path(result.kernel, result.name), JSON.stringify(result, null, 1));
  }

  /** Every case of every kernel: what has no result has not run. */
  all(kernels: readonly string[], why: (name: string) => string): Result[] {
    const none = { release: '', product: '', options: '', driver: '', mode: '', why: '' };
    const verdict = 'not run' as const;
    return kernels.flatMap((kernel) =>
      CASES.map(
        ({ name }) =>
          this.get(kernel, name) ?? {
            ...{ ...none, kernel, name, verdict, detail: why(name) },
            ...{ sockets: '', readySeconds: 0 },
          },
      ),
    );
  }
}

const HEAD = [
  ...['kernel', 'case', 'result', 'driver', 'serve says', 'xsk_diag', 'ready s', 'detail'],
  'commit',
];

const cells = (result: Result): string[] => [
  ...[result.release || result.kernel, result.name, result.verdict, result.driver],
  ...[result.why === '' ? result.mode : `${result.mode} (${result.why})`, result.sockets],
  ...[result.readySeconds > 0 ? result.readySeconds.toFixed(1) : '', result.detail],
  result.options === '' ? result.product : `${result.product}, ${result.options}`,
];

/** In Markdown. */
export function table(results: readonly Result[]): string {
  const rows = [HEAD, HEAD.map(() => '---'), ...results.map(cells)];
  const plain = (cell: string): string => cell.replaceAll('|', '/').replaceAll('\n', ' ');
  return rows.map((row) => `| ${row.map(plain).join(' | ')} |\n`).join('');
}

/**
 * The summary for docs/RESULTS.md: the targets with what was measured, losses as plainly as wins,
 * then the numbers of every experiment.
 */
import type { Table } from './experiment.ts';
import { describeMachine, type Finding, formatSpread, type PaperReport } from './report.ts';
import { tableOf } from './table.ts';

const WORD = {
  reached: 'reached',
  missed: '**missed**',
  void: 'undecided: the rounds disagree',
  'not measured': '**not measured**',
} as const;

const row = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  row(head),
  row(head.map(() => '---')),
  ...rows.map(row),
];

export const tableLines = ({ title, head, rows }: Table): string[] => [
  `**${title}**`,
  '',
  ...table(head, rows),
];

export function summaryOf(report: PaperReport): string {
  const count = (verdict: string) => report.targets.filter((t) => t.verdict === verdict).length;
  const undecided = count('void') + count('not measured');
  const run = `${report.settings.level} run, ${Math.round(report.seconds / 60)} minutes`;
  return [
    '# Results: the evaluation of the paper, repeated',
    '',
    `Written by \`bin/ix bench paper --publish\` on ${report.date} (${run}). ` +
      `${describeMachine(report)}.`,
    '',
    'Ours runs beside what a user would pick instead, in turn (A B A B), on the same link, behind the same client. Numbers are',
    'medians of the rounds, in brackets the least and the most. Only ratios within one run are claims; all of it is in',
    '[results.json](results.json), by the names used here.',
    '',
    '## What was to be shown',
    '',
    `${count('reached')} of ${report.targets.length} targets are reached, ${count('missed')} are missed, ${undecided} are undecided or not measured.`,
    '',
    ...table(
      ['target', 'wanted', 'measured', 'verdict', 'ratio'],
      report.targets.map(({ what, bound, value, ratio, verdict, voidWhy }) => {
        const spread = report.ratios[ratio];
        const measured = spread ? formatSpread(spread) : '-';
        const word = voidWhy === undefined ? WORD[verdict] : `void: ${voidWhy}`;
        return [what, `${bound} ${value}`, measured, word, `\`${ratio}\``];
      }),
    ),
    ...reasonsOf(report),
    '',
    ...(report.warnings.length > 0 ? ['Warnings of this run:', ''] : []),
    ...report.warnings.map((warning) => `- ${warning}`),
    ...Object.entries(report.results).flatMap(([name, finding]) => section(name, finding)),
    '',
  ].join('\n');
}

/** Each reason once, with the targets that it is the reason of. */
function reasonsOf({ targets }: PaperReport): string[] {
  const missed = targets.filter(({ verdict }) => verdict === 'missed');
  const reasons = Map.groupBy(missed, ({ ifMissed }) => ifMissed);
  if (reasons.size === 0) return [];
  const lines = [...reasons].map(
    ([reason, of]) => `- ${of.map(({ ratio }) => `\`${ratio}\``).join(', ')}: ${reason}`,
  );
  return [
    '',
    'What stands in the way of those that are missed, and what it would take:',
    '',
    ...lines,
  ];
}

function section(name: string, finding: Finding): string[] {
  const { title, paper, ours, differs, error, run, notes, ratios, tables = [] } = finding;
  const { head, rows } = tableOf(finding);
  const found = Object.entries(ratios).map(([ratio, spread]) => `${ratio} ${formatSpread(spread)}`);
  return [
    '',
    `## ${title}`,
    '',
    `*The paper:* ${paper}`,
    '',
    `*Here:* ${ours}`,
    '',
    `*What differs:* ${differs}`,
    '',
    ...(run === undefined ? [] : [`*Measured:* ${run}.`, '']),
    ...(error === undefined ? [] : [`**Failed:** ${error}`, '']),
    ...(found.length > 0 ? [`Ours over theirs: ${found.join(', ')}.`, ''] : []),
    ...notes.map((note) => `- ${note}`),
    ...(notes.length > 0 ? [''] : []),
    ...tables.flatMap((each, i) => [...(i > 0 ? [''] : []), ...tableLines(each)]),
    ...(rows.length > 0 ? table(head, rows) : []),
    ...(rows.length + tables.length === 0 ? [`No numbers (results.${name}).`] : []),
  ];
}

/**
 * The report as one HTML page that needs nothing else: plots inline, numbers as tables, and the
 * whole JSON inside, so that every number can be traced (a mark's hover text says its place in it).
 */
import { draw, escaped } from './plot.ts';
import { describeMachine, type Finding, formatSpread, type PaperReport } from './report.ts';
import { tableOf } from './table.ts';

const STYLE = `
body {
  font: 15px/1.5 system-ui, sans-serif; color: #222;
  max-width: 1000px; margin: 2em auto; padding: 0 1em;
}
h1 { font-size: 1.6em }
h2 { font-size: 1.25em; margin-top: 2.5em; border-top: 1px solid #ccc; padding-top: .8em }
svg {
  width: 100%; max-width: 640px; display: block; margin: 1em 0;
  font: 11px system-ui, sans-serif;
}
svg .title { font-weight: 600; font-size: 13px }
svg .grid { stroke: #e4e4e4 }
svg .label { fill: #555 }
table { border-collapse: collapse; font-size: 13px; margin: 1em 0 }
td, th {
  padding: 2px 9px; border-bottom: 1px solid #e4e4e4;
  text-align: right; vertical-align: top;
}
td:first-child, th:first-child, .left td, .left th { text-align: left }
.missed { background: #fbe3d6 }
.reached { background: #e0f2e9 }
.void { background: #f5efcf }
.warnings { background: #f5efcf; padding: .6em 1em .6em 2em }
dt { font-weight: 600 }
dd { margin: 0 0 .5em 1.5em }
code { font-size: 13px }
`;

const row = (cells: readonly string[], tag = 'td'): string =>
  `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;

const list = (items: readonly string[], className = ''): string =>
  items.length === 0
    ? ''
    : `<ul class="${className}">${items.map((item) => `<li>${escaped(item)}</li>`).join('')}</ul>`;

export function pageOf(report: PaperReport): string {
  const findings = Object.entries(report.results).map(([name, each]) => section(name, each));
  // '<' never stands in the JSON: a string could end the element otherwise.
  const json = JSON.stringify(report).replace(/</g, '\\u003c');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ix: the paper's evaluation, repeated</title><style>${STYLE}</style></head><body>
<h1>The paper's evaluation, repeated</h1>
<p>IX (Belay et al., OSDI 2014) in TypeScript beside what a user would pick instead, on one machine
in one run of ${Math.round(report.seconds / 60)} minutes (${escaped(report.date)},
${escaped(report.settings.level)}). ${escaped(describeMachine(report))}.</p>
<p>Runs were interleaved (A B A B), ${report.rounds} rounds unless a section says otherwise; numbers
are medians, with the least and the most of the rounds. Only ratios of one run are claims. Hover
over a mark for its numbers and its place in the JSON at the end of this page
(<code>document.getElementById('data').textContent</code>).</p>
${list(report.warnings, 'warnings')}
<h2>Targets</h2>
${targets(report)}
<h2>All ratios, ours over theirs</h2>
<table>${row(['ratio', 'median', 'least', 'most'], 'th')}${Object.entries(report.ratios)
    .map(([name, s]) => row([name, s.median.toFixed(2), s.min.toFixed(2), s.max.toFixed(2)]))
    .join('')}</table>
${findings.join('\n')}
<script type="application/json" id="data">${json}</script>
</body></html>
`;
}

function targets({ targets: all, ratios }: PaperReport): string {
  const rows = all.map(({ ratio, bound, value, what, verdict, ifMissed }) => {
    const spread = ratios[ratio];
    const cells = [
      verdict === 'missed' ? `${what}. ${ifMissed}` : what,
      `${bound} ${value}`,
      spread ? formatSpread(spread) : '-',
      verdict,
      ratio,
    ];
    return row(cells).replace('<tr>', `<tr class="${verdict.replace(' ', '-')}">`);
  });
  const head = row(['target', 'wanted', 'measured', '', 'ratio'], 'th');
  return `<table class="left">${head}${rows.join('')}</table>`;
}

function section(name: string, finding: Finding): string {
  const { title, paper, ours, differs, error, charts, series, notes } = finding;
  const path = `results.${name}`;
  const plots = charts.map((chart) => draw(chart, series, path).svg);
  const absent = series.flatMap(({ title: who, missing, failures }) => [
    ...(missing === undefined ? [] : [`${who}: missing: ${missing}`]),
    ...failures.map((failure) => `${who}: ${failure}`),
  ]);
  return `<h2 id="${escaped(name)}">${escaped(title)}</h2>
<dl>${term('The paper', paper)}${term('Here', ours)}${term('What differs', differs)}</dl>
${error === undefined ? '' : `<p class="warnings">Failed: ${escaped(error)}</p>`}
${list(absent, 'warnings')}${list(notes)}
${plots.join('\n')}
${numbers(finding, path)}`;
}

const term = (name: string, text: string): string => `<dt>${name}</dt><dd>${escaped(text)}</dd>`;

function numbers(finding: Finding, path: string): string {
  const { head, rows } = tableOf(finding);
  const others = (finding.tables ?? []).map((each) => {
    const lines = each.rows.map((cells) => row(cells)).join('');
    return `<p>${escaped(each.title)}</p><table>${row(each.head, 'th')}${lines}</table>`;
  });
  if (rows.length === 0) return others.join('\n');
  const table = `${row(head, 'th')}${rows.map((cells) => row(cells)).join('')}`;
  const summary = `<summary>Numbers (${escaped(path)}.series)</summary>`;
  return `${others.join('\n')}<details>${summary}<table>${table}</table></details>`;
}

/**
 * Plots as SVG text: lines over a linear or logarithmic axis with the spread as whiskers, and
 * grouped bars.
 *
 * - Self-contained: no script, no font, no link; colours that are told apart in grey and by the
 *   colour-blind.
 * - Every mark carries its numbers and its place in the JSON as a <title>, which browsers show on
 *   hover.
 */
import type { Axis, Chart, Metric, Point, Series } from './experiment.ts';

const WIDTH = 640;
const HEIGHT = 360;
const LEFT = 76;
const RIGHT = 16;
const TOP = 34;
const BOTTOM = 50;
/** Okabe and Ito (2008). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#000000'];
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '4 4', '1 4', ''];

export const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** 1234567 -> '1.23 M'. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${trim(value / 1e6)} M`;
  if (size >= 1e4) return `${trim(value / 1e3)} k`;
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return trim(value);
}

const trim = (value: number): string => String(Number(value.toPrecision(3)));

interface Scale {
  (value: number): number;
  ticks: number[];
}

function linear(low: number, high: number, from: number, to: number): Scale {
  const step = niceStep((high - low || 1) / 5);
  const top = Math.ceil(high / step) * step || step;
  const ticks: number[] = [];
  for (let tick = low; tick <= top + step / 2; tick += step)
    ticks.push(Number(tick.toPrecision(6)));
  return Object.assign((v: number) => from + ((v - low) / (top - low)) * (to - from), { ticks });
}

function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((n) => n * power >= rough) ?? 10);
}

function logarithmic(low: number, high: number, from: number, to: number): Scale {
  const [a, b] = [Math.log10(low), Math.log10(high === low ? low * 10 : high)];
  const ticks: number[] = [];
  for (let e = Math.floor(a); e <= Math.ceil(b); e++) {
    for (const n of b - a < 2 ? [1, 2, 5] : [1]) {
      const tick = n * 10 ** e;
      if (tick >= low * 0.99 && tick <= high * 1.01) ticks.push(tick);
    }
  }
  return Object.assign(
    (v: number) => from + ((Math.log10(Math.max(v, low)) - a) / (b - a)) * (to - from),
    { ticks },
  );
}

interface Mark {
  x: number;
  y: number;
  low: number;
  high: number;
  path: string;
}

const metricOf = (point: Point, axis: Axis): Metric | undefined =>
  axis.metric === undefined ? undefined : point.metrics[axis.metric];

function marksOf(series: Series, { x, y }: Chart, path: string): Mark[] {
  return series.points.flatMap((point, index) => {
    const value = metricOf(point, y);
    const along = x.metric === undefined ? point.x : metricOf(point, x)?.median;
    if (value === undefined || along === undefined) return [];
    const scale = y.scale ?? 1;
    return {
      x: along * (x.scale ?? 1),
      y: value.median * scale,
      low: value.min * scale,
      high: value.max * scale,
      path: `${path}.points[${index}].metrics.${y.metric}`,
    };
  });
}

export interface Drawing {
  svg: string;
  isEmpty: boolean;
}

export function draw(chart: Chart, all: readonly Series[], path: string): Drawing {
  const drawn = all
    .map((series, index) => ({ series, path: `${path}.series[${index}]` }))
    .filter(({ series }) => chart.only === undefined || chart.only.includes(series.name))
    .map(({ series, path: at }) => ({ series, marks: marksOf(series, chart, at) }))
    .filter(({ marks }) => marks.length > 0);
  if (drawn.length === 0) return { svg: '', isEmpty: true };
  const body = chart.kind === 'bars' ? drawBars(chart, drawn) : drawLines(chart, drawn);
  const height = chart.kind === 'bars' ? barsHeight(drawn) : HEIGHT;
  const title = escaped(chart.title);
  const svg = `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">
<text class="title" x="${LEFT}" y="16">${title}</text>
${body}</svg>`;
  return { svg, isEmpty: false };
}

type Drawn = { series: Series; marks: Mark[] }[];

function drawLines(chart: Chart, drawn: Drawn): string {
  const marks = drawn.flatMap((each) => each.marks);
  const xs = marks.map((mark) => mark.x);
  const highest = Math.max(...marks.map((mark) => mark.high));
  const lowest = Math.min(...marks.map((mark) => mark.low));
  const xScale = chart.x.log
    ? logarithmic(Math.min(...xs), Math.max(...xs), LEFT, WIDTH - RIGHT)
    : linear(0, Math.max(...xs), LEFT, WIDTH - RIGHT);
  const yScale =
    chart.y.log && lowest > 0
      ? logarithmic(lowest / 1.3, highest * 1.2, HEIGHT - BOTTOM, TOP)
      : linear(0, highest, HEIGHT - BOTTOM, TOP);
  return [
    ...xScale.ticks.map((tick) => xTick(xScale(tick), short(tick))),
    ...yScale.ticks.map((tick) => yTick(yScale(tick), short(tick))),
    `<text class="label" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(chart.x.label)}</text>`,
    `<text class="label" transform="translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">${escaped(chart.y.label)}</text>`,
    ...drawn.map((each, i) => line(each, i, chart, xScale, yScale)),
    ...drawn.map(({ series }, i) => legend(series.title, i, drawn.length)),
  ].join('\n');
}

const xTick = (x: number, text: string): string =>
  `<line class="grid" x1="${x}" x2="${x}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text x="${x}" y="${HEIGHT - BOTTOM + 15}" text-anchor="middle">${text}</text>`;

const yTick = (y: number, text: string): string =>
  `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/><text x="${LEFT - 6}" y="${y + 4}" text-anchor="end">${text}</text>`;

const at = (value: number): string => value.toFixed(1);

function line(
  { series, marks }: Drawn[number],
  i: number,
  chart: Chart,
  xScale: Scale,
  yScale: Scale,
): string {
  const colour = COLOURS[i % COLOURS.length]!;
  const sorted = chart.x.metric === undefined ? marks : marks.toSorted((a, b) => a.x - b.x);
  const points = sorted.map((mark) => `${at(xScale(mark.x))},${at(yScale(mark.y))}`).join(' ');
  const dots = sorted.map((mark) => {
    const [x, y] = [at(xScale(mark.x)), at(yScale(mark.y))];
    const [top, bottom] = [at(yScale(mark.high)), at(yScale(mark.low))];
    const range = `<line x1="${x}" x2="${x}" y1="${top}" y2="${bottom}" stroke="${colour}"/>`;
    const dot = `<circle cx="${x}" cy="${y}" r="3.2" fill="${colour}"/>`;
    return `<g><title>${escaped(hover(series.title, mark, chart))}</title>${range}${dot}</g>`;
  });
  const dashes = DASHES[i % DASHES.length];
  const dash = dashes ? ` stroke-dasharray="${dashes}"` : '';
  const stroke = `stroke="${colour}" stroke-width="1.8"${dash}`;
  return `<polyline fill="none" ${stroke} points="${points}"/>${dots.join('')}`;
}

function hover(title: string, mark: Mark, { x, y }: Chart): string {
  const value = `${short(mark.y)} ${y.label} (${short(mark.low)} to ${short(mark.high)})`;
  return `${title}, ${x.label} ${short(mark.x)}: ${value}; ${mark.path}`;
}

function legend(title: string, i: number, count: number): string {
  const step = (WIDTH - LEFT - RIGHT) / Math.min(4, count);
  const x = LEFT + (i % 4) * step;
  const y = TOP - 6 + Math.floor(i / 4) * 12;
  const colour = COLOURS[i % COLOURS.length]!;
  const dot = `<circle cx="${at(x)}" cy="${y - 4}" r="4" fill="${colour}"/>`;
  return `${dot}<text x="${at(x + 8)}" y="${y}">${escaped(title)}</text>`;
}

const BAR = 15;
const NAME_WIDTH = 210;

const barsHeight = (drawn: Drawn): number => {
  const groups = new Set(drawn.flatMap(({ marks }) => marks.map(({ x }) => x))).size;
  return TOP + groups * (drawn.length * BAR + 10) + 14;
};

function drawBars(chart: Chart, drawn: Drawn): string {
  const groups = [...new Set(drawn.flatMap(({ marks }) => marks.map(({ x }) => x)))].sort(
    (a, b) => a - b,
  );
  const highest = Math.max(...drawn.flatMap(({ marks }) => marks.map(({ high }) => high)));
  const scale = (value: number) => (Math.max(0, value) / highest) * (WIDTH - NAME_WIDTH - 110);
  const group = (x: number, g: number): string => {
    const top = TOP + 8 + g * (drawn.length * BAR + 10);
    const name = escaped(chart.names?.[x] ?? String(x));
    const bars = drawn.map(({ series, marks }, i) => {
      const mark = marks.find((each) => each.x === x);
      if (!mark) return '';
      const y = top + i * BAR;
      const value = `${short(mark.y)} ${chart.y.label}`;
      const text = escaped(`${series.title}, ${chart.names?.[x] ?? x}: ${value}; ${mark.path}`);
      const colour = COLOURS[i % COLOURS.length]!;
      const width = scale(mark.y);
      const size = `width="${at(width)}" height="${BAR - 3}"`;
      const bar = `<rect x="${NAME_WIDTH}" y="${y}" ${size} fill="${colour}"/>`;
      const place = `x="${at(NAME_WIDTH + width + 5)}" y="${y + BAR - 5}"`;
      const label = `<text ${place}>${escaped(value)}</text>`;
      return `<g><title>${text}</title>${bar}${label}</g>`;
    });
    const [x0, y0] = [NAME_WIDTH - 8, top + BAR - 5];
    return `<text x="${x0}" y="${y0}" text-anchor="end">${name}</text>${bars.join('')}`;
  };
  return [
    ...groups.map(group),
    ...drawn.map(({ series }, i) => legend(series.title, i, drawn.length)),
  ].join('\n');
}

/**
 * Distributions as people write them, and samplers of them: sizes of keys and values.
 *
 * - `200` or `fixed:200`; `uniform:MIN,MAX`; `normal:MEAN,SD`; `exponential:MEAN`; `pareto:L,S,K`
 *   (generalized); `gev:L,S,K` (generalized extreme value); `discrete:VALUE=SHARE,...;REST`, where
 *   REST is another distribution for the share that is left.
 * - Names: `fb_key` and `fb_value` are mutilate's models of Facebook's ETC pool (Atikoglu et al.,
 *   SIGMETRICS 2012).
 * - Formulas as in mutilate, with E ~ Exp(1) and U uniform:
 *   GEV l + s (E^-k - 1)/k, generalized Pareto l + s (U^-k - 1)/k.
 *
 * Set-up only: samples are drawn once per key.
 */

import type { Random } from './random.ts';
import { LoadOptionError } from './words.ts';

/** One draw. */
export type Sampler = (random: Random) => number;

/** Names that stand for a distribution. */
const NAMES: Readonly<Record<string, string>> = {
  fb_key: 'gev:30.7984,8.20449,0.078688',
  fb_value:
    'discrete:0=.00536,1=.00047,2=.17820,3=.09239,4=.00018,5=.02740,6=.00065,7=.00606,8=.00023,' +
    '9=.00837,10=.00837,11=.08989,12=.00092,13=.00326,14=.01980;pareto:15,214.476,0.348238',
};

/** (e^(kx) - 1) / k, and its limit x for k = 0. */
const stretched = (x: number, k: number): number => (k === 0 ? x : Math.expm1(k * x) / k);

export const exponential = (random: Random): number => -Math.log(random.unit());

export const generalizedPareto =
  (location: number, scale: number, shape: number): Sampler =>
  (random) =>
    location + scale * stretched(exponential(random), shape);

export const generalizedExtremeValue =
  (location: number, scale: number, shape: number): Sampler =>
  (random) =>
    location + scale * stretched(-Math.log(exponential(random)), shape);

/** Box and Muller 1958. */
const normal =
  (mean: number, deviation: number): Sampler =>
  (random) =>
    mean +
    deviation * Math.sqrt(-2 * Math.log(random.unit())) * Math.cos(2 * Math.PI * random.unit());

const KINDS: Readonly<
  Record<string, { names: readonly string[]; make: (...p: number[]) => Sampler }>
> = {
  fixed: {
    names: ['N'],
    make:
      (n = 0) =>
      () =>
        n,
  },
  uniform: {
    names: ['MIN', 'MAX'],
    make:
      (min = 0, max = 0) =>
      (random) =>
        min + (max - min) * random.unit(),
  },
  normal: { names: ['MEAN', 'SD'], make: normal as (...p: number[]) => Sampler },
  exponential: {
    names: ['MEAN'],
    make:
      (mean = 1) =>
      (random) =>
        mean * exponential(random),
  },
  pareto: {
    names: ['LOCATION', 'SCALE', 'SHAPE'],
    make: generalizedPareto as (...p: number[]) => Sampler,
  },
  gev: {
    names: ['LOCATION', 'SCALE', 'SHAPE'],
    make: generalizedExtremeValue as (...p: number[]) => Sampler,
  },
};

/** For help texts. */
export const DISTRIBUTION_FORMS = [
  'N',
  ...Object.entries(KINDS).map(([kind, { names }]) => `${kind}:${names.join(',')}`),
  'discrete:VALUE=SHARE,...;REST',
  ...Object.keys(NAMES),
].join('  ');

const refuse = (text: string, why: string): never => {
  throw new LoadOptionError(
    `'${text}' is not a distribution (${why}); write ${DISTRIBUTION_FORMS}`,
  );
};

const numberOf = (text: string, whole: string): number => {
  const value = Number(text);
  return text.trim() === '' || !Number.isFinite(value) ? refuse(whole, `'${text}'`) : value;
};

export function parseDistribution(text: string): Sampler {
  const meant = NAMES[text] ?? text;
  const at = meant.indexOf(':');
  if (at < 0) {
    const size = numberOf(meant, text);
    return () => size;
  }
  const kind = meant.slice(0, at);
  const rest = meant.slice(at + 1);
  if (kind === 'discrete') return parseDiscrete(rest, text);
  const form = KINDS[kind];
  if (form === undefined) return refuse(text, `'${kind}' is no kind of one`);
  const parameters = rest.split(',').map((word) => numberOf(word, text));
  if (parameters.length !== form.names.length) return refuse(text, `${kind} takes ${form.names}`);
  return form.make(...parameters);
}

function parseDiscrete(text: string, whole: string): Sampler {
  const semicolon = text.indexOf(';');
  const pairs = (semicolon < 0 ? text : text.slice(0, semicolon)).split(',').map((pair) => {
    const [value = '', share = ''] = pair.split('=');
    return { value: numberOf(value, whole), share: numberOf(share, whole) };
  });
  const total = pairs.reduce((sum, { share }) => sum + share, 0);
  const isWhole = semicolon < 0 ? Math.abs(total - 1) < 1e-6 : total < 1;
  if (!isWhole || pairs.some(({ share }) => share < 0)) {
    return refuse(whole, 'its shares must add up to 1, or leave some to the rest');
  }
  const other = semicolon < 0 ? undefined : parseDistribution(text.slice(semicolon + 1));
  const last = pairs.at(-1)!.value;
  return (random) => {
    let left = random.unit();
    for (const { value, share } of pairs) {
      left -= share;
      if (left < 0) return value;
    }
    return other === undefined ? last : other(random);
  };
}

/** A draw as a size: whole, from `min` to `max`. */
export const sizeFrom = (sample: Sampler, random: Random, min: number, max: number): number =>
  Math.min(max, Math.max(min, Math.floor(sample(random))));

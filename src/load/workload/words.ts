/**
 * Words of a load run as checked numbers, at start-up: unknown names and bad values are refused
 * with one sentence that names the option.
 */
import * as v from 'valibot';

/** What is wrong with what a load run was told. */
export class LoadOptionError extends Error {
  readonly code = 'IX_LOAD_OPTION';
}

export const number = (minimum: number, maximum: number) =>
  v.pipe(
    v.string(),
    v.nonEmpty(`must be a number from ${minimum} to ${maximum}`),
    v.transform(Number),
    v.number(`must be a number from ${minimum} to ${maximum}`),
    v.minValue(minimum, `must be at least ${minimum}`),
    v.maxValue(maximum, `must be at most ${maximum}`),
  );
export const integer = (minimum: number, maximum: number) =>
  v.pipe(number(minimum, maximum), v.integer('must be a whole number'));

export function parse<S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  options: Record<string, string>,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, options);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const name = v.getDotPath(issue);
  const problem =
    issue.type === 'strict_object'
      ? issue.expected === 'never'
        ? 'is not an option'
        : 'is missing'
      : issue.message;
  throw new LoadOptionError(name === null ? problem : `option ${name} ${problem}`);
}

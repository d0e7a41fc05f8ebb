/**
 * Something that must not happen has happened: ends a run, with the seed it is repeated by.
 */
export class Violation extends Error {
  readonly code = 'IX_SIM_VIOLATION';
}

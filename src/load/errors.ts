/**
 * What is wrong with what a load run was told: one sentence that names the option.
 */
export class LoadOptionError extends Error {
  readonly code = 'IX_LOAD_OPTION';
}

/**
 * Which of Node's own tests pass on plain Node and not over our layer, and why: what is not here
 * and fails is a fault of ours.
 *
 * Called by result.ts.
 */
export const DEVIATIONS: Readonly<Record<string, string>> = {};

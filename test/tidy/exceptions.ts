/** Functions of more than 70 lines, each with the reason why it is better whole. */
export const LONG_FUNCTIONS: Readonly<Record<string, string>> = {};

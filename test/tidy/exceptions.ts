/** Functions of more than 70 lines, each with the reason why it is better whole. */
export const LONG_FUNCTIONS: Readonly<Record<string, string>> = {};

/** Files of more than 500 lines, each with the reason. */
export const LONG_FILES: Readonly<Record<string, string>> = {
  'src/libix/connection.ts': 'what an application may touch of it is about to be split off',
};

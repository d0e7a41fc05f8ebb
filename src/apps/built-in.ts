/**
 * The applications that `ix serve NAME` knows: where their modules lie, and what they say of
 * themselves (src/libix/wants.ts).
 *
 * - Imports declarations only. Nothing here loads an application.
 * - An application of ours that is not listed is found by its path, like anybody's.
 *
 * Called by src/control/wish/applications.ts.
 */
import type { Wants } from '../libix/index.ts';
import { wants as kv } from './kv/wants.ts';

export interface BuiltIn {
  readonly module: URL;
  readonly wants: Wants;
}

const builtIn = (path: string, wants: Wants): BuiltIn => ({
  module: new URL(path, import.meta.url),
  wants,
});

/** The first ones are offered to who asks for a name that is not here. */
export const BUILT_IN: Readonly<Record<string, BuiltIn>> = {
  kv: builtIn('./kv/kv.ts', kv),
  echo: builtIn('./echo.ts', {
    connect: 'none',
    settings: ['port'],
    tries: ['echo hello | nc -N ADDRESS PORT', 'bin/ix stat'],
  }),
  bulk: builtIn('./bulk.ts', { connect: 'none', settings: ['bytes', 'seed'] }),
};

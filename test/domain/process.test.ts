/** Both halves of domain process in every order of their steps; explorer.ts says what must hold. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Bounds, Explorer } from './explorer.ts';
import { withKernel } from './programs.ts';

/** Of turn numbers the second is negative. */
const BOUNDS: Bounds = {
  placement: 'same-core',
  ...{ frames: 0, own: 0, deaths: 0, stills: 20, jumps: 1 },
  ...{ startsAtRest: true, switches: Number.POSITIVE_INFINITY, turn: 2 ** 31 - 2 },
};
const LATE = ['late', 'told late', 'told back'];

/** All orders within these bounds; `met` is what must have happened in some of them. */
function holds(name: string, bounds: Partial<Bounds>, met: readonly string[]): void {
  test(name, () => {
    const explorer = new Explorer({ ...BOUNDS, ...bounds });
    withKernel(() => explorer.run());
    assert.ok(explorer.rests > 0, 'everybody came to rest');
    const missing = ['start', 'turn', ...met].filter((what) => !explorer.met.has(what));
    assert.deepEqual(missing, []);
  });
}

describe('domain process', () => {
  holds('aTurn_everyOrder_isEnteredOnceAndNobodySleepsOnIt', { startsAtRest: false }, [
    ...LATE,
    'idle',
  ]);
  holds('aFrame_everyOrder_isToldInATurn', { frames: 1, jumps: 0 }, []);
  holds('aTurnAskedFor_everyOrderOfOneSwitch_isGiven', { own: 1, switches: 1 }, [...LATE, 'idle']);
  holds('aDeath_everyOrder_givesEverythingBack', { deaths: 1, jumps: 0 }, ['death', 'told late']);
  holds('aDeath_runToCompletion_sleepersIncluded', { deaths: 1, own: 1, switches: 0 }, [
    ...['death', 'idle'],
    ...LATE,
  ]);
  holds(
    'ofTwoCores_everyOrderOfTwoSwitches_isEnteredOnce',
    { placement: 'split', stills: 2, jumps: 0, switches: 2 },
    ['told late', 'told back'],
  );
});

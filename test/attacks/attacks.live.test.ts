/**
 * The attack suite: every case of ./cases, tried by a hostile application against a live system
 * (scene.ts).
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Incident } from '../../src/control/children/incidents.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import type { Case } from './case.ts';
import { cases as channel } from './cases/channel.ts';
import { ALLOWED, cases as egress } from './cases/egress.ts';
import { cases as ends } from './cases/ends.ts';
import { cases as exhaustion } from './cases/exhaustion.ts';
import { cases as files } from './cases/files.ts';
import { cases as handles } from './cases/handles.ts';
import { HANG_SECONDS, cases as hangs } from './cases/hangs.ts';
import { cases as kernel } from './cases/kernel.ts';
import { cases as memory } from './cases/memory.ts';
import { cases as pools } from './cases/pools.ts';
import { FLOWS, cases as ports } from './cases/ports.ts';
import { QUOTA, cases as quotas } from './cases/quotas.ts';
import { cases as races } from './cases/races.ts';
import { cases as ranges } from './cases/ranges.ts';
import { Scene } from './scene.ts';

enterNamespace();

interface Suite {
  cases: Case[];
  /** What the hostile service is started with. */
  options?: Record<string, string>;
}

const SUITES: Record<string, Suite> = {
  handles: { cases: handles },
  ranges: { cases: ranges },
  races: { cases: races },
  pools: { cases: pools },
  ports: { cases: ports, options: { flows: `${FLOWS}` } },
  memory: { cases: memory },
  kernel: { cases: kernel },
  files: { cases: files },
  channel: { cases: channel },
  ends: { cases: ends },
  hangs: { cases: hangs, options: { hangTimeout: `${HANG_SECONDS}` } },
  exhaustion: { cases: exhaustion },
  quotas: { cases: quotas, options: { quota: QUOTA } },
  egress: { cases: egress, options: { connect: `${ALLOWED}/32` } },
};
/** How soon the control plane must have said what it has to say. */
const NAMED_MS = 5000;
/**
 * An application that ends is restarted after 100 ms, then after twice as long each time: a fresh
 * service is faster.
 */
const ENDS_MAX = 4;

let scene: Scene;
/** Ends of the application of this service; before the first one, enough for a fresh one. */
let endCount = ENDS_MAX;
/** What it was started with. */
let served: Suite['options'];

/** What the control plane said of the application is what it should have said. */
function assertNamed(said: Incident, expected: Partial<Incident>, pid: number): void {
  assert.deepEqual({ ...said, ...expected, application: 'application', pid }, said);
}

async function attempt(each: Case): Promise<void> {
  const { hostile } = scene;
  const before = await hostile.state();
  const attack = scene.attack(each.name);
  await each.meanwhile?.(hostile.address);
  const { value, error, ended, observed } = await attack;
  if (each.ends) {
    assert.notEqual(ended, undefined, `it answered ${JSON.stringify(value)} ${error}`);
    endCount += 1;
    if (each.ends.cause === 'hang') await hostile.incident('hanging', NAMED_MS);
    assertNamed(await hostile.incident('ended', NAMED_MS), each.ends, before.application);
    await hostile.incident('restarted', 2 * NAMED_MS);
  } else {
    assert.equal(error ?? ended, undefined);
    if ('expects' in each) assert.deepEqual(value, each.expects);
    for (const expected of each.named ?? []) {
      const said = await hostile.incident(expected.event!, NAMED_MS);
      assertNamed(said, expected, before.application);
    }
  }
  each.check?.(value as never, observed);
  const now = await scene.assertHome();
  assert.equal(now.application === before.application, !each.ends, 'the application restarted');
  assert.equal(hostile.errors, '');
  assert.deepEqual(hostile.unheard, [], 'nothing else is said of it');
  await scene.assertUndisturbed(each.floods);
}

describe('attacks', { skip: needsRoot, timeout: 900_000 }, () => {
  before(async () => {
    scene = await Scene.open();
  });
  after(async () => {
    console.log(JSON.stringify(scene.worst));
    await scene.close();
  });
  for (const [category, { cases, options }] of Object.entries(SUITES)) {
    describe(category, () => {
      beforeEach(async () => {
        if (served === options && endCount < ENDS_MAX && !scene.hostile.hasEnded) return;
        await scene.fresh(options);
        endCount = 0;
        served = options;
      });
      for (const each of cases) {
        test(each.name, async () => {
          try {
            await attempt(each);
          } catch (error) {
            endCount = ENDS_MAX; // What it left behind is none of the next case's business.
            throw error;
          }
        });
      }
    });
  }
});

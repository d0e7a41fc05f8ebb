import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Undo } from '../../../src/control/service/undo.ts';

test('run_stepThatFails_othersRunInReverseAndOnce', () => {
  const done: number[] = [];
  const undo = new Undo();
  undo.push(() => done.push(1));
  undo.push(() => {
    throw new Error('no');
  });
  undo.push(() => done.push(3));
  assert.throws(() => undo.run(), /^Error: no$/);
  undo.run();
  assert.deepEqual(done, [3, 1]);
});

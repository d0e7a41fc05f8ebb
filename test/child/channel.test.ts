/**
 * A child's end of its channel: what it says fits into a line, and nothing waits for who does not
 * read.
 */
import assert from 'node:assert/strict';
import { closeSync, readSync } from 'node:fs';
import { test } from 'node:test';
import { Channel, LINE_BYTES_MAX, send } from '../../src/child/channel.ts';
import { socketPair } from '../../src/control/record/descriptors.ts';
import { REPORT_BYTES_MAX } from '../../src/limits.ts';

test('failure_ofAnyLength_fitsIntoALine', () => {
  const [ours, theirs] = socketPair();
  send({ type: 'failed', code: 'LONG_ONE', message: 'x'.repeat(3 * LINE_BYTES_MAX) }, ours);
  closeSync(ours);
  let text = '';
  const chunk = Buffer.alloc(65_536);
  for (let n = 1; n > 0; ) {
    n = readSync(theirs, chunk);
    text += chunk.toString('latin1', 0, n);
  }
  const { type, code, message } = JSON.parse(text);
  assert.deepEqual([type, code, message], ['failed', 'LONG_ONE', 'x'.repeat(65_536)]);
  closeSync(theirs);
});

test('report_asLongAsMayBe_isALineOfTheChannel', () => {
  const line = `{"type":"report","value":${'x'.repeat(REPORT_BYTES_MAX)}}\n`;
  assert.ok(line.length <= LINE_BYTES_MAX);
});

test('report_nobodyReadsThenGoesAway_isTakenAllTheSame', async () => {
  const [ours, theirs] = socketPair();
  const channel = new Channel(() => {}, ours);
  let taken = 0;
  const done = Promise.withResolvers<void>();
  for (let i = 0; i < 100; i++) {
    channel.report(`"${'x'.repeat(10_000)}"`, () => {
      taken += 1;
      if (taken === 101) done.resolve();
    });
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(taken < 100, 'it waits for a reader');
  closeSync(theirs);
  channel.report('"for nobody"', () => {
    taken += 1;
    if (taken === 101) done.resolve();
  });
  await done.promise;
});

/** The measure of allocation, tested itself: it sees little, and nothing where nothing is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesPerOperation } from './property.ts';

test('oneSmallObjectInHundredOperations_bytesPerOperation_isSeen', () => {
  const kept: (object | undefined)[] = [undefined];
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) if (i % 100 === 0) kept[0] = { i };
  });
  assert.ok(bytes >= 0.12 && bytes < 1, `${bytes} bytes per operation`);
});

test('integersOnly_bytesPerOperation_isNothing', () => {
  const cells = new Int32Array(64);
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) cells[i & 63]! += i;
  });
  assert.ok(Math.abs(bytes) < 0.02, `${bytes} bytes per operation`);
});

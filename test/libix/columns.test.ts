import assert from 'node:assert/strict';
import test from 'node:test';
import { COLUMN, Columns } from '../../src/libix/columns.ts';

test('fresh_anyConnection_isAllZero', () => {
  const columns = new Columns(4);
  for (const column of Object.values(COLUMN)) assert.equal(columns.get(3, column), 0);
  assert.deepEqual([columns.address(3), columns.port(3)], [0, 0]);
});

test('written_oneConnection_leavesItsNeighboursAlone', () => {
  const columns = new Columns(3);
  for (const column of Object.values(COLUMN)) columns.set(1, column, -1 - column);
  columns.setAddress(1, 0x0a4d0001);
  columns.setPort(1, 11211);
  for (const column of Object.values(COLUMN)) {
    assert.deepEqual(
      [0, 1, 2].map((id) => columns.get(id, column)),
      [0, -1 - column, 0],
    );
  }
  assert.deepEqual(
    [0, 1, 2].map((id) => columns.address(id)),
    [0, 0x0a4d0001, 0],
  );
  assert.deepEqual(
    [0, 1, 2].map((id) => columns.port(id)),
    [0, 11211, 0],
  );
});

test('reset_aConnection_rareColumnsAreZeroAgain', () => {
  const columns = new Columns(2);
  columns.set(1, COLUMN.gatherBlock, 4097);
  columns.set(0, COLUMN.keepaliveMs, 1000);
  columns.reset(1);
  assert.equal(columns.get(1, COLUMN.gatherBlock), 0);
  assert.equal(columns.get(0, COLUMN.keepaliveMs), 1000);
});

test('reached_beyondItsSize_keepsWhatItHas', () => {
  const columns = new Columns(1);
  columns.set(0, COLUMN.hops, 9);
  columns.setPort(0, 7);
  for (let id = 0; id < 100; id++) {
    columns.reach(id);
    columns.set(id, COLUMN.missing, id);
    columns.setAddress(id, id);
  }
  for (let id = 0; id < 100; id++) {
    assert.deepEqual([columns.get(id, COLUMN.missing), columns.address(id)], [id, id]);
  }
  assert.deepEqual([columns.get(0, COLUMN.hops), columns.port(0)], [9, 7]);
});

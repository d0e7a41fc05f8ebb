import assert from 'node:assert/strict';
import test from 'node:test';
import { COLUMN, Columns } from '../../src/libix/columns.ts';

test('fresh_anyConnection_isAllZero', () => {
  const columns = new Columns(4);
  for (const column of Object.values(COLUMN)) assert.equal(columns.get(3, column), 0);
  assert.deepEqual([columns.remote(3, 3), columns.ports(3)], [0, 0]);
});

test('written_oneConnection_leavesItsNeighboursAlone', () => {
  const columns = new Columns(3);
  for (const column of Object.values(COLUMN)) columns.set(1, column, -1 - column);
  columns.setPorts(1, 11211);
  for (const column of Object.values(COLUMN)) {
    assert.deepEqual(
      [0, 1, 2].map((id) => columns.get(id, column)),
      [0, -1 - column, 0],
    );
  }
  assert.deepEqual(
    [0, 1, 2].map((id) => columns.ports(id)),
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
  columns.setPorts(0, 7);
  for (let id = 0; id < 100; id++) {
    columns.reach(id);
    columns.set(id, COLUMN.missing, id);
    columns.setRemote(id, [0, 0, 0xffff, id], 0);
  }
  for (let id = 0; id < 100; id++) {
    assert.deepEqual([columns.get(id, COLUMN.missing), columns.remote(id, 3)], [id, id]);
  }
  assert.deepEqual([columns.get(0, COLUMN.hops), columns.ports(0)], [9, 7]);
});

const V4 = [0, 0, 0xffff, 0x0a4d0001];
const V6 = [0xfd770000 | 0, 0, 0, 9];
const words = (columns: Columns, id: number): number[][] => [
  [0, 1, 2, 3].map((i) => columns.remote(id, i)),
  [0, 1, 2, 3].map((i) => columns.local(id, i)),
];

test('addresses_ofBothVersions_areKeptAsTheyWere', () => {
  const columns = new Columns(4);
  const ours = [
    [V4, [0, 0, 0xffff, 0x0a4d0002]],
    [V6, [0xfd770000 | 0, 0, 0, 2]],
    [V4, [0, 0, 0xffff, 0x7f000001]],
    [V6, [0xfe800000 | 0, 0, 0x0200_00ff, 0xfe000002 | 0]],
  ];
  ours.forEach(([remote, local], id) => {
    columns.setRemote(id, [-1, ...remote!], 1);
    columns.setLocal(id, [-1, ...local!], 1);
  });
  ours.forEach((both, id) => {
    assert.deepEqual(words(columns, id), both);
  });
});

test('addressOfOurs_theUsualOne_touchesNoColumn', () => {
  const columns = new Columns(2);
  for (let id = 0; id < 2; id++) {
    columns.setRemote(id, V4, 0);
    columns.setLocal(id, [0, 0, 0xffff, 0x0a4d0002], 0);
    for (const column of Object.values(COLUMN)) assert.equal(columns.get(id, column), 0);
  }
  assert.deepEqual(words(columns, 1), [V4, [0, 0, 0xffff, 0x0a4d0002]]);
});

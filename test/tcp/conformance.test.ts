/** docs/conformance.md: its tests exist, and no row of RFC 9293's Appendix B is missing. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const document = readFileSync(`${ROOT}docs/conformance.md`, 'utf8');

/** RFC 9293, Appendix B: every MUST, SHLD, MAY and REC of its table. */
const MUSTS = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25],
  ...[26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48],
  ...[49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69],
];
const SHOULDS = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26],
  ...[27, 28, 29, 30, 31],
];
const MAYS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];
const IDS = [
  ...MUSTS.map((n) => `MUST-${n}`),
  ...SHOULDS.map((n) => `SHLD-${n}`),
  ...MAYS.map((n) => `MAY-${n}`),
  'REC-1',
];

test('rfc9293_everyRowOfAppendixB_hasOneHere', () => {
  const rows = document
    .match(/^\| (?:MUST|SHLD|MAY|REC)-\d+ /gm)!
    .map((row) => row.slice(2).trim());
  assert.deepEqual([...rows].sort(), [...IDS].sort());
});

test('rows_eachMet_orWithAReason', () => {
  const rows = document.split('\n').filter((line) => /^\| (?:[A-Z]+-\d+|\d{3,4})/.test(line));
  assert.ok(rows.length > 150, `${rows.length} rows`);
  for (const row of rows) {
    const [, , what, met, shown] =
      row.split(' | ').length === 4 ? ['', '', ...row.split(' | ').slice(1)] : [];
    assert.ok(what && (met === 'yes' || met === 'no') && shown, row);
    assert.ok(shown.replace(/[ |]/g, '').length > 8, `neither a test nor a reason: ${row}`);
  }
});

test('tests_everyOneNamed_exists', () => {
  const names = [...document.matchAll(/`([a-z]+(?:\/[a-z0-9.-]+)+): ([^`]+)`/g)];
  assert.ok(names.length > 150, `${names.length} tests are named`);
  const missing = names.flatMap(([, file, name]) => {
    const isScript = file!.startsWith('scripts/');
    const path = `${ROOT}test/${file}.${isScript ? 'script' : 'test.ts'}`;
    if (!existsSync(path)) return [`${file}: no such file`];
    const source = readFileSync(path, 'utf8');
    const isThere = isScript
      ? source.split('\n').includes(`== ${name}`)
      : source.includes(`'${name}'`) || source.includes(`\`${name}`);
    return isThere ? [] : [`${file}: ${name}`];
  });
  assert.deepEqual(missing, []);
});

/** TLS's records and HTTP/2's frames are told apart, however their bytes come. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { HTTP2, TLS, Units } from '../../src/node/units.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

const record = (length: number): Buffer =>
  Buffer.from([23, 3, 3, length >> 8, length & 0xff, ...Buffer.alloc(length, 0xff)]);

const frame = (length: number, type = 0): Buffer =>
  Buffer.from([0, length >> 8, length & 0xff, type, 0, 0, 0, 0, 0, ...Buffer.alloc(length, 0xff)]);

/** Where units end, of bytes that come in pieces of `piece`. */
function ends(units: Units, bytes: Buffer, piece: number): Set<number> {
  const found = new Set<number>();
  for (let start = 0; start < bytes.length; start += piece) {
    const end = Math.min(bytes.length, start + piece);
    for (let from = start; from < end; ) {
      const behind = units.behind(bytes, from, end);
      assert.ok(behind > from && behind <= end);
      found.add(behind);
      from = behind;
    }
  }
  return found;
}

for (const [name, units, unit, first] of [
  ['records', () => new Units(TLS), record, ''],
  ['frames', () => new Units(HTTP2), frame, ''],
  ['framesOfAClient', () => Units.startingWith(Buffer.from(PREFACE))!, frame, PREFACE],
] as const) {
  test(`${name}_inPiecesOfEverySize_endsAreFound`, () => {
    const all = [Buffer.from(first), ...[3, 0, 300, 1, 0].map((length) => unit(length))];
    const whole = all.filter(({ length }) => length > 0);
    const bytes = Buffer.concat(whole);
    for (let piece = 1; piece <= bytes.length; piece++) {
      const found = ends(units(), bytes, piece);
      let end = 0;
      for (const { length } of whole) {
        assert.ok(found.has((end += length)), `pieces of ${piece}: no end at ${end}`);
      }
      if (piece === bytes.length) assert.equal(found.size, whole.length, 'and nowhere else');
    }
  });
}

test('pings_behindTheFirst_goWithWhatFollows', () => {
  const PING = 6;
  const bytes = Buffer.concat([1, 2, 3].map(() => frame(8, PING)).concat(frame(5), frame(8, PING)));
  const last = 3 * 17 + 14;
  assert.deepEqual([...ends(new Units(HTTP2), bytes, bytes.length)], [17, last, last + 17]);
});

test('bytesOfNeither_arePassedOn', () => {
  assert.equal(Units.startingWith(Buffer.from('HTTP/1.1 200 OK\r\n')), undefined);
  assert.equal(Units.startingWith(Buffer.from('GET')), undefined);
  assert.notEqual(Units.startingWith(frame(6, 4)), undefined);
  const bytes = Buffer.from('GET / HTTP/1.1\r\n');
  assert.ok(ends(new Units(TLS), bytes, 4).has(bytes.length));
});

/** What an application may report, and what becomes of the rest: nothing of it ends anybody. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  makeUnderWay,
  passedOn,
  type ReportMessage,
  reporter,
} from '../../src/dataplane/reports.ts';
import { DEPTH_MAX } from '../../src/json-depth.ts';
import { REPORT_BYTES_MAX, REPORTS_BYTES_MAX } from '../../src/limits.ts';
import { listenToErrors } from './errors.ts';
import { FakeGate } from './fake-gate.ts';

const circle: Record<string, unknown> = {};
circle['self'] = circle;

const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth));

/** What cannot be reported, and what the line says of it. */
const REFUSED: Record<string, [value: unknown, says: RegExp]> = {
  nothing: [undefined, /undefined is no JSON/],
  function: [() => {}, /function is no JSON/],
  symbol: [Symbol('s'), /symbol is no JSON/],
  bigint: [{ n: 1n }, /cannot be said as JSON \(TypeError: Do not know how to serialize a BigInt/],
  circle: [circle, /cannot be said as JSON \(TypeError: Converting circular structure/],
  toJsonThrows: [
    {
      toJSON() {
        throw new Error('not me\nnor you');
      },
    },
    /cannot be said as JSON \(Error: not me\)/,
  ],
  toJsonThrowsAnything: [
    {
      toJSON() {
        throw Object.create(null);
      },
    },
    /cannot be said as JSON/,
  ],
  tooLong: ['x'.repeat(REPORT_BYTES_MAX - 1), /bytes of JSON, at most \d+ go; split it/],
  tooLongInUtf8: ['\u20ac'.repeat(REPORT_BYTES_MAX / 2), /bytes of JSON, at most/],
  tooDeep: [nested(DEPTH_MAX), /nested deeper than 63; make it flatter/],
};

describe('reports', () => {
  for (const [name, [value, says]] of Object.entries(REFUSED)) {
    it(`${name}_isRefusedToTheCallerInOneLine`, (t) => {
      const said = listenToErrors(t);
      const gate = new FakeGate();
      assert.equal(gate.ix.report(value), false);
      assert.equal(said.length, 1);
      assert.match(said[0]!, /^ix: application error: a report was not sent: [^\n]+\n$/);
      assert.match(said[0]!, says);
      assert.deepEqual(gate.reports, []);
      assert.equal(gate.ix.report({ still: 'here' }), true);
      assert.deepEqual(gate.reports, [{ still: 'here' }]);
    });
  }

  it('asLongAndDeepAsMayBe_arrives', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate();
    const values = ['x'.repeat(REPORT_BYTES_MAX - 2), nested(DEPTH_MAX - 1), null, 0, ''];
    for (const value of values) assert.equal(gate.ix.report(value), true);
    assert.deepEqual(gate.reports, values);
    assert.deepEqual(said, []);
  });

  it('nobodyReads_whatIsUnderWayIsBounded_andGoesOnWhenSomebodyDoes', () => {
    const underWay = makeUnderWay();
    const queue: ReportMessage[] = [];
    const send = reporter(underWay, (message) => queue.push(message));
    let sent = 0;
    while (send('"0123456789"')) sent += 1;
    assert.ok(sent * 12 < REPORTS_BYTES_MAX && sent > 1000, `${sent}`);
    for (let i = 0; i < 10_000; i++) assert.equal(send('1'.repeat(1000)), false);
    assert.equal(queue.length, sent);
    for (const message of queue.splice(0)) passedOn(underWay, message);
    assert.equal(new Int32Array(underWay)[0], 0);
    assert.ok(send('x'.repeat(REPORT_BYTES_MAX)), 'one of the longest always finds room');
  });

  it('noRoom_isSaidOnceInTenSeconds', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate();
    gate.hasRoomForReports = false;
    for (let i = 0; i < 1000; i++) assert.equal(gate.ix.report(i), false);
    assert.equal(said.length, 1);
    assert.match(said[0]!, /earlier ones have not been read yet; report less often/);
    gate.hasRoomForReports = true;
    assert.equal(gate.ix.report('back'), true);
    gate.hasRoomForReports = false;
    for (let i = 0; i < 10; i++) gate.ix.report(i);
    assert.equal(said.length, 1);
    const { now } = performance;
    t.mock.method(performance, 'now', () => now.call(performance) + 10_000);
    for (let i = 0; i < 10; i++) gate.ix.report(i);
    assert.equal(said.length, 2);
    assert.deepEqual(gate.reports, ['back']);
  });
});

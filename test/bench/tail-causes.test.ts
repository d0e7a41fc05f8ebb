/** Which stall is held to be the reason of a slow request: made-up requests and stalls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  causeOf,
  rowsOf,
  type Stall,
  stallRowsOf,
  stallsOf,
  UNSEEN,
} from '../../bench/paper/tail-causes.ts';
import { REASON } from '../../src/dataplane/stalls.ts';

/** Just below the wrap of the dataplane's microseconds. */
const BASE_MS = (2 ** 32 - 1000) / 1000;
const request = (dueUs: number, tookUs: number) => ({
  dueMs: BASE_MS + dueUs / 1000,
  sentMs: BASE_MS + dueUs / 1000,
  answeredMs: BASE_MS + (dueUs + tookUs) / 1000,
});
const stall = (startUs: number, tookUs: number, reason: number): Stall => ({
  ...{ startUs: (2 ** 32 - 1000 + startUs) | 0, tookUs, reason },
});
const causes = (server: Stall[], generator: Stall[] = []) =>
  causeOf(request(500, 4000), [
    { who: 'server', stalls: server },
    { who: 'generator', stalls: generator },
  ]);

test('request_stallsOfBoth_theOneThatCoversMostIsTheReason', () => {
  const found = causes(
    [stall(400, 1500, REASON.collected)],
    [stall(900, 3000, REASON.preempted), stall(90_000, 9000, REASON.taken)],
  );
  assert.equal(found.who, 'generator');
  assert.match(found.what, /switched out/);
  assert.equal(found.isBacklog, false);
});

test('request_aStallJustBefore_wasWorkedOff', () => {
  const found = causes([stall(-6000, 5000, REASON.taken), stall(600, 100, REASON.batch)]);
  assert.match(found.what, /taken without a switch/);
  assert.equal(found.isBacklog, true);
});

test('request_noStallNear_isSaidToBeUnseen', () => {
  assert.equal(causes([stall(-60_000, 5000, REASON.taken)]).what, UNSEEN);
  assert.equal(causes([]).who, '');
});

test('table_ofRequests_countsEachReason_mostFrequentFirst', () => {
  const stalls = stallsOf(words(stall(0, 4000, REASON.preempted)));
  const rows = rowsOf(
    [request(100, 3900), request(50_000, 700), request(200, 3800), request(300, 3700)],
    [{ who: 'server', stalls }],
  );
  assert.deepEqual(
    rows.map(({ who, count, stalls, medianUs, longestUs }) => [
      ...[who, count, stalls, medianUs, longestUs],
    ]),
    [
      ['server', 3, 1, 3800, 3900],
      ['', 1, 0, 700, 700],
    ],
  );
});

test('collectionInsideAStall_isItsReason_ifItIsMostOfIt', () => {
  const long = stall(900, 5000, REASON.eventLoop);
  const short = stall(8000, 5000, REASON.batch);
  const found = stallsOf([
    ...[long, short].flatMap(words),
    ...[stall(1000, 3000, REASON.collected), stall(8100, 2000, REASON.collected)].flatMap(words),
  ]);
  assert.deepEqual(found, [{ ...long, reason: REASON.collected }, short]);
});

test('allStalls_ofTheMeasuredTimeOnly_areSummedByThreadAndReason', () => {
  const rows = stallRowsOf(
    [BASE_MS, BASE_MS + 100],
    [
      { who: 'server', stalls: [stall(-500, 1500, REASON.taken), stall(-900, 300, REASON.taken)] },
      {
        who: 'generator',
        stalls: [stall(2000, 300, REASON.preempted), stall(99_000, 4000, REASON.preempted)],
      },
    ],
  );
  assert.deepEqual(
    rows.map(({ who, count, share, longestUs }) => [who, count, share.toFixed(4), longestUs]),
    [
      ['generator', 2, '0.0130', 4000],
      ['server', 1, '0.0100', 1500],
    ],
  );
});

const words = ({ startUs, tookUs, reason }: Stall): number[] => [startUs, tookUs, reason, 0];

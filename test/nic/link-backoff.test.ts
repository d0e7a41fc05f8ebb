/** How often a driver asks about a link that is down, in virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '../../src/arena/clock.ts';
import { isGoneError, isLinkError, LinkBackoff } from '../../src/nic/link-backoff.ts';

const EIO = 5;
const ENXIO = 6;
const EAGAIN = 11;
const EBUSY = 16;
const ENODEV = 19;
const EBADFD = 77;
const ENETDOWN = 100;
const ENOBUFS = 105;

/** Kicks of a thread that turns ten times a millisecond for so long, all refused. */
function refusedKicks(link: LinkBackoff, clock: Clock, ms: number): number {
  let kicks = 0;
  for (let turn = 0; turn < ms * 10; turn++) {
    if (turn % 10 === 0) clock.ms = (clock.ms + 1) | 0;
    if (!link.mayTry()) continue;
    kicks++;
    assert.ok(link.heard(-ENETDOWN));
  }
  return kicks;
}

test('linkDown_turnsForAMinute_asksAFewTimesASecond', () => {
  const clock = new Clock();
  clock.ms = 0x7fff_fff0; // its sign changes meanwhile
  const link = new LinkBackoff(clock);
  assert.ok(link.mayTry());
  const kicks = refusedKicks(link, clock, 60_000);
  assert.ok(kicks >= 60_000 / 256 && kicks < 60_000 / 256 + 12, `${kicks} kicks`);
});

test('linkDown_isUpAgain_asksAtOnceAndBeginsAnew', () => {
  const clock = new Clock();
  const link = new LinkBackoff(clock);
  refusedKicks(link, clock, 1000);
  assert.ok(!link.heard(0));
  assert.ok(!link.isDown && link.mayTry());
  assert.ok(link.heard(-ENXIO));
  assert.ok(!link.mayTry());
  clock.ms = (clock.ms + 1) | 0;
  assert.ok(link.mayTry(), 'the first wait is the shortest again');
});

test('linkDown_withoutAClock_mayAlwaysTry', () => {
  const link = new LinkBackoff(undefined);
  assert.ok(link.heard(-ENETDOWN));
  assert.ok(link.isDown && link.mayTry());
});

test('linkUp_otherRefusals_areNotTheLinks', () => {
  for (const errno of [EAGAIN, EBUSY, ENOBUFS]) assert.ok(!isLinkError(-errno));
  for (const errno of [EIO, ENXIO, ENODEV, EBADFD, ENETDOWN]) assert.ok(isLinkError(-errno));
  assert.deepEqual(
    [EIO, ENXIO, ENODEV, EBADFD, ENETDOWN].map((errno) => isGoneError(-errno)),
    [false, false, true, true, false],
  );
  assert.ok(!isLinkError(0) && !isLinkError(3));
});

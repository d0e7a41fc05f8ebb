/** Each counter has a text, and each text a counter; all of them fit a line of a terminal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTER_NAMES } from '../../src/counters.ts';
import { DROPS, MEANINGS, meaningOf } from '../../src/explain/explain.ts';
import { KINDS } from '../../src/explain/meaning.ts';

test('everyCounter_hasAMeaning_andNoMeaningIsLeftOver', () => {
  assert.deepEqual(Object.keys(MEANINGS).sort(), [...COUNTER_NAMES].sort());
});

test('everyMeaning_isTwoSentencesOfOneLine', () => {
  for (const [name, [kind, means, remedy]] of Object.entries(MEANINGS)) {
    assert.ok(KINDS.includes(kind), name);
    for (const text of [means, remedy]) assert.match(text, /^[A-Z][ -~]{6,110}[.)]$/, name);
  }
});

test('countersOfWhatIsThrownAway_areDrops_ofWhatIsMeasured_areNot', () => {
  for (const name of ['rxNoFrame', 'ipBadChecksum', 'udpNoPort', 'tcpFlowsFull'] as const) {
    assert.ok(DROPS.includes(name), name);
  }
  for (const name of ['rxFrames', 'tcpFlows', 'busyUs', 'tcpRetransmits'] as const) {
    assert.ok(!DROPS.includes(name), name);
  }
});

test('nameThatIsNoCounter_hasNoMeaning', () => {
  assert.equal(meaningOf('constructor'), undefined);
  assert.equal(meaningOf('rxFrames')?.[0], 'ordinary');
});

test('remediesThatNameOtherCounters_nameSomeThatThereAre', () => {
  const names = new Set<string>(COUNTER_NAMES);
  for (const [name, [, , remedy]] of Object.entries(MEANINGS)) {
    for (const [word] of remedy.matchAll(/\b(?:tcp|rx|tx|kick|application)[A-Z]\w+/g)) {
      assert.ok(names.has(word), `${name}: ${word}`);
    }
  }
});

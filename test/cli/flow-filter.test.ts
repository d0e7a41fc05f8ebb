import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCondition, parseFlowFilter } from '../../src/cli/flow-filter.ts';
import { describeFlow } from '../../src/cli/flows.ts';
import type { Flow } from '../../src/control/record/flows.ts';
import { OptionError } from '../../src/errors.ts';

const FLOW: Flow = {
  ...{ thread: 1, local: '10.77.0.2', localPort: 11_211, remote: '10.77.0.1', remotePort: 40_000 },
  ...{ state: 'ESTABLISHED', isActive: false, rttUs: 1234, rttVarUs: 100, minRttUs: 900 },
  ...{ rtoUs: 201_234, backoff: 0, cwnd: 14_480, ssthresh: 0, mss: 1448, sendWindow: 65_535 },
  ...{ receiveWindow: 60_000, inFlight: 10, retransmits: 3, unread: 7, outOfOrderFrames: 0 },
  ...{ unsent: 5, idleMs: 2500 },
};
const FLOW6: Flow = { ...FLOW, local: 'fd77::2', remote: 'fd77::1', state: 'FIN-WAIT-2' };

const isMeant = (text: string, flow = FLOW): boolean =>
  parseFlowFilter(text === '' ? [] : text.split(' '))(flow);

test('conditionsThatHold_nameTheFlow', () => {
  const all = [
    '',
    'dport 11211',
    'sport 40000',
    'port 40000 and port 11211',
    'src 10.77.0.1',
    'src 10.77.0.0/24',
    'dst 10.77.0.2 state established',
    'host 10.77.0.2',
    'state ESTABLISHED',
    'thread 1',
  ];
  for (const text of all) assert.ok(isMeant(text), text);
  for (const text of ['src fd77::/64', 'dst fd77::2', 'state fin-wait-2', 'state finwait2']) {
    assert.ok(isMeant(text, FLOW6), text);
  }
});

test('oneConditionThatDoesNotHold_isEnough', () => {
  const none = [
    'dport 40000',
    'src 10.77.0.2',
    'src 10.78.0.0/16',
    'src fd77::/64',
    'dport 11211 state time-wait',
    'thread 0',
  ];
  for (const text of none) assert.equal(isMeant(text), false, text);
  assert.equal(isMeant('src 10.77.0.1', FLOW6), false);
});

test('filterThatCannotBe_isRefusedWithWhatThereIs', () => {
  const wrong: [string, RegExp][] = [
    ['dprot 1', /'dprot' is no condition of a filter; write: src\|dst/],
    ['constructor 1', /'constructor' is no condition/],
    ['dport', /dport needs a value/],
    ['dport http', /'http' is not a port; write a number from 0 to 65535/],
    ['dport 65536', /not a port/],
    ['src 10.77.0', /neither an address nor a network/],
    ['src 10.77.0.0/33', /neither an address/],
    ['src fe80::1%eth0', /neither an address/],
    ['state open', /'open' is not a state of TCP; there is syn-sent, /],
    ['and dport 1', /'and' is no condition/],
    ['dport 1 and', /'and' is no condition/],
    ['dport 1 or dport 2', /'or' is no condition/],
    ['state \x1b[2J', /'\\x1b\[2J' is not a state/],
  ];
  for (const [text, message] of wrong) {
    assert.throws(
      () => isMeant(text),
      (error) => error instanceof OptionError,
      text,
    );
    assert.throws(() => isMeant(text), message, text);
  }
});

test('firstWord_isACondition_orTheNameOfAService', () => {
  assert.ok(isCondition('dport'));
  for (const name of ['kv', '10.77.0.2', 'toString']) assert.equal(isCondition(name), false);
});

test('flow_isTwoLinesOfEightyColumnsOrLittleMore', () => {
  assert.equal(
    describeFlow(FLOW),
    '  ESTABLISHED  10.77.0.2:11211 <- 10.77.0.1:40000 thread 1 unread 7 unsent 5\n' +
      '      rtt 1.234/0.100 ms, min 0.900 ms, rto 201 ms, cwnd 14480, ssthresh -, mss 1448, ' +
      'windows 65535/60000, flight 10, rtx 3, idle 2.5 s',
  );
  assert.match(describeFlow(FLOW6), /\[fd77::2\]:11211 <- \[fd77::1\]:40000/);
});

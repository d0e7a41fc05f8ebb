/**
 * The application has died: every flow, state by state, reset, or (gracefully) closed when nothing
 * is lost.
 *
 * - Whatever it was, everything the application held is back before anybody else has a turn, and
 *   nobody is told of it later.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, LISTEN_KNOCK_AT_SYN } from '../../src/gate/abi.ts';
import { type Fields, Peer, type Segment } from './peer.ts';

/** As the dataplane does it: the end, what is pending to nobody, and what must leave. */
function die(p: Peer, isGraceful: boolean): Peer {
  p.events();
  p.host.tcp.dropApplication(isGraceful);
  while (p.host.emit().length > 0);
  p.host.takeEvents();
  assert.equal(p.host.env.frames.held, 0, 'no received frame is held');
  assert.ok(p.host.tcp.sendQueue.allHome(), 'no span and no byte of the quota');
  p.host.tcp.flush();
  return p;
}

/** Nobody is told anything more, and all is home when the dataplane stops. */
function end(p: Peer): void {
  p.turn();
  assert.deepEqual(p.events(), []);
  p.host.tcp.dropApplication();
  p.turn();
  assert.deepEqual(p.events(), []);
  p.close();
}

interface Case {
  /** The flow in its state; what the host said meanwhile was taken. */
  reach: (p: Peer) => void;
  /** What the peer gets with fin; `RA` for all with rst. */
  fin: Partial<Segment>[];
}

const closed = (p: Peer) => assert.equal(p.host.tcp.close(p.handle), CODE.OK);
const done = (p: Peer, bytes: number) =>
  assert.equal(p.host.tcp.recvDone(p.handle, bytes), CODE.OK);
const quiet = (p: Peer) => p.turn().replies();

const CASES: Record<string, Case> = {
  established: { reach: (p) => p.open(), fin: [{ flags: 'FA', seq: 1, ack: 1 }] },
  establishedByConnect: { reach: (p) => p.opened(), fin: [{ flags: 'FA', seq: 1, ack: 1 }] },
  established_sentAndAcknowledged: {
    reach: (p) => {
      p.open().write(0, 100).replies();
      p.send('A');
    },
    fin: [{ flags: 'FA', seq: 101 }],
  },
  established_unacknowledgedData: {
    reach: (p) => p.open().write(0, 100).replies(),
    fin: [{ flags: 'RA', seq: 101 }],
  },
  established_partlyAcknowledgedData: {
    reach: (p) => {
      p.open().write(0, 100).replies();
      p.send('A', { ack: 61 });
    },
    fin: [{ flags: 'RA', seq: 101 }],
  },
  established_unsentData: {
    reach: (p) => {
      p.open().send('A', { window: 0 });
      p.write(0, 100).replies();
    },
    fin: [{ flags: 'RA', seq: 1 }],
  },
  established_receivedAndDone: {
    reach: (p) => {
      p.open().send('PA', { data: 10 });
      done(p, 10);
      p.pass(50).replies();
    },
    fin: [{ flags: 'FA', ack: 11 }],
  },
  established_receivedAndBeingWorkedOn: {
    reach: (p) => p.open().send('PA', { data: 10 }).pass(50).replies(),
    fin: [{ flags: 'FA', ack: 11 }],
  },
  established_unreadData: {
    reach: (p) => p.open().deliver('PA', { data: 10 }),
    fin: [{ flags: 'RA', seq: 1, ack: 11 }],
  },
  established_dataOutOfOrder: {
    reach: (p) => p.open().send('PA', { seq: 11, data: 10 }).replies(),
    fin: [{ flags: 'FA', ack: 1 }],
  },
  closeWait: {
    reach: (p) => p.open().send('FA').replies(),
    fin: [{ flags: 'FA', seq: 1, ack: 2 }],
  },
  closeWait_unacknowledgedData: {
    reach: (p) => {
      p.open().send('FA').replies();
      p.write(0, 100).replies();
    },
    fin: [{ flags: 'RA', seq: 101, ack: 2 }],
  },
  finWait1_closed: {
    reach: (p) => {
      closed(p.open());
      quiet(p);
    },
    fin: [],
  },
  finWait1_closedWithUnacknowledgedData: {
    reach: (p) => {
      p.open().write(0, 100).replies();
      closed(p);
      quiet(p);
    },
    fin: [{ flags: 'RA', seq: 102 }],
  },
  finWait2_closed: {
    reach: (p) => {
      closed(p.open());
      quiet(p);
      p.send('A');
    },
    fin: [],
  },
  finWait2_shutdown: {
    reach: (p) => {
      p.host.tcp.shutdown(p.open().handle);
      quiet(p);
      p.send('A');
    },
    fin: [],
  },
  closing: {
    reach: (p) => {
      closed(p.open());
      quiet(p);
      p.send('FA', { ack: 1 }).replies();
    },
    fin: [],
  },
  lastAck: {
    reach: (p) => {
      p.open().send('FA').replies();
      closed(p);
      quiet(p);
    },
    fin: [],
  },
  knocked_notAccepted: {
    reach: (p) => {
      p.host.tcp.listen(1, 0, 7, 4, 0);
      p.send('S', { mss: 1460 }).replies();
      p.send('A');
    },
    fin: [{ flags: 'RA', seq: 1, ack: 1 }],
  },
  synReceived: {
    reach: (p) => {
      p.host.tcp.listen(1, 0, 7, 4, 0);
      p.send('S', { mss: 1460 }).replies();
    },
    fin: [{ flags: 'RA', seq: 1, ack: 1 }],
  },
  synReceived_acceptedAtSyn: {
    reach: (p) => {
      p.host.tcp.listen(1, 0, 7, 4, LISTEN_KNOCK_AT_SYN);
      p.send('S', { mss: 1460 });
      const [knock] = p.host.takeEvents();
      assert.equal(p.host.tcp.accept(knock!.handle, 5), CODE.OK);
      p.turn().replies();
    },
    fin: [{ flags: 'RA', seq: 1, ack: 1 }],
  },
};

for (const [name, { reach, fin }] of Object.entries(CASES)) {
  test(`${name}_applicationDies_reset`, () => {
    const p = new Peer();
    reach(p);
    die(p, false);
    assert.deepEqual(
      p.replies().map(({ flags }) => flags),
      ['RA'],
    );
    assert.ok(p.host.tcp.allHome(), 'every flow is home at once');
    end(p);
  });

  test(`${name}_applicationDiesGracefully_${fin[0]?.flags === 'RA' ? 'reset' : 'closed'}`, () => {
    const p = new Peer();
    reach(p);
    die(p, true).expect(...fin);
    assert.equal(p.host.tcp.allHome(), fin[0]?.flags === 'RA');
    end(p);
  });
}

test('synSent_applicationDiesGracefully_forgotten', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (7 << 16) | 40_000);
  p.turn().replies();
  p.host.tcp.dropApplication(true);
  p.host.emit();
  p.host.emit();
  p.expect();
  assert.ok(p.host.tcp.allHome());
  p.close();
});

test('listening_applicationDiesGracefully_refusedAtOnce', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, 7, 4, 0);
  die(p, true);
  p.send('S', { mss: 1460 }).expect({ flags: 'RA', seq: 0, ack: 1 });
  assert.ok(p.host.tcp.listen(2, 0, 7, 4, 0) > 0, 'the port is free');
  p.close();
});

/** Established, and closed for the application that died; `fields` as for `open`. */
function orphan(fields: Fields = { mss: 1460 }): Peer {
  const p = new Peer().open(fields);
  die(p, true).replies();
  return p;
}

test('closedForTheDead_peerCloses_timeWaitThenHome', () => {
  const p = orphan();
  p.send('A').send('FA').expect({ flags: 'A', seq: 2, ack: 2 });
  assert.equal(p.host.tcp.openFlows, 1, 'TIME-WAIT');
  p.send('FA', { seq: 1 }).expect({ flags: 'A', seq: 2, ack: 2 });
  p.pass(59_000);
  assert.equal(p.host.tcp.openFlows, 1);
  p.pass(2000);
  assert.ok(p.host.tcp.allHome());
  end(p);
});

test('closedForTheDead_closeWait_lastAckThenHome', () => {
  const p = new Peer().open();
  p.send('FA').replies();
  die(p, true).expect({ flags: 'FA', seq: 1 });
  p.send('A');
  assert.ok(p.host.tcp.allHome());
  end(p);
});

test('closedForTheDead_finLost_sentAgain', () => {
  const p = orphan();
  p.pass(1001).expect({ flags: 'FA', seq: 1, ack: 1 });
  p.send('A', { ack: 2 }).send('FA').expect({ flags: 'A', ack: 2 });
  end(p);
});

test('closedForTheDead_peerNeverAnswers_givenUp', () => {
  const p = orphan();
  for (let second = 0; second < 600; second++) p.pass(1000).replies();
  assert.ok(p.host.tcp.allHome());
  end(p);
});

test('closedForTheDead_peerNeverCloses_forgottenAfterAMinute', () => {
  const p = orphan();
  p.send('A').pass(59_000).expect();
  assert.equal(p.host.tcp.openFlows, 1);
  p.pass(2000).expect();
  assert.ok(p.host.tcp.allHome());
  end(p);
});

test('closedForTheDead_peerGoesOnSending_reset', () => {
  const p = orphan();
  p.send('PA', { data: 10 });
  assert.equal(p.replies().at(-1)!.flags, 'RA');
  assert.ok(p.host.tcp.allHome());
  end(p);
});

test('closedForTheDead_peerResets_home', () => {
  const p = orphan();
  p.send('R').expect();
  assert.ok(p.host.tcp.allHome());
  end(p);
});

test('closedForTheDead_oldHandle_badHandle', () => {
  const p = orphan();
  const { tcp } = p.host;
  assert.equal(tcp.send(p.handle, p.host.at(0), 1), CODE.BAD_HANDLE);
  assert.equal(tcp.recvDone(p.handle, 1), CODE.BAD_HANDLE);
  assert.equal(tcp.close(p.handle), CODE.BAD_HANDLE);
  assert.equal(tcp.abort(p.handle), CODE.BAD_HANDLE);
  assert.equal(tcp.abort(p.handle + (1 << 20)), CODE.BAD_HANDLE, 'the next generation is nobody`s');
  end(p);
});

test('closedForTheDead_flowsFull_givenUpForTheNextApplication', () => {
  const p = new Peer({ environment: { limits: { flows: 1 } } }).open();
  die(p, true).replies();
  const next = new Peer({ host: p.host, sourcePort: 42_000 });
  p.host.tcp.listen(2, 0, 7, 4, 0);
  next.send('S', { mss: 1460 });
  assert.deepEqual(
    next.replies().map(({ flags, port }) => [flags, port]),
    [
      ['RA', 40_000],
      ['SA', 42_000],
    ],
  );
  assert.equal(p.host.tcp.openFlows, 1);
  p.close();
});

test('closedForTheDead_nextApplicationDiesToo_goesOn', () => {
  const p = orphan();
  die(p, true).expect();
  p.send('A').send('FA').expect({ flags: 'A', ack: 2 });
  p.pass(61_000);
  assert.ok(p.host.tcp.allHome());
  end(p);
});

test('closedForTheDead_dataplaneStops_reset', () => {
  const p = orphan();
  die(p, false).expect({ flags: 'RA', seq: 2 });
  assert.ok(p.host.tcp.allHome());
  end(p);
});

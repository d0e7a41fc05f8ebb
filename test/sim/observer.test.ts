/**
 * The observer sees what it claims to see: for each rule, a short exchange that keeps it and one
 * that breaks it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOf, makePattern, PATTERN_BYTES, patternIndex } from '../../sim/content.ts';
import { Observer } from '../../sim/observer.ts';
import { Schedule } from '../../sim/schedule.ts';
import { Violation } from '../../sim/violation.ts';
import { Arena } from '../../src/arena/arena.ts';
import { ACK, FIN, PSH, RST, SYN, URG } from '../../src/wire/tcp.ts';
import { type SegmentFields, writeSegment } from './frame.ts';

const MSS_1000 = [2, 4, 1000 >> 8, 1000 & 0xff];
const CLIENT_ISS = -500;
const SERVER_ISS = 0x7fff_ff00;
const CLIENT_PORT = 40_000;
const SERVER_PORT = 7;

/**
 * A client (host 0) and a server (host 1) of one connection; every segment is built from relative
 * numbers.
 */
class Exchange {
  readonly schedule = new Schedule();
  readonly pattern = makePattern();
  readonly arena = new Arena(4 * 65_536);
  readonly observer = new Observer(this.arena, this.schedule, this.pattern);
  readonly #at = this.arena.carve('frame', 4096);
  #length = 0;

  bytes(position: number, length: number): Uint8Array {
    const key = keyOf(0, CLIENT_PORT, 1, SERVER_PORT);
    const at = patternIndex(key, position);
    assert.ok(length <= PATTERN_BYTES);
    return Uint8Array.from(this.pattern.subarray(at, at + length));
  }

  /** Sent by `from`; `seq` and `ack` are relative to the initial sequence numbers. */
  send(from: 0 | 1, fields: Partial<SegmentFields> & { flags: number }): this {
    const isClient = from === 0;
    this.#length = writeSegment(this.arena, this.#at, {
      from,
      to: 1 - from,
      fromPort: isClient ? CLIENT_PORT : SERVER_PORT,
      toPort: isClient ? SERVER_PORT : CLIENT_PORT,
      ...fields,
      seq: ((isClient ? CLIENT_ISS : SERVER_ISS) + (fields.seq ?? 0)) | 0,
      ack: ((isClient ? SERVER_ISS : CLIENT_ISS) + (fields.ack ?? 0)) | 0,
    });
    this.observer.sent(from, this.#at, this.#length);
    return this;
  }

  /** The last frame sent arrives. */
  arrives(from: 0 | 1): this {
    this.observer.delivered(1 - from, this.#at, this.#length);
    return this;
  }

  pass(from: 0 | 1, fields: Partial<SegmentFields> & { flags: number }): this {
    return this.send(from, fields).arrives(from);
  }

  /** Three-way handshake; each side then offers 1000 bytes. */
  open(): this {
    return this.pass(0, { flags: SYN, options: MSS_1000 })
      .pass(1, { flags: SYN | ACK, ack: 1, options: MSS_1000 })
      .pass(0, { flags: ACK, seq: 1, ack: 1 });
  }

  data(from: 0 | 1, position: number, length: number, more: Partial<SegmentFields> = {}): this {
    const payload = this.bytes(position, length);
    return this.send(from, { flags: ACK | PSH, seq: position + 1, ack: 1, payload, ...more });
  }
}

function breaks(text: RegExp, exchange: () => unknown): void {
  assert.throws(exchange, (error: unknown) => {
    assert.ok(error instanceof Violation, String(error));
    assert.match(error.message, text);
    return true;
  });
}

test('handshake_dataAndFin_keepsEveryRule', () => {
  const e = new Exchange().open();
  e.data(0, 0, 600).arrives(0);
  e.pass(1, { flags: ACK, seq: 1, ack: 601, window: 800 });
  e.data(0, 600, 800, { flags: ACK | FIN }).arrives(0);
  e.pass(1, { flags: ACK | FIN, seq: 1, ack: 1402, window: 800 });
  e.pass(0, { flags: ACK, seq: 1402, ack: 2 });
  assert.equal(e.observer.bytes, 1400);
  assert.equal(e.observer.resent, 0);
});

test('retransmission_sameBytes_counted', () => {
  const e = new Exchange().open().data(0, 0, 600).data(0, 0, 600);
  assert.equal(e.observer.resent, 600);
});

test('retransmission_otherBytes_violation', () => {
  const payload = new Uint8Array(600);
  breaks(/retransmits other bytes/, () =>
    new Exchange().open().data(0, 0, 600).data(0, 0, 600, { payload }),
  );
});

test('firstTransmission_wrongBytes_violation', () => {
  breaks(/sends wrong bytes at position 3/, () => {
    const e = new Exchange().open();
    const payload = e.bytes(0, 10);
    payload[3]! ^= 1;
    e.data(0, 0, 10, { payload });
  });
});

test('window_dataBeyond_violation', () => {
  breaks(/beyond the window/, () =>
    new Exchange()
      .open()
      .data(0, 500, 501, { seq: 1, payload: new Uint8Array(0) })
      .data(0, 0, 500)
      .data(0, 500, 502),
  );
});

test('window_oneByteProbeBeyond_allowed', () => {
  new Exchange().open().data(0, 0, 1000).data(0, 1000, 1);
});

test('window_movesLeft_violation', () => {
  const e = new Exchange().open();
  e.data(0, 0, 600).arrives(0);
  breaks(/right edge of the window moves left/, () =>
    e.send(1, { flags: ACK, seq: 1, ack: 601, window: 399 }),
  );
});

test('window_synSentAgain_saysAtMost65535_butNotLess', () => {
  const options = [...MSS_1000, 3, 3, 7, 1];
  const open = (): Exchange =>
    new Exchange()
      .pass(0, { flags: SYN, options })
      .pass(1, { flags: SYN | ACK, ack: 1, window: 65_535, options })
      .pass(1, { flags: ACK, seq: 1, ack: 1, window: 512 }); // 65,536: rounded up to the scale
  open().send(1, { flags: SYN | ACK, ack: 1, window: 65_535, options });
  breaks(/right edge of the window moves left/, () =>
    open().send(1, { flags: SYN | ACK, ack: 1, window: 65_534, options }),
  );
  breaks(/right edge of the window moves left/, () =>
    open()
      .pass(1, { flags: SYN | ACK, ack: 1, window: 65_535, options })
      .send(1, { flags: ACK, seq: 1, ack: 1, window: 511 }),
  );
});

test('acknowledgement_ofLostData_violation', () => {
  const e = new Exchange().open();
  e.data(0, 0, 600); // lost
  breaks(/acknowledges what has not arrived/, () => e.send(1, { flags: ACK, seq: 1, ack: 601 }));
});

test('acknowledgement_movesBack_violation', () => {
  const e = new Exchange().open();
  e.data(0, 0, 600).arrives(0);
  e.pass(1, { flags: ACK, seq: 1, ack: 601 });
  breaks(/moves back/, () => e.send(1, { flags: ACK, seq: 1, ack: 301, window: 2000 }));
});

test('mss_largerSegment_violation', () => {
  breaks(/larger than the MSS/, () => {
    const e = new Exchange();
    e.pass(0, { flags: SYN, options: MSS_1000, window: 9000 });
    e.pass(1, { flags: SYN | ACK, ack: 1, options: [2, 4, 0, 200], window: 9000 });
    e.pass(0, { flags: ACK, seq: 1, ack: 1 }).data(0, 0, 201);
  });
});

test('fin_dataBehind_violation', () => {
  const e = new Exchange().open().data(0, 0, 100, { flags: ACK | FIN });
  breaks(/data beyond FIN/, () => e.data(0, 101, 5));
});

test('sequence_hole_violation', () => {
  breaks(/a hole/, () => new Exchange().open().data(0, 10, 5));
});

test('syn_optionLater_violation', () => {
  breaks(/SYN option outside/, () =>
    new Exchange().open().send(0, { flags: ACK, seq: 1, ack: 1, options: MSS_1000 }),
  );
});

test('sack_notNegotiated_violation', () => {
  const options = [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2];
  breaks(/SACK that was not negotiated/, () =>
    new Exchange().open().send(0, { flags: ACK, seq: 1, ack: 1, options }),
  );
});

test('timestamps_notNegotiated_violation', () => {
  const options = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
  breaks(/timestamps that were not negotiated/, () =>
    new Exchange().open().send(0, { flags: ACK, seq: 1, ack: 1, options }),
  );
});

test('timeout_withoutBackOff_violation', () => {
  const e = new Exchange().open();
  e.data(0, 0, 100);
  for (const at of [200_000, 600_000]) {
    e.schedule.now = at;
    e.data(0, 0, 100);
  }
  e.schedule.now = 1_000_000;
  breaks(/does not back off/, () => e.data(0, 0, 100));
});

test('timeout_longerSegmentInBetween_timeIsTakenFromThere', () => {
  const e = new Exchange().open();
  const again: [number, number][] = [
    [200_000, 100],
    [400_000, 300],
    [800_000, 100],
  ];
  e.data(0, 0, 100);
  for (const [at, length] of again) {
    e.schedule.now = at;
    e.data(0, 0, length);
  }
  e.schedule.now = 1_600_000; // twice 400 ms; not twice 600
  e.data(0, 0, 100);
  e.schedule.now = 2_400_000;
  breaks(/does not back off/, () => e.data(0, 0, 100));
});

const SACK_OK = [...MSS_1000, 4, 2, 1, 1];
const words = (...numbers: number[]): number[] =>
  numbers.flatMap((n) => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);

/**
 * SACK is agreed, and 200 of 300 bytes have arrived; the server's acknowledgement names blocks
 * (relative).
 */
class Selective extends Exchange {
  override open(): this {
    this.pass(0, { flags: SYN, options: SACK_OK })
      .pass(1, { flags: SYN | ACK, ack: 1, options: SACK_OK })
      .pass(0, { flags: ACK, seq: 1, ack: 1 });
    this.data(0, 0, 100);
    this.data(0, 100, 100).arrives(0);
    return this.data(0, 200, 100).arrives(0);
  }

  names(...blocks: number[]): this {
    const edges = words(...blocks.map((edge) => (CLIENT_ISS + edge) | 0));
    const ack = blocks[1]! <= 101 || blocks.length > 2 ? 301 : 1;
    const options = [1, 1, 5, 2 + edges.length, ...edges];
    return this.pass(1, { flags: ACK, seq: 1, ack, options, window: 1000 });
  }
}

test('sack_ofWhatHasNotArrived_violation', () => {
  breaks(/SACK of what has not arrived/, () => new Selective().open().names(50, 301));
});

test('sack_namedAndSentAgain_violation', () => {
  const e = new Selective().open().names(101, 301);
  e.data(0, 0, 100);
  breaks(/sends again what was selectively acknowledged/, () => e.data(0, 100, 100));
});

test('sack_receiverAsksForWhatItHeld_mayBeSentAgain', () => {
  const e = new Selective().open().names(101, 301);
  e.data(0, 0, 100).arrives(0);
  e.pass(1, { flags: ACK, seq: 1, ack: 101, window: 1000 }); // it has dropped the rest
  e.data(0, 100, 100).data(0, 200, 100);
});

test('dsack_oncePerDuplicate', () => {
  const e = new Selective().open();
  e.data(0, 0, 100).arrives(0);
  e.data(0, 0, 100).arrives(0);
  e.names(1, 101);
  breaks(/was named before/, () => e.names(1, 101));
});

test('urgent_violation', () => {
  breaks(/URG/, () => new Exchange().open().send(0, { flags: ACK | URG, seq: 1, ack: 1 }));
});

test('reset_withData_violation', () => {
  breaks(/RST with data/, () => new Exchange().open().data(0, 0, 5, { flags: RST | ACK }));
});

test('segment_beforeSyn_violation', () => {
  breaks(/without a SYN/, () => new Exchange().send(0, { flags: ACK, seq: 1, ack: 1 }));
});

test('checksum_wrong_violation', () => {
  const e = new Exchange();
  const at = e.arena.carve('own', 4096);
  const fields = { from: 0, to: 1, fromPort: 1, toPort: 2, seq: 0, flags: SYN, options: MSS_1000 };
  const length = writeSegment(e.arena, at, fields);
  e.arena.u8[at + 40]! ^= 1;
  breaks(/wrong TCP checksum/, () => e.observer.sent(0, at, length));
});

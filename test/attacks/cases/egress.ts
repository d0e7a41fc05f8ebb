/**
 * Past the rule that says whom the application may speak to first (`--connect`). For a service that
 * may speak to ALLOWED only, which is one of the victims: the host, which hears all of it, must
 * hear nothing.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { CALL, CALL_RESULT, CODE, EVENT, WORD } from '../../../src/gate/abi.ts';
import { parseAddress } from '../../../src/libix/address.ts';
import { ANY, type Case, distinct, mapped, type Observed, pause } from '../case.ts';
import { raced } from '../hostile/racer.ts';

const { DENIED } = CODE;
export const ALLOWED = '10.77.0.2';
const OTHERS = ['10.77.0.1', '10.77.0.3', '10.77.0.250', '10.77.0.4', '8.8.8.8', '0.0.0.0'];
const FLOOD_MS = 200;
const RACE_MS = 400;
const RACED_FLOWS = 256;
const BATCH = 512;
/** Of the socket that is asked, and of the one that is not. */
const ASKED_PORT = 960;
const IDLE_PORT = 961;

/** All was refused and counted, and nobody on the host heard of it. */
const nobodyHeard =
  (denied: number) =>
  (_: never, { sink, counters }: Observed): void => {
    assert.equal(sink.connections, 0);
    assert.equal(counters['egressDenied'], denied);
  };

/** Questions from one port of the host, until the case is over. */
async function ask(address: string): Promise<void> {
  const socket = createSocket('udp4').on('error', () => {});
  for (let i = 0; i < 20; i++) {
    socket.send('?', ASKED_PORT, address);
    await sleepFor(20);
  }
  socket.close();
}

export const cases: Case[] = [
  {
    name: 'egress_connectionsToOthers_areDeniedAndCounted',
    run: (gate, { sink }) =>
      distinct(gate.calls(OTHERS.map((each) => [CALL.connect, 1, ...mapped(each), sink]))),
    expects: [DENIED],
    check: nobodyHeard(OTHERS.length),
  },
  {
    name: 'egress_everyBitOfTheAllowedAddressFlipped_isDenied',
    run: (gate, { sink }) => {
      const allowed = mapped(ALLOWED);
      const flipped = Array.from({ length: 128 }, (_, bit) =>
        allowed.map((word, i) => (i === bit >> 5 ? word ^ (1 << (bit & 31)) : word)),
      );
      return distinct(gate.calls(flipped.map((words) => [CALL.connect, 1, ...words, sink])));
    },
    expects: [DENIED],
    check: nobodyHeard(128),
  },
  {
    name: 'egress_addressRewrittenWhileItIsChecked_isAllowedOrDenied',
    run: (gate, { host, sink }) => {
      const values = [parseAddress(ALLOWED), parseAddress(host)];
      const writes = Array.from({ length: 64 }, (_, i) => ({ word: gate.callAt(i) + 5, values }));
      const refused = new Set<number>();
      let open: number[] = [];
      let connected = 0;
      const look = (ms: number): void => {
        pause(gate, ms); // the host has its time to answer, who is allowed to refuse
        connected += gate.events.filter(({ kind }) => kind === EVENT.connected).length;
        gate.calls(open.map((flow) => [CALL.abort, flow]));
        [open, gate.events] = [[], []];
      };
      raced(gate, writes, () => {
        for (const end = performance.now() + RACE_MS; performance.now() < end; ) {
          gate.hold();
          gate.write(Array.from({ length: 64 }, () => [CALL.connect, 1, ...mapped(host), sink]));
          gate.submit(64);
          for (let i = 0; i < 64; i++) {
            const result = gate.i32[gate.callAt(i) + CALL_RESULT]!;
            if (result > 0) open.push(result);
            else refused.add(result);
          }
          if (open.length >= RACED_FLOWS) look(20);
        }
      });
      look(100);
      return [connected, ...[...refused].filter((code) => code !== DENIED)];
    },
    expects: [0],
    check: (_: never, { sink, counters }: Observed) => {
      assert.equal(sink.connections, 0);
      assert.ok(counters['egressDenied']! > 0);
    },
  },
  {
    name: 'egress_datagramsToWhoHasNotAsked_areDenied',
    run: (gate, { mute }) => {
      const socket = gate.call(CALL.udp_bind, 1, ...ANY, 0);
      const send = [CALL.udp_sendv, socket, gate.layout.memory.offset, 8];
      return distinct(gate.calls(OTHERS.map((each) => [...send, ...mapped(each), mute])));
    },
    expects: [DENIED],
    check: nobodyHeard(OTHERS.length),
  },
  {
    name: 'egress_datagramToWhoHasAsked_isForItsPortFromThatSocketOnly',
    run: (gate, { mute }) => {
      const [asked = 0, idle = 0] = gate.calls([
        [CALL.udp_bind, 1, ...ANY, ASKED_PORT],
        [CALL.udp_bind, 2, ...ANY, IDLE_PORT],
      ]);
      const question = gate.until(EVENT.udp_recv, asked);
      if (question === undefined) return 'nobody asked';
      const { words } = question;
      const who = [...words.slice(WORD.c, WORD.g)];
      const port = words[WORD.g]! & 0xffff;
      const answer = (socket: number, to: number) =>
        gate.call(CALL.udp_sendv, socket, gate.layout.memory.offset, 8, ...who, to);
      const results = [answer(asked, port), answer(asked, mute), answer(idle, port)];
      gate.call(CALL.udp_recv_done, asked, words[WORD.a]!);
      pause(gate, 400);
      return results;
    },
    meanwhile: ask,
    expects: [8, DENIED, DENIED],
    check: nobodyHeard(2),
  },
  {
    name: 'egress_deniedByTheThousand_isCountedAndDoesNotStarveTheRest',
    run: (gate, { host, sink }) => {
      const batch = Array.from({ length: BATCH }, () => [CALL.connect, 1, ...mapped(host), sink]);
      let calls = 0;
      for (const end = performance.now() + FLOOD_MS; performance.now() < end; calls += BATCH) {
        gate.calls(batch);
      }
      return calls;
    },
    check: (calls: number, observed: Observed) => {
      assert.ok(calls >= BATCH);
      nobodyHeard(calls)(0 as never, observed);
    },
  },
];

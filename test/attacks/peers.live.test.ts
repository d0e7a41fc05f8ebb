/**
 * A hostile neighbour (wire.ts) of a service of two threads. By pieces and by tags its frames come
 * to another thread than their flow's, as whoever steers frames sees no ports in them: what clients
 * have said before, said again, must find its flow and change nothing; what is nobody's is counted.
 *
 * - What must hold of every case: the clients of both threads, who talk or are silent meanwhile,
 *   are answered rightly and by the same thread; the victims are not disturbed (scene.ts); nothing
 *   was reset, lost between the threads, or kept.
 */
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from '../acceptance/client.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { hostCounters, Scene } from './scene.ts';
import { HostileService } from './service.ts';
import { type Place, tagged, Wire } from './wire.ts';

enterNamespace();

const WHICH = fileURLToPath(new URL('../acceptance/apps/which.ts', import.meta.url));
const ADDRESS = '10.77.0.8';
const HOST = '10.77.0.1';
const STRANGER = '10.77.0.99';
const PORT = 7;
const LINE = 'thread 0\n';
/** By chance all of one thread: once in 2^15 runs. */
const CLIENTS = 16;
const ROUNDS = 8;
/** What each client says first: a segment that can be cut. */
const SAID = Buffer.alloc(44, 'x');
const BYTES = 20 + SAID.length;
const UNFINISHED = 3000;
const SETTLE_MS = 5000;

const VLAN = 0x8100;
const SERVICE_VLAN = 0x88a8;
/** A priority, and no VLAN. */
const PRIORITY = 0xa000;

type Counts = Record<string, number>;

let scene: Scene;
let service: HostileService;
let wire: Wire;

interface Told {
  client: Client;
  /** Who answers it. */
  line: string;
  isTalking: boolean;
  talks: Promise<void>;
}

async function ask({ client, line }: Told): Promise<void> {
  await client.write('?');
  assert.equal(await client.text(LINE.length), line, 'a connection stays where it is');
}

async function talk(told: Told): Promise<void> {
  for (; told.isTalking; await sleep(1)) await ask(told);
}

/** Clients of both threads, and where each is. Every other one talks; until the test is over. */
async function introduce(t: TestContext): Promise<{ all: Told[]; places: Place[] }> {
  wire.places();
  const all: Told[] = [];
  t.after(() => {
    for (const told of all) {
      told.isTalking = false;
      told.client.socket.destroy();
    }
  });
  while (all.length < CLIENTS) {
    const client = await Client.open(ADDRESS, PORT);
    await client.write(SAID);
    const line = await client.text(LINE.length);
    all.push({ client, line, isTalking: all.length % 2 === 0, talks: Promise.resolve() });
  }
  assert.equal(new Set(all.map(({ line }) => line)).size, 2, 'both threads have some');
  const ports = all.map(({ client }) => (client.socket.address() as AddressInfo).port);
  const places = wire.places().filter(({ port }) => ports.includes(port));
  assert.equal(places.length, CLIENTS);
  for (const told of all) {
    if (!told.isTalking) continue;
    told.talks = talk(told);
    told.talks.catch(() => {}); // until somebody waits for it
  }
  return { all, places };
}

/** Everything has come back: connections, timers, frames. */
async function assertHome(): Promise<void> {
  for (const end = performance.now() + SETTLE_MS; ; await sleep(5)) {
    const { threads, dataplane } = await service.state();
    assert.equal(dataplane, service.facts.dataplane, 'the dataplane is the same');
    const held = threads.map(({ flows, timers, receiveHeld, transmitHeld }) => {
      return flows + timers + receiveHeld + transmitHeld;
    });
    assert.equal(held.length, 2);
    if (held.every((n) => n === 0)) return;
    assert.ok(performance.now() < end, `still held: ${held}`);
  }
}

const countersNow = (): Counts => scene.statistics(service.facts.control);
/** On a busy machine clients say again by themselves what was not answered in time. */
const resentNow = (): number => hostCounters()['TcpRetransSegs']!;

/** So many repetitions have come to their flows, and what clients have sent again. */
function assertDuplicates({ tcpDuplicate = 0 }: Counts, expected: number, resent: number): void {
  const excess = tcpDuplicate - expected;
  assert.ok(excess >= 0 && excess <= resentNow() - resent, `${tcpDuplicate}, not ${expected}`);
}

/** Waits until so many, at least, have been counted; how much each counter has grown. */
async function counted(since: Counts, expected: Counts): Promise<Counts> {
  for (const end = performance.now() + SETTLE_MS; ; await sleep(2)) {
    const now = countersNow();
    const grown = Object.fromEntries(Object.entries(now).map(([k, n]) => [k, n - since[k]!]));
    const missing = Object.entries(expected).filter(([name, n]) => grown[name]! < n);
    if (missing.length === 0) return grown;
    const said = missing.map(([name, n]) => `${name}: ${grown[name]}, not ${n}`);
    assert.ok(performance.now() < end, said.join('; '));
  }
}

/**
 * `frames`: what is said of one client. `expected`: what is counted of it, and how many repetitions
 * come to its flow.
 */
async function attempt(
  t: TestContext,
  frames: (place: Place) => Buffer[],
  { tcpDuplicate = 0, ...expected }: Counts,
): Promise<Counts> {
  const { all, places } = await introduce(t);
  const [before, resent] = [countersNow(), resentNow()];
  let said = 0;
  const sums = (): Counts =>
    Object.fromEntries(Object.entries(expected).map(([name, n]) => [name, n * said]));
  let grown: Counts = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const place of places) {
      wire.say(frames(place));
      said += 1;
      // So few at a time that nothing is too much for a queue.
      if (said % 4 !== 0) continue;
      grown = await counted(before, { ...sums(), tcpDuplicate: tcpDuplicate * said });
    }
  }
  const seen = Object.fromEntries(Object.keys(expected).map((name) => [name, grown[name]]));
  assert.deepEqual(seen, sums());
  assertDuplicates(grown, tcpDuplicate * said, resent);
  await assertNothingChanged(all, before);
  return grown;
}

async function assertNothingChanged(all: Told[], before: Counts): Promise<void> {
  for (const told of all) {
    told.isTalking = false;
    await told.talks;
    await ask(told);
  }
  const { tcpNoFlow, tcpResetsOut, handedOn, handedIn, handedDropped } = await counted(before, {});
  assert.deepEqual({ tcpNoFlow, tcpResetsOut }, { tcpNoFlow: 0, tcpResetsOut: 0 });
  assert.deepEqual([handedIn, handedDropped], [handedOn, 0]);
  for (const { client } of all) await client.close();
  await assertHome();
  assert.equal(service.errors, '');
  await scene.assertUndisturbed();
}

describe('hostile peers', { skip: needsRoot, timeout: 120_000 }, () => {
  before(async () => {
    scene = await Scene.open();
    const options = { threads: '2' };
    service = await HostileService.start({ address: ADDRESS, module: WHICH, options });
    await (await Client.open(ADDRESS, PORT)).close();
    wire = new Wire(ADDRESS, PORT);
    await scene.mark();
  });
  after(async () => {
    wire?.close();
    await service?.stop();
    await scene.close();
  });

  test('peer_piecesAndPriorityTags_reachTheThreadOfTheirFlow', async (t) => {
    const halves = [[0, 24], [24, BYTES]] as const; // biome-ignore format: a table
    const tiny = [[0, 8], [8, 16], [16, 24], [24, BYTES]] as const; // biome-ignore format: a table
    const twice = [[0, 24], [0, 24], [24, BYTES]] as const; // biome-ignore format: a table
    const frames = (place: Place): Buffer[] => {
      const segment = wire.again(place, HOST, SAID);
      const pieces = (parts: readonly (readonly [number, number])[]): Buffer[] =>
        wire.pieces(HOST, segment, parts);
      return [
        tagged(wire.whole(HOST, segment), VLAN, PRIORITY),
        tagged(wire.whole(HOST, segment), SERVICE_VLAN, 0),
        ...pieces(halves),
        ...pieces(tiny),
        ...pieces(halves).reverse(),
        ...pieces(twice),
        ...pieces(halves).map((piece) => tagged(piece, VLAN, PRIORITY)),
      ];
    };
    const expected = { tcpDuplicate: 7, ipReassembled: 5, ipFragmentsIn: 13 };
    const grown = await attempt(t, frames, { ...expected, ipFragmentDuplicate: 1 });
    assert.ok(grown['handedOn']! > ROUNDS * CLIENTS, "both threads got what is the other one's");
  });

  test('peer_framesOfAVlanAndPiecesThatOverlap_areNobodysAndCounted', async (t) => {
    const overlap = [[0, 24], [16, BYTES]] as const; // biome-ignore format: a table
    const frames = (place: Place): Buffer[] => {
      const segment = wire.again(place, HOST, SAID);
      const whole = wire.whole(HOST, segment);
      return [
        tagged(whole, VLAN, PRIORITY | 5),
        tagged(whole, SERVICE_VLAN, 4094),
        tagged(tagged(whole, VLAN, PRIORITY), VLAN, PRIORITY),
        tagged(whole, VLAN, PRIORITY).subarray(0, 16),
        ...wire.pieces(HOST, segment, overlap),
      ];
    };
    const expected = { ethVlan: 3, ethShort: 1, ipFragmentOverlap: 1 };
    await attempt(t, frames, { ...expected, tcpDuplicate: 0, ipReassembled: 0 });
  });

  test('peer_piecesThatNeverEnd_costTheirSenderOnly', async (t) => {
    const { all, places } = await introduce(t);
    const [before, resent] = [countersNow(), resentNow()];
    const begun = places.map((place) => {
      return wire.pieces(HOST, wire.again(place, HOST, SAID), [[0, 24], [24, BYTES]]);
    }); // biome-ignore format: a table
    wire.say(begun.map(([first]) => first!));
    await counted(before, { ipFragmentsIn: CLIENTS });
    const nothing = Buffer.alloc(BYTES);
    for (let said = 0; said < UNFINISHED; said += 50) {
      wire.say(Array.from({ length: 50 }, () => wire.pieces(STRANGER, nothing, [[0, 24]])[0]!));
      await counted(before, { ipFragmentsIn: CLIENTS + said + 50 });
    }
    wire.say(begun.map(([, last]) => last!));
    const grown = await counted(before, { tcpDuplicate: CLIENTS });
    assert.equal(grown['ipReassembled'], CLIENTS);
    assertDuplicates(grown, CLIENTS, resent);
    // What began and did not end is there no longer, but a quarter of each thread's.
    const { ipReassemblySource = 0, ipReassemblyFull } = grown;
    assert.deepEqual([ipReassemblySource > UNFINISHED - 128, ipReassemblyFull], [true, 0]);
    await assertNothingChanged(all, before);
  });
});

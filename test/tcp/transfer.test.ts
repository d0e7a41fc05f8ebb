/** Streams between two stacks: every byte, whatever the cable does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEAD } from '../../src/gate/abi.ts';
import { Endpoints, type Plan } from './endpoints.ts';
import { HOST_B } from './host.ts';
import { type Impairment, Network } from './network.ts';

interface Outcome {
  net: Network;
  client: Endpoints;
  server: Endpoints;
  seconds: number;
}

/** One connection from a to b; both follow their plans until both are dead. */
function transfer(
  impairment: Impairment,
  up: Plan,
  down: Plan,
  seed = 1,
  forMs = 600_000,
): Outcome {
  const net = new Network(impairment, seed);
  const server = new Endpoints(net.b, down);
  const client = new Endpoints(net.a);
  server.listen();
  const c = client.connect(HOST_B, 7, up);
  net.run(
    () => c.dead >= 0 && server.connections[0] !== undefined && server.connections[0].dead >= 0,
    forMs,
  );
  const s = server.connections[0]!;
  assert.equal(s.received, up.send ?? 0, 'all bytes up');
  assert.equal(c.received, down.send ?? 0, 'all bytes down');
  assert.equal(c.acknowledged, up.send ?? 0, 'all bytes up acknowledged');
  assert.equal(s.acknowledged, down.send ?? 0, 'all bytes down acknowledged');
  assert.equal(c.dead, DEAD.closed);
  assert.equal(s.dead, DEAD.closed);
  return { net, client, server, seconds: net.now / 1e6 };
}

test('established_clientSendsAndCloses_allBytesArriveAndBothDie', () => {
  const { net, client, server } = transfer({}, { send: 100_000, shutdownAfterSend: true }, {});
  assert.ok(client.log.includes('connected'));
  assert.ok(server.log.includes('recv_end'));
  assert.equal(net.a.count('tcpRetransmits'), 0);
  net.close();
});

test('established_bothSend_allBytesArrive', () => {
  transfer({}, { send: 300_000, shutdownAfterSend: true }, { send: 500_000 }).net.close();
});

test('established_tinySpans_coalesceIntoFullSegments', () => {
  const { net } = transfer({}, { send: 200_000, spanMax: 7, shutdownAfterSend: true }, {});
  assert.ok(net.a.count('tcpOut') < 400, `${net.a.count('tcpOut')} segments`);
  net.close();
});

/** Takes the SACK-permitted option out of a SYN (NOPs instead), so that both sides do without. */
function withoutSack(frame: Uint8Array): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const options = 34 + 20;
  const isSyn = view.getUint16(12) === 0x0800 && frame[23] === 6 && (frame[34 + 13]! & 2) !== 0;
  if (!isSyn || view.getUint16(options + 4) !== 0x0402) return true;
  view.setUint16(options + 4, 0x0101);
  const sum = (~view.getUint16(34 + 16) & 0xffff) + (~0x0402 & 0xffff) + 0x0101;
  view.setUint16(34 + 16, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff); // RFC 1624
  return true;
}

for (const loss of [0.1, 2]) {
  test(`withoutSack_${loss}PercentLoss_4MBothWaysArrive`, (t) => {
    const seed = Number(process.env['SEED'] ?? 5);
    t.diagnostic(`SEED=${seed}`);
    const plan = { send: 4_000_000, spanMax: 65_000 };
    const impairment = { loss, filter: withoutSack };
    const { net } = transfer(impairment, { ...plan, shutdownAfterSend: true }, plan, seed);
    assert.ok(net.a.count('tcpFastRetransmits') > 0);
    net.close();
  });
}

test('established_onlyReordering_noTimeoutAndLittleTwice', (t) => {
  const seed = Number(process.env['SEED'] ?? 6);
  t.diagnostic(`SEED=${seed}`);
  const impairment = { delayUs: 5000, jitterUs: 300 };
  const { net } = transfer(
    impairment,
    { send: 4_000_000, spanMax: 65_000, shutdownAfterSend: true },
    {},
    seed,
  );
  t.diagnostic(`${net.a.count('tcpRetransmits')} of ${net.a.count('tcpOut')} segments sent again`);
  assert.equal(net.a.count('tcpTimeouts'), 0);
  assert.ok(net.b.count('tcpOutOfOrder') > 200, 'it did reorder');
  assert.ok(net.a.count('tcpRetransmits') < net.a.count('tcpOut') / 10); // before RACK has seen it
  net.close();
});

for (const loss of [0.1, 1, 3, 5]) {
  test(`established_${loss}PercentLoss_4MBothWaysArrive`, (t) => {
    const seed = Number(process.env['SEED'] ?? loss);
    t.diagnostic(`SEED=${seed}`);
    const plan = { send: loss < 1 ? 16_000_000 : 4_000_000, spanMax: 65_000 };
    const { net, seconds } = transfer({ loss }, { ...plan, shutdownAfterSend: true }, plan, seed);
    t.diagnostic(`${seconds.toFixed(2)} s of virtual time`);
    assert.ok(net.a.count('tcpFastRetransmits') > 0);
    net.close();
  });
}

test('established_lossReorderDuplicationDelay_allBytesArrive', (t) => {
  const base = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`SEED=${base}`);
  for (let round = 0; round < 6; round++) {
    const impairment = { loss: 2, duplicate: 2, reorder: 5, delayUs: 300, jitterUs: 500 };
    const plan = { send: 400_000, spanMax: 3000 };
    transfer(impairment, { ...plan, shutdownAfterSend: true }, plan, base + round).net.close();
  }
});

test('established_40MsPath_windowGrowsToFillIt', (t) => {
  const { net, seconds } = transfer(
    { delayUs: 20_000 }, { send: 20_000_000, spanMax: 65_000, shutdownAfterSend: true }, {},
  ); // biome-ignore format: one line
  t.diagnostic(`${seconds.toFixed(2)} s`);
  assert.ok(seconds < 5, `${seconds} s for 20 MB at 40 ms`);
  net.close();
});

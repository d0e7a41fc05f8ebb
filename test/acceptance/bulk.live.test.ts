/**
 * Long streams through one connection, both ways, to and from Linux: every byte, checked by
 * checksum.
 *
 * - IX_BULK_BYTES is the length (1073741824 for the whole gigabyte); without it 64 MiB, and 8 MiB
 *   where the network loses and reorders 1 % in both directions.
 */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { compilePeer } from '../../bench/harness/compile.ts';
import { enterNamespace } from '../control/namespace.ts';
import { needs, run } from './programs.ts';
import { DOMAINS, Serving } from './serving.ts';
import { crcOf, seeded } from './streams.ts';

enterNamespace();

const GIVEN = process.env['IX_BULK_BYTES'];
const BYTES = Number(GIVEN ?? 64 * 2 ** 20);
const LOSSY_BYTES = Number(GIVEN ?? 8 * 2 ** 20);
const SINK = '9';
const SOURCE = '19';
const LIMIT_MS = 600_000;
const IMPAIR = ['--impair', 'loss=0.01,reorder=0.01,seed=7'];

interface Result {
  bytes: number;
  seconds: number;
  crc: string;
}

async function bulk(...words: (string | number)[]): Promise<Result> {
  const command = [compilePeer('bulk'), ...words.map(String)];
  const { exitCode, output, errors } = await run(command, { limitMs: LIMIT_MS });
  assert.equal(exitCode, 0, errors);
  return JSON.parse(output.toString());
}

const speed = ({ bytes, seconds }: Result): string =>
  `${(bytes / 2 ** 20).toFixed(0)} MiB, ${(bytes / seconds / 2 ** 20).toFixed(0)} MiB/s`;

/** To us and from us, checksums equal at both ends. */
async function bothWays(t: TestContext, serving: Serving, bytes: number, seed: number) {
  const sent = await bulk('send', serving.address, SINK, bytes, seed);
  const arrived = JSON.parse(await serving.line());
  assert.deepEqual([arrived.bytes, arrived.crc], [bytes, sent.crc]);
  t.diagnostic(`to us: ${speed(sent)}`);
  const received = await bulk('recv', serving.address, SOURCE, bytes, seed);
  assert.deepEqual([received.bytes, received.crc], [bytes, sent.crc]);
  t.diagnostic(`from us: ${speed(received)}`);
}

describe('bulk', { skip: needs('cc', 'nc'), timeout: 2 * LIMIT_MS }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_streamEachWay_checksumsEqual`, async (t) => {
      const settings = [`bytes=${BYTES}`, 'seed=7', '--domain', domain];
      await using serving = await Serving.start(['bulk', ...settings]);
      await bothWays(t, serving, BYTES, 7);
      const { tcpRetransmits } = serving.counters();
      t.diagnostic(`retransmitted segments: ${tcpRetransmits}`);
      await serving.stop();
    });
  }

  test('lossAndReordering_streamEachWay_checksumsEqual', async (t) => {
    const settings = [`bytes=${LOSSY_BYTES}`, 'seed=9', ...IMPAIR];
    await using serving = await Serving.start(['bulk', ...settings]);
    await bothWays(t, serving, LOSSY_BYTES, 9);
    const { tcpRetransmits = 0, tcpOutOfOrder = 0, ...counters } = serving.counters();
    t.diagnostic(
      `retransmitted ${tcpRetransmits}, out of order ${tcpOutOfOrder}, timeouts ${counters['tcpTimeouts']}`,
    );
    assert.ok(tcpRetransmits > 0 && tcpOutOfOrder > 0, 'the network was bad');
    await serving.stop();
  });

  test('netcat_streamEachWay_bytesEqual', async () => {
    const bytes = seeded(11, 8 * 2 ** 20 + 1);
    const settings = [`bytes=${bytes.length}`, 'seed=11'];
    await using serving = await Serving.start(['bulk', ...settings]);
    const sending = await run(['nc', '-N', serving.address, SINK], { input: bytes });
    assert.equal(sending.exitCode, 0, sending.errors);
    assert.deepEqual(JSON.parse(await serving.line()), { bytes: bytes.length, crc: crcOf(bytes) });
    const receiving = await run(['nc', '-d', serving.address, SOURCE]);
    assert.equal(receiving.exitCode, 0, receiving.errors);
    assert.ok(receiving.output.equals(bytes), 'what netcat received is what was sent');
    await serving.stop();
  });
});

/**
 * Linux as the peer, in the ways that peers differ: half-close, short lives, many at once, readers
 * that do not read, no options, and deaths in the middle.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { compilePeer } from '../../bench/harness/compile.ts';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs, run } from './programs.ts';
import { DOMAINS, Serving } from './serving.ts';
import { crcOf, seeded } from './streams.ts';

enterNamespace();

const MEBIBYTE = 2 ** 20;
/** `count` times `one`, `atATime` of them together. */
async function repeat(count: number, atATime: number, one: (i: number) => Promise<void>) {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: atATime }, lane));
}

for (const domain of DOMAINS) {
  describe(`echo ${domain}`, { skip: needs('nc'), timeout: 120_000 }, () => {
    let serving: Serving;
    beforeEach(async () => {
      serving = await Serving.start(['echo', '--domain', domain]);
    });
    afterEach(async () => {
      await serving.stop();
    });

    const exchange = async (words: string): Promise<void> => {
      const client = await Client.open(serving.address, 7);
      await client.write(words);
      assert.equal(await client.text(words.length), words);
      await client.close();
    };

    test(`${domain}_netcatHalfCloses_everythingComesBack`, async () => {
      const bytes = seeded(3, 2 * MEBIBYTE + 1);
      const { exitCode, output, errors } = await run(['nc', '-N', serving.address, '7'], {
        input: bytes,
      });
      assert.equal(exitCode, 0, errors);
      assert.ok(output.equals(bytes), `${output.length} of ${bytes.length} bytes, or other ones`);
    });

    test(`${domain}_1000ShortConnections_eachAnsweredAndClosed`, async () => {
      const COUNT = 1000;
      await repeat(COUNT, 16, (i) => exchange(`number ${i}`));
      const { tcpAccepted, tcpResetsIn, tcpResetsOut } = serving.counters();
      assert.deepEqual([tcpAccepted, tcpResetsIn, tcpResetsOut], [COUNT, 0, 0]);
    });

    test(`${domain}_2000ConnectionsAtOnce_allAnswered`, async () => {
      const clients: Client[] = [];
      await repeat(2000, 64, async () => {
        clients.push(await Client.open(serving.address, 7));
      });
      for (let round = 0; round < 2; round++) {
        const ask = async (client: Client, i: number): Promise<void> => {
          await client.write(`${round} ${i}`);
          assert.equal(await client.text(`${round} ${i}`.length), `${round} ${i}`);
        };
        await Promise.all(clients.map(ask));
      }
      await Promise.all(clients.map((client) => client.close()));
      assert.equal(serving.counters()['tcpAccepted'], 2000);
    });

    test(`${domain}_readerThatDoesNotRead_stallsNobodyAndLosesNothing`, async () => {
      const bytes = seeded(5, 4 * MEBIBYTE);
      const slow = await Client.open(serving.address, 7);
      slow.socket.pause();
      const written = slow.write(bytes);
      await sleep(1500); // long enough for a closed window and its probes
      await exchange('a neighbour');
      slow.socket.resume();
      assert.ok((await slow.bytes(bytes.length)).equals(bytes), 'every byte in order');
      await written;
      await slow.close();
    });

    test(`${domain}_clientKilledMidTransfer_othersServedAndResetCounted`, async () => {
      const words = ['-c', `head -c 2000000000 /dev/zero | nc ${serving.address} 7`];
      const client = spawn('sh', words, { detached: true, stdio: ['ignore', 'ignore', 'ignore'] });
      await sleep(500);
      process.kill(-client.pid!, 'SIGKILL'); // its process group: sh, head and nc
      await exchange('still here');
      for (let i = 0; i < 100 && serving.counters()['tcpResetsIn'] === 0; i++) await sleep(50);
      const { tcpResetsIn, tcpBytesIn } = serving.counters();
      assert.ok(tcpBytesIn! > MEBIBYTE, `it was in the middle: ${tcpBytesIn} bytes`);
      assert.equal(tcpResetsIn, 1, 'the kernel resets what nobody will read');
    });
  });
}

describe('peers', { skip: needs('cc'), timeout: 120_000 }, () => {
  const BYTES = 4 * MEBIBYTE;

  test('peerWithoutOptions_streamEachWay_checksumsEqual', async () => {
    const names = ['tcp_timestamps', 'tcp_window_scaling', 'tcp_sack'];
    const set = (value: string) => {
      for (const name of names) writeFileSync(`/proc/sys/net/ipv4/${name}`, value);
    };
    set('0');
    try {
      await using serving = await Serving.start(['bulk', `bytes=${BYTES}`, 'seed=5']);
      const want = crcOf(seeded(5, BYTES));
      const { address } = serving;
      const bulk = compilePeer('bulk');
      const sent = await run([bulk, 'send', address, '9', `${BYTES}`, '5']);
      assert.equal(sent.exitCode, 0, sent.errors);
      assert.deepEqual(JSON.parse(await serving.line()), { bytes: BYTES, crc: want });
      const received = await run([bulk, 'recv', address, '19', `${BYTES}`, '5']);
      assert.equal(received.exitCode, 0, received.errors);
      assert.equal(JSON.parse(received.output.toString()).crc, want);
      await serving.stop();
    } finally {
      set('1');
    }
  });

  test('windowClosedForSeconds_probedAndReopened_streamWhole', async () => {
    await using serving = await Serving.start(['bulk', `bytes=${BYTES * 4}`, 'seed=6']);
    const client = await Client.open(serving.address, 19);
    client.socket.pause();
    await sleep(3000);
    const { tcpProbes } = serving.counters();
    assert.ok(tcpProbes! > 0, 'a closed window was probed');
    client.socket.resume();
    assert.ok((await client.bytes(BYTES * 4)).equals(seeded(6, BYTES * 4)), 'every byte in order');
    await client.close();
    await serving.stop();
  });
});

/**
 * The ten seconds' form of `bin/ix bench soak`: hostile frames at full rate with invariants checked
 * on the way, a well-behaved client meanwhile, every frame accounted for, and all pools full
 * afterwards.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { soak } from '../../bench/soak.ts';
import { enterNamespace } from '../control/namespace.ts';
import { needs } from './programs.ts';
import { DOMAINS } from './serving.ts';

enterNamespace();
process.env['IX_VERIFY'] = '1';

const REASONS = [
  ...['ethNotForUs', 'ipBadChecksum', 'udpNoPort', 'tcpBadChecksum', 'ip6BadExtension'],
  ...['ip6Routing', 'icmp6BadChecksum', 'ndpBadOption'],
];
const SECONDS = { inline: 10, process: 5 };
const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

describe('soak', { skip: needs(), timeout: 400_000 }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_hostileFramesAtFullRate_nothingBreaksOrLeaks`, async (t) => {
      t.diagnostic(`SEED=${SEED}`);
      const report = await soak({ minutes: SECONDS[domain] / 60, seed: SEED, domain });
      const { strangers, client, received, drops, settledSeconds } = report;
      t.diagnostic(
        `${strangers.frames} frames sent, ${received} received, ${strangers.opened} flows`,
      );
      t.diagnostic(`client: ${client.exchanges} exchanges, p99 ${client.p99Us} us`);
      t.diagnostic(`settled after ${settledSeconds} s`);
      assert.deepEqual(report.problems, []);
      assert.ok(received > 10_000, 'frames came');
      // Noise that is never dropped for these reasons did not reach the layers that it is for.
      for (const reason of REASONS) {
        assert.ok(drops[reason]! > 0, `no frame was dropped by ${reason}`);
      }
    });
  }
});

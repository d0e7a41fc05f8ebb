/**
 * `--start-timeout` beyond the control plane: how long its children wait for what they are told
 * when all are ready.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { after, test } from 'node:test';
import type { DataplaneConfig } from '../../../src/child/config.ts';
import { launchApplication } from '../../../src/control/children/application-process.ts';
import { launch } from '../../../src/control/children/launch.ts';
import { makeStatistics } from '../../../src/control/record/statistics.ts';
import { findApplication } from '../../../src/control/wish/applications.ts';
import { closeCable, makeCable } from '../../../src/nic/cable.ts';

const { name, module } = findApplication('echo');
const app = { name, module, options: {} };
const statisticsFd = makeStatistics(1);
const cable = makeCable(64);
after(() => {
  closeSync(statisticsFd);
  closeCable(cable);
});

function dataplaneWith(startMs: number) {
  const config: DataplaneConfig = {
    nics: [
      {
        ...{ kind: 'cable', ...cable, wakeFds: [...cable.wakeFds], side: 0 },
        ...{ mac: [2, 0x69, 0x78, 0, 0, 1], mtu: 1500 },
      },
    ],
    ...{ address: 0x0a4d_0002, prefixLength: 24, gateway: 0, idle: 'adaptive' },
    ...{ app, limits: { flows: 64 }, statisticsFd, trace: false, startMs },
  };
  return launch(config);
}

test('dataplane_noGoWithinTheTimeOfAStart_endsAndSaysSo', async () => {
  const dataplane = dataplaneWith(300);
  await dataplane.attached;
  await assert.rejects(dataplane.ready, {
    code: 'IX_START_TIMEOUT',
    message: /its control plane did not let it begin within 0\.3 s/,
  });
  assert.equal((await dataplane.ended).how, 'exit code 1');
});

test('dataplane_goInTime_waitsNoMore', async () => {
  const dataplane = dataplaneWith(2000);
  await dataplane.attached;
  dataplane.go();
  await dataplane.ready;
  await new Promise((resolve) => setTimeout(resolve, 2100));
  await dataplane.stop();
  assert.equal((await dataplane.ended).how, 'exit code 0');
});

test('application_dataplaneNotAttachedWithinTheTimeOfAStart_ends', async () => {
  const never = new Promise<never>(() => {});
  const given = { app, idle: 'adaptive', placement: 'same-core', shared: [] } as const;
  const application = launchApplication({ ...given, startMs: 300 }, never, () => {});
  await assert.rejects(application.ready, { code: 'IX_CHANNEL', message: /has said nothing/ });
  assert.equal((await application.ended).how, 'exit code 1');
});

/**
 * The steady state of echo and kv allocates less than one byte of JavaScript heap per message,
 * measured inside the live processes over at least a million messages: driver, stack, gate, libix
 * and application together.
 *
 * - Our own client drives them over a veth: 64 connections, eight messages in flight each.
 * - Windows of a million messages, one after the other: the first ones hold V8's compilations, and
 *   the steady state has come when one of them stays below a byte. It must come within WINDOWS_MAX.
 * - Steady means busy: the server spins. Falling asleep and waking up allocates in Node's event
 *   loop (a Timeout, an Immediate), which is a cost of idleness; a slow client on a shared core
 *   would make this test measure it.
 * - Domain process: two isolates, each below a byte in the same window. The dataplane's is asked
 *   when the application reports, so its window is as long and begins and ends with the question:
 *   some 100 us of a million messages later.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  CLIENT_ADDRESS,
  CLIENT_LINK,
  makeBenchLink,
  PREFIX_LENGTH,
  SERVER_LINK,
} from '../../bench/harness/network.ts';
import { type Service, startService } from '../../src/control/service/service.ts';
import { findApplication } from '../../src/control/wish/applications.ts';
import { parseRunOptions } from '../../src/control/wish/options.ts';
import { planOf } from '../../src/control/wish/plan.ts';
import { enterNamespace } from '../control/namespace.ts';
import { needs } from './programs.ts';
import { DOMAINS } from './serving.ts';

enterNamespace();
process.env['IX_VERIFY'] = '0'; // the dataplanes are started from here

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const MESSAGES = 1_000_000;
/**
 * V8's compiler threads get what two spinning cores leave them: six windows were too few on a fast
 * machine.
 */
const WINDOWS_MAX = 40;
/** The client goes on until it is stopped. */
const FOR_EVER_MS = '600000';
const APPS = {
  echo: { module: 'echo.ts', client: 'echo-client.ts', port: '7', bytes: '64' },
  // 'get key-' and twelve digits
  kv: { module: 'kv/kv.ts', client: 'kv-client.ts', port: '11211', bytes: '22' },
} as const;

interface Window {
  messages: number;
  bytes: number;
}

/** Bytes a message in one window: of the application's isolate, and of the dataplane's. */
interface Measured {
  inside: number;
  /** Infinite in the first window, of which only the end is known. */
  dataplane: number;
}

async function startClient(app: keyof typeof APPS, host: string): Promise<Service> {
  const { client, port } = APPS[app];
  const settings = {
    host,
    port,
    connections: '64',
    depth: '8',
    durationMs: FOR_EVER_MS,
    openMs: '60000',
  };
  const given = { ip: `${CLIENT_ADDRESS}/${PREFIX_LENGTH}`, cpu: '0', domain: 'inline' };
  const load = findApplication(here(`../../src/load/closed/${client}`), settings);
  const report = (value: unknown) => assert.fail(`the client ended: ${JSON.stringify(value)}`);
  return await startService(planOf(load, parseRunOptions(given), CLIENT_LINK), { report });
}

async function end(service: Service): Promise<void> {
  await service.stop();
  service.takeDown();
}

const isSteady = ({ inside, dataplane }: Measured): boolean => inside < 1 && dataplane < 1;

/** Window by window, until one is steady. */
async function measure(app: keyof typeof APPS, domain: string): Promise<Measured[]> {
  const link = makeBenchLink('ours');
  try {
    return await measureAt(link.serverAddress, app, domain);
  } finally {
    link.remove();
  }
}

async function measureAt(server: string, app: keyof typeof APPS, domain: string) {
  const measured: Measured[] = [];
  const done = Promise.withResolvers<void>();
  let allocated = Number.NEGATIVE_INFINITY;
  const onWindow = async ({ messages, bytes }: Window): Promise<void> => {
    const { allocatedBytes } = (await service.dataplane.state())[0]!;
    const window = {
      inside: bytes / messages,
      dataplane: (allocatedBytes - allocated) / messages,
    };
    measured.push(window);
    allocated = allocatedBytes;
    if (isSteady(window) || measured.length === WINDOWS_MAX) done.resolve();
  };
  const { module, bytes } = APPS[app];
  const settings = { module: here(`../../src/apps/${module}`), messages: `${MESSAGES}`, bytes };
  const given = { ip: `${server}/${PREFIX_LENGTH}`, cpu: '1', domain, idle: 'spin' };
  const application = findApplication(here('apps/measured.ts'), settings);
  const service = await startService(planOf(application, parseRunOptions(given), SERVER_LINK), {
    report: (value) => void onWindow(value as Window).catch(done.reject),
  });
  try {
    const client = await startClient(app, server);
    await done.promise.finally(() => end(client));
    return measured;
  } finally {
    await end(service);
  }
}

const shown = (values: number[]): string => values.map((each) => each.toFixed(3)).join(' ');

describe('allocation', { skip: needs(), timeout: 600_000 }, () => {
  for (const app of ['echo', 'kv'] as const) {
    for (const domain of DOMAINS) {
      test(`${app}_${domain}_steadyState_under1ByteAMessage`, async (t) => {
        const measured = await measure(app, domain);
        const [inside, dataplane] = [
          measured.map((w) => w.inside),
          measured.map((w) => w.dataplane),
        ];
        t.diagnostic(`application's isolate, B a message: ${shown(inside)}`);
        t.diagnostic(`dataplane's isolate, B a message: ${shown(dataplane)}`);
        assert.ok(measured.some(isSteady), 'no window with both below one byte a message');
      });
    }
  }
});

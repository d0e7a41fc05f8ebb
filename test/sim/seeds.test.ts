/**
 * The simulator's promises: a seed is a run, and a few hundred of them pass. IX_SIM_SEEDS and SEED
 * choose others.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { reader, type Scenario } from '../../sim/plan.ts';
import { Simulator } from '../../sim/run.ts';
import { makeScenario } from '../../sim/scenario.ts';
import { explain } from '../../sim/seeds.ts';
import { VERIFY } from '../../src/verify.ts';

const FIRST = Number(process.env['SEED'] ?? 1);
const COUNT = Number(process.env['IX_SIM_SEEDS'] ?? 300);
const MAIN = fileURLToPath(new URL('../../sim/main.ts', import.meta.url));

/** 32 a second, and room for a machine that is busy. */
const TIMEOUT_MS = Math.max(240_000, COUNT * 120);

test('seeds_many_breakNoRule', { timeout: TIMEOUT_MS }, () => {
  assert.ok(VERIFY, 'run with IX_VERIFY=1');
  const simulator = new Simulator();
  let virtualUs = 0;
  const start = performance.now();
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const result = simulator.run(seed);
    virtualUs += result.virtualUs;
    if (result.error !== undefined) assert.fail(explain(result));
  }
  const speed = virtualUs / 1000 / (performance.now() - start);
  assert.ok(speed > 100, `only ${speed.toFixed(0)} times real time`);
});

/**
 * 3227: a SYN's window; 3861: the clock of sequence numbers; 7912: both ends stream and neither
 * reads.
 */
for (const seed of [3227, 3861, 7912]) {
  test(`seed${seed}_thatFailedOnce_breaksNoRule`, () => {
    const result = new Simulator().run(seed);
    if (result.error !== undefined) assert.fail(explain(result));
    assert.ok(result.frames > 500, 'still a run with traffic');
  });
}

test('seed_runTwice_sameHash', () => {
  for (const seed of [FIRST, FIRST + 1, FIRST + 2]) {
    const a = new Simulator().run(seed);
    const used = new Simulator();
    used.run(seed + 100);
    const b = used.run(seed);
    assert.equal(a.hash, b.hash, `seed ${seed}, in memory that was used before`);
    assert.equal(a.virtualUs, b.virtualUs);
    assert.equal(a.frames, b.frames);
  }
  assert.notEqual(new Simulator().run(FIRST).hash, new Simulator().run(FIRST + 1).hash);
});

test('seed_anotherProcess_sameHash', () => {
  const run = (): string => {
    const out = execFileSync(process.execPath, [MAIN, '--seed', '5', '--json'], {
      encoding: 'utf8',
    });
    return JSON.parse(out).sim.hash;
  };
  assert.equal(run(), run());
});

test('seed_pcap_holdsEveryFrame', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ix-sim-'));
  try {
    const path = join(folder, 'run.pcap');
    const plain = new Simulator().run(4);
    const result = new Simulator().run(4, { pcap: path });
    assert.equal(result.hash, plain.hash, 'a capture changes nothing');
    const file = readFileSync(path);
    assert.equal(file.readUInt32LE(0), 0xa1b2c3d4);
    let frames = 0;
    for (let at = 24; at < file.length; at += 16 + file.readUInt32LE(at + 8)) frames++;
    assert.ok(frames >= result.frames, `${frames} of ${result.frames}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Two hosts, a perfect link, one flow of 1000 bytes. */
function tiny(change: (s: Scenario) => void): Scenario {
  const s = makeScenario(1);
  s.hosts = s.hosts.slice(0, 2).map((host) => ({ ...host, kind: 'raw' }));
  s.paths = [0, 1].map(() => [0, 1].map(() => ({ delayUs: 100 })));
  s.listeners = [{ host: 1, port: 7, backlog: 16 }];
  s.partitions = [];
  s.mtuChanges = [];
  s.stalls = [];
  s.deaths = [];
  s.reboots = [];
  s.datagrams = [];
  s.forgeries = [];
  s.isGentle = true;
  s.isPerfect = true;
  const client = { ...reader(), total: 1000, initial: 1000, chunk: 1000, close: 'sent' as const };
  s.flows = [
    {
      ...{ id: 1, kind: 'bulk', client: 0, server: 1, clientPort: 30_000, serverPort: 7 },
      ...{
        startUs: 0,
        acceptUs: 0,
        rejects: false,
        isSimultaneous: false,
        isClean: true,
        again: 0,
        againUs: 0,
      },
      ends: [client, reader()],
    },
  ];
  change(s);
  return s;
}

test('tinyRun_perfectNetwork_passes', () => {
  const result = new Simulator().run(1, { scenario: tiny(() => {}) });
  assert.equal(result.error, undefined, String(result.error));
  assert.equal(result.bytes, 1000);
});

test('stuckFlow_isFoundAndExplained', () => {
  const scenario = tiny((s) => {
    s.flows[0]!.ends[1].close = 'never'; // the server never closes: the flow does not end
    s.flows[0]!.ends[1].pauseAt = 0;
    s.flows[0]!.ends[0].shutsDown = true;
    s.flows[0]!.ends[0].close = 'ended';
  });
  const result = new Simulator().run(1, { scenario });
  assert.match(String(result.error), /stuck for/);
  const text = explain(result);
  assert.match(text, /seed 1 failed at \d+\.\d+ s of virtual time/);
  assert.match(text, /last frames:\n +\d+\.\d+ .*10\.77\.0\.1/);
  assert.match(text, /to repeat it: .*--seed 1 /);
});

test('networkThatLosesAll_connectDies_noRuleBroken', () => {
  const scenario = tiny((s) => {
    s.paths = [0, 1].map(() => [0, 1].map(() => ({ delayUs: 100, loss: 1 })));
    s.isPerfect = false;
  });
  const result = new Simulator().run(1, { scenario });
  assert.equal(result.error, undefined, 'nobody answers ARP, and that is in order');
  assert.equal(result.bytes, 0);
});

test('networkThatForges_payloadWithRightChecksum_isFound', () => {
  const scenario = tiny((s) => {
    s.paths = [0, 1].map(() => [0, 1].map(() => ({ delayUs: 100, forges: true })));
  });
  const result = new Simulator().run(1, { scenario });
  assert.match(String(result.error), /wrong byte/);
});

test('forger_acknowledgementsOfNothing_areResetAndChangeNothing', () => {
  const forged = { from: 0, to: 1, fromPort: 60_000, toPort: 7, seq: 5, ack: 6 };
  const plain = new Simulator().run(1, { scenario: tiny(() => {}) });
  const scenario = tiny((s) => {
    s.forgeries = [100, 900, 2000].map((atUs) => ({ atUs, forged }));
  });
  const result = new Simulator().run(1, { scenario });
  assert.equal(result.error, undefined, String(result.error));
  assert.equal(result.bytes, plain.bytes);
  assert.ok(result.frames >= plain.frames + 3, 'each is answered');
});

/**
 * A client that has gone without a word: what it would receive is dropped in the kernel, so that
 * nothing of it comes any more. `--keepalive` and `c.keepalive` find it out; one that is there and
 * says nothing stays.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { must, SYS, sys } from '../../src/native/sys.ts';
import { Struct } from '../../src/nic/struct.ts';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs } from './programs.ts';
import { DOMAINS, Serving } from './serving.ts';

enterNamespace();

const APP = fileURLToPath(new URL('apps/patient.ts', import.meta.url));
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
/** A busy machine is late. */
const LATE_MS = 4000;

/**
 * A socket filter that takes nothing: the kernel's TCP hears no segment of it any more, and so
 * answers none.
 */
function deafen({ socket }: Client): void {
  const { fd } = (socket as Socket & { _handle: { fd: number } })._handle;
  const nothing = new Struct(8).u16(0, 0x06).bytes; // BPF_RET | BPF_K, 0 bytes
  const program = new Struct(16).u16(0, 1).pointer(8, nothing).bytes;
  const result = sys.syscall(SYS.setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, program, 16);
  must(result, 'setsockopt(SO_ATTACH_FILTER)');
}

/**
 * Two clients that have been answered, of which one falls silent for good; what is said of its end.
 */
async function oneGoes(serving: Serving): Promise<{ reason: string; silentMs: number }> {
  const [gone, idle] = [
    await Client.open(serving.address, 7),
    await Client.open(serving.address, 7),
  ];
  for (const client of [idle, gone]) {
    await client.write('here');
    assert.equal(await client.text(4), 'here');
  }
  await sleep(100); // its acknowledgement of the answer
  deafen(gone);
  const end = JSON.parse(await serving.line());
  await idle.write('still');
  assert.equal(await idle.text(5), 'still', 'who answers stays');
  assert.ok(serving.counters()['tcpKeepalives']! >= 3, 'both were asked');
  gone.socket.destroy();
  await idle.close();
  assert.equal(JSON.parse(await serving.line()).reason, 'closed');
  return end;
}

describe('keepalive', { skip: needs(), timeout: 120_000 }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_option_clientGoneWithoutAWord_endsByTimeout`, async () => {
      const words = [APP, '--domain', domain, '--keepalive', '1', 'userTimeout=5000'];
      await using serving = await Serving.start(words);
      const { reason, silentMs } = await oneGoes(serving);
      assert.equal(reason, 'timeout');
      assert.ok(silentMs >= 4900 && silentMs < 5000 + LATE_MS, `${silentMs} ms`);
      await serving.stop();
    });

    test(`${domain}_ofTheApplication_clientGoneWithoutAWord_endsAfterItsProbes`, async () => {
      const words = [APP, '--domain', domain, 'keepalive=1000,500,3'];
      await using serving = await Serving.start(words);
      const { reason, silentMs } = await oneGoes(serving);
      assert.equal(reason, 'timeout');
      assert.ok(silentMs >= 2400 && silentMs < 2500 + LATE_MS, `${silentMs} ms`);
      await serving.stop();
    });
  }
});

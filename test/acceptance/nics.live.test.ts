/**
 * Ways in other than TCP over AF_XDP as root: ping, ports that nobody serves, a TAP, a TAP without
 * root, and the demonstration over the cable. And both protection domains when the application is
 * slow.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs, run } from './programs.ts';
import { DOMAINS, IX, ROOT, Serving } from './serving.ts';

enterNamespace();

const ASK = 'set a 0 0 5\r\nhello\r\nget a\r\nquit\r\n';
const ANSWER = 'STORED\r\nVALUE a 0 5\r\nhello\r\nEND\r\n';

describe('icmp', { skip: needs('ping'), timeout: 60_000 }, () => {
  for (const bytes of [0, 1472, 3000]) {
    test(`ping_${bytes}Bytes_answeredWhole`, async () => {
      await using serving = await Serving.start(['echo']);
      const command = ['ping', '-c', '5', '-i', '0.05', '-W', '2', '-s', `${bytes}`];
      const { exitCode, output } = await run([...command, serving.address]);
      assert.equal(exitCode, 0, output.toString());
      assert.match(output.toString(), /5 received, 0% packet loss/);
      assert.doesNotMatch(output.toString(), /wrong data byte|truncated|DUP/);
      const { icmpEchoIn, icmpEchoOut, ipReassembled } = serving.counters();
      assert.deepEqual([icmpEchoIn, icmpEchoOut], [5, 5]);
      assert.equal(ipReassembled, bytes > 1472 ? 5 : 0);
      await serving.stop();
    });
  }

  test('portsThatNobodyServes_refusedAtOnce', async () => {
    await using serving = await Serving.start(['echo']);
    const socket = connect(8, serving.address);
    const [error] = await once(socket, 'error', { signal: AbortSignal.timeout(2000) });
    assert.equal(error.code, 'ECONNREFUSED');
    const udp = createSocket('udp4');
    udp.connect(8, serving.address);
    await once(udp, 'connect');
    udp.send('x');
    const [refusal] = await once(udp, 'error', { signal: AbortSignal.timeout(2000) });
    assert.equal(refusal.code, 'ECONNREFUSED');
    udp.close();
    const { icmpUnreachableOut, udpNoPort, tcpNoFlow } = serving.counters();
    assert.deepEqual([icmpUnreachableOut, udpNoPort, tcpNoFlow], [1, 1, 1]);
    await serving.stop();
  });
});

describe('nics', { skip: needs('nc', 'unshare', 'nsenter', 'setpriv'), timeout: 60_000 }, () => {
  for (const domain of DOMAINS) {
    test(`tap_${domain}_kvAnswersNetcat`, async () => {
      await using serving = await Serving.start(['kv', '--nic', 'tap', '--domain', domain]);
      const command = ['nc', serving.address, `${serving.port}`];
      const { output } = await run(command, { input: ASK });
      assert.equal(output.toString(), ANSWER);
      await serving.stop();
    });
  }

  test('rootlessTap_insideUnshare_kvAnswersNetcat', async (t) => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const mayRead = `test -r ${ROOT}package.json && test -w /dev/net/tun`;
    const { exitCode } = await run([...nobody, 'sh', '-c', mayRead]);
    // A clone in somebody's home, or a device that is root's: then root itself makes the user
    // namespace.
    const who = exitCode === 0 ? nobody : [];
    t.diagnostic([...who, 'unshare', '-Urn', 'bin/ix'].join(' '));
    const prefix = [...who, 'unshare', '-Urn'];
    const state = mkdtempSync(join(tmpdir(), 'ix-rootless-'));
    if (exitCode === 0) chownSync(state, 65534, 65534);
    t.after(() => rmSync(state, { recursive: true }));
    await using serving = await Serving.start(['kv', '--nic', 'tap'], { prefix, state });
    assert.match(serving.facts.nic, /^tap ix0/);
    const enter = ['nsenter', '-t', `${serving.facts.pid}`, '-U', '-n', '--preserve-credentials'];
    const command = [...enter, 'nc', serving.address, `${serving.port}`];
    const { output, errors } = await run(command, { input: ASK });
    assert.equal(output.toString(), ANSWER, errors);
    // Without root there is nobody else to become.
    await serving.stop(/^(ix: not enforced here: [^\n]*\n)?$/);
  });

  for (const app of ['kv', 'echo']) {
    test(`cable_${app}Demonstration_printsItsTranscript`, async () => {
      const { exitCode, output, errors } = await run([IX, 'serve', app, '--nic', 'cable']);
      assert.equal(exitCode, 0, errors);
      const told = output.toString();
      assert.match(told, new RegExp(`^ix: ${app} ready at 10.77.0.2:\\d+, on a cable`));
      if (app === 'kv') assert.match(told, /> gets greeting\n {2}VALUE greeting 0 12 \d+\n/);
      else assert.match(told, /> hello\n {2}hello\n/);
      const rate = /([\d,]+) requests a second/.exec(told)?.[1]?.replaceAll(',', '') ?? '0';
      assert.ok(Number(rate) > 1000, told);
    });
  }
});

describe('domains', { skip: needs(), timeout: 60_000 }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_turnLongerThanWatchdog_answeredWithoutAnotherFrame`, async (t) => {
      const module = join(ROOT, 'test/acceptance/apps/slow.ts');
      await using serving = await Serving.start([module, 'ms=5', '--domain', domain]);
      const client = await Client.open(serving.address, 7);
      const roundTripsMs: number[] = [];
      for (let i = 0; i < 15; i++) {
        await sleep(10); // idle: the thread is asleep again
        const start = performance.now();
        await client.write('still there?');
        await client.text(12);
        roundTripsMs.push(performance.now() - start);
      }
      const median = roundTripsMs.sort((a, b) => a - b)[7]!;
      t.diagnostic(`median ${median.toFixed(1)} ms of 5 ms of thought`);
      // A retransmission of the kernel's (200 ms) would wake a thread that has forgotten.
      assert.ok(median < 60, `${median} ms`);
      await client.close();
      await serving.stop();
    });
  }
});

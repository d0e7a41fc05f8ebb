/**
 * IPv6 as the kernel's programs meet it: ping (whole and in fragments), memcached over TCP, streams
 * of many megabytes, on our own links and on an interface that we share with the kernel.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Netlink } from '../../src/control/link/netlink.ts';
import { setOffloads } from '../../src/nic/privileged/interface.ts';
import { parseIpv6 } from '../../src/wire/ipv6-text.ts';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs, run } from './programs.ts';
import { DOMAINS, Serving } from './serving.ts';
import { crcOf, seeded } from './streams.ts';

enterNamespace();

const OURS = 'fd77::2';
const SINK = '9';
const SOURCE = '19';

async function ping(address: string, bytes: number): Promise<void> {
  const command = [
    'ping',
    '-6',
    '-n',
    '-c',
    '5',
    '-i',
    '0.05',
    '-W',
    '2',
    '-s',
    `${bytes}`,
    address,
  ];
  const { exitCode, output } = await run(command);
  assert.equal(exitCode, 0, output.toString());
  assert.match(output.toString(), /5 received, 0% packet loss/);
}

/** Stores and reads a value back. */
async function conversation(address: string, port: number): Promise<void> {
  const client = await Client.open(address, port);
  const value = seeded(3, 20_000).toString('hex');
  await client.write(Buffer.from(`set six 0 0 ${value.length}\r\n${value}\r\nget six\r\n`));
  const expected = `STORED\r\nVALUE six 0 ${value.length}\r\n${value}\r\nEND\r\n`;
  assert.equal(await client.text(expected.length), expected);
  await client.close();
}

async function streams(serving: Serving, bytes: Buffer): Promise<void> {
  const sending = await run(['nc', '-6', '-N', OURS, SINK], { input: bytes });
  assert.equal(sending.exitCode, 0, sending.errors);
  assert.deepEqual(JSON.parse(await serving.line()), { bytes: bytes.length, crc: crcOf(bytes) });
  const receiving = await run(['nc', '-6', '-d', OURS, SOURCE]);
  assert.equal(receiving.exitCode, 0, receiving.errors);
  assert.ok(receiving.output.equals(bytes), 'what netcat received is what was sent');
}

describe('ipv6', { skip: needs('ping', 'nc', 'ip'), timeout: 120_000 }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_kv_answersOnBothProtocolsAndPing`, async () => {
      await using serving = await Serving.start(['kv', '--domain', domain]);
      await ping(OURS, 56);
      await ping(OURS, 1452);
      await ping(OURS, 1453);
      await ping(OURS, 60_000);
      await conversation(OURS, serving.port);
      await conversation(serving.address, serving.port);
      const { icmp6EchoOut, ip6FragmentsOut = 0, icmp6BadChecksum } = serving.counters();
      assert.equal(icmp6EchoOut, 20);
      assert.ok(ip6FragmentsOut > 5 * 40);
      assert.equal(icmp6BadChecksum, 0);
      await serving.stop();
    });
  }

  test('tap_kv_answersOnBothProtocols', async () => {
    await using serving = await Serving.start(['kv', '--nic', 'tap']);
    await ping(OURS, 5000);
    await conversation(OURS, serving.port);
    await conversation(serving.address, serving.port);
    await serving.stop();
  });

  test('bulk_streamEachWay_bytesEqual', async () => {
    const bytes = seeded(11, 32 * 2 ** 20 + 1);
    await using serving = await Serving.start(['bulk', `bytes=${bytes.length}`, 'seed=11']);
    await streams(serving, bytes);
    assert.equal(serving.counters()['tcpBadChecksum'], 0);
    await serving.stop();
  });

  test('lossAndReordering_streamEachWay_bytesEqual', async () => {
    const bytes = seeded(12, 4 * 2 ** 20 + 1);
    const impair = ['--impair', 'loss=0.01,reorder=0.01,seed=7'];
    await using serving = await Serving.start([
      'bulk',
      `bytes=${bytes.length}`,
      'seed=12',
      ...impair,
    ]);
    await streams(serving, bytes);
    assert.ok(serving.counters()['tcpRetransmits']! > 0);
    await serving.stop();
  });

  test('closedPort_isRefused', async () => {
    await using serving = await Serving.start(['echo']);
    await assert.rejects(Client.open(OURS, 9999), /ECONNREFUSED/);
    await serving.stop();
  });

  test('ip6None_nobodyAnswers', async () => {
    await using serving = await Serving.start(['echo', '--ip6', 'none']);
    const { exitCode } = await run(['ping', '-6', '-c', '1', '-W', '1', OURS]);
    assert.notEqual(exitCode, 0);
    await serving.stop();
  });

  test('secondInstance_hasAnAddressOfItsOwnBesideTheFirst', async () => {
    await using first = await Serving.start(['echo']);
    await using second = await Serving.start(['echo', '--ip', '10.77.0.3/24']);
    await ping('fd77::3', 56);
    await ping(OURS, 56);
    second.child.kill('SIGINT');
    assert.equal(await second.exit, 0, second.errors);
    await ping(OURS, 56);
    await first.stop();
  });

  test('sharedInterface_isAskedForAndTakesItsOwnAddressOnly', async () => {
    const netlink = new Netlink();
    netlink.addVeth({ name: 'ixqa' }, { name: 'ixqb' });
    const [host, shared] = ['ixqa', 'ixqb'].map((name) => netlink.link(name)!.index) as [
      number,
      number,
    ];
    for (const index of [host, shared]) netlink.setUp(index);
    for (const name of ['ixqa', 'ixqb']) setOffloads(name, false);
    netlink.addAddress(host, parseIpv6('fd99::1')!, 64);
    // The kernel's own, and no second way to the network.
    netlink.addAddress(shared, parseIpv6('fd99::10')!, 128);
    const options = ['--nic', 'ixqb', '--ip', '10.99.0.2/24', '--ip6', 'fd99::2/64'];
    await using serving = await Serving.start(['kv', ...options]);
    await new Promise((resolve) => setTimeout(resolve, 1500)); // duplicate address detection
    await ping('fd99::2', 3000);
    await conversation('fd99::2', serving.port);
    const groups = (await run(['ip', '-6', 'maddr', 'show', 'dev', 'ixqb'])).output.toString();
    assert.match(groups, /ff02::1:ff00:2/, 'the kernel listens for us');
    serving.child.kill('SIGINT');
    assert.equal(await serving.exit, 0, serving.errors);
    netlink.deleteLink(host);
    netlink.close();
  });
});

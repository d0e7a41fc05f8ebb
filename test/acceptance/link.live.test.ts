/**
 * What happens to a service whose link goes down, comes up, is renamed, moved or removed: what it
 * says, what it costs meanwhile, and that it serves again when it can.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Netlink } from '../../src/control/link/netlink.ts';
import { parseIpv6 } from '../../src/wire/ipv6-text.ts';
import { enterNamespace, linkNames } from '../control/namespace.ts';
import { removeLink } from '../nic/links.ts';
import { Client } from './client.ts';
import { needs, run } from './programs.ts';
import { cpuSeconds, IX, Serving } from './serving.ts';

enterNamespace();

const LINK_LINES = /^(ix: link .*\n)*$/;

async function ip(...words: string[]): Promise<void> {
  const { exitCode, errors } = await run(['ip', ...words]);
  assert.equal(exitCode, 0, `ip ${words.join(' ')}: ${errors}`);
}

async function get(client: Client): Promise<void> {
  await client.write('get a\r\n');
  assert.equal(await client.text(5), 'END\r\n');
}

async function answers(...addresses: string[]): Promise<void> {
  for (const address of addresses) {
    const client = await Client.open(address, 11211);
    await get(client);
    await client.close();
  }
}

/** The next incident of a link: `serve --json` says nothing else here. */
async function news(serving: Serving): Promise<Record<string, unknown>> {
  const { application: _a, address: _b, seconds: _c, ...rest } = JSON.parse(await serving.line());
  return rest;
}

const link = (name: string, state: string, isMoved = false) => ({
  ...{ event: 'link', interface: name, state, isMoved },
});

/** What its processes use of a core now. */
async function load(serving: Serving, ms = 1500): Promise<number> {
  const before = cpuSeconds(serving.pids);
  await sleep(ms);
  return ((cpuSeconds(serving.pids) - before) * 1000) / ms;
}

const statOf = (address = '10.77.0.2'): { name: string; state: string } => {
  const { stdout } = spawnSync(IX, ['stat', '--json', '--ip', address], { encoding: 'utf8' });
  return JSON.parse(stdout).instances[0].link;
};

/** It has bytes that it would like to send: the link went down before its answer. */
async function owing(client: Client): Promise<void> {
  await client.write('get a\r\n').catch(() => {});
}

describe('link', { skip: needs('ip', 'ping', 'unshare'), timeout: 500_000 }, () => {
  for (const [domain, nic, name] of [
    ['inline', 'veth', 'ix0'],
    ['process', 'veth', 'ix1'],
    ['process', 'tap', 'ix0'],
  ] as const) {
    test(`${domain}_${nic}_${name}DownAndUp_saidSleepsAndServesAgain`, async () => {
      await using serving = await Serving.start(['kv', '--nic', nic, '--domain', domain]);
      const client = await Client.open(serving.address, 11211);
      await get(client);
      await ip('link', 'set', name, 'down');
      assert.deepEqual(await news(serving), link(name, 'down'));
      assert.deepEqual(statOf(), { name, state: 'down' });
      await owing(client);
      assert.ok((await load(serving)) < 0.2, 'it does not spin');
      await ip('link', 'set', name, 'up');
      assert.deepEqual(await news(serving), link(name, 'up'));
      await answers(serving.address, 'fd77::2');
      await client.text(5);
      await get(client); // the connection has lived through it
      await client.close();
      await serving.stop(LINK_LINES);
    });
  }

  test('ownEndDown_answersOwed_threadSleepsAndSendsThemLater', async () => {
    await using serving = await Serving.start(['kv', '--domain', 'process']);
    const client = await Client.open(serving.address, 11211);
    await get(client);
    // The request has come, and its answer finds the link down: AF_XDP refuses every kick.
    const kicksBefore = serving.counters()['kicks']!;
    await Promise.all([owing(client), ip('link', 'set', 'ix1', 'down')]);
    await news(serving);
    const used = await load(serving, 3000);
    const kicks = serving.counters()['kicks']! - kicksBefore;
    assert.ok(used < 0.2 && kicks < 1000, `${used} of a core, ${kicks} kicks`);
    await ip('link', 'set', 'ix1', 'up');
    await client.text(5);
    await client.close();
    await serving.stop(LINK_LINES);
  });

  for (const [domain, nic, name] of [
    ['inline', 'veth', 'ix1'],
    ['process', 'tap', 'ix0'],
  ] as const) {
    test(`${domain}_${nic}_${name}Removed_serviceEndsAndSaysWhy`, async () => {
      await using serving = await Serving.start(['kv', '--nic', nic, '--domain', domain]);
      await answers(serving.address);
      await ip('link', 'delete', name);
      assert.deepEqual(await news(serving), link('ix0', 'gone'));
      assert.equal(await serving.exit, 1);
      const lines = serving.errors.trim().split('\n');
      assert.equal(lines.length, 2, serving.errors);
      assert.match(lines[0]!, /^ix: link ix0 of kv at 10\.77\.0\.2: removed$/);
      assert.match(
        lines[1]!,
        /the service has ended, its interface ix0 was removed; start it again/,
      );
    });
  }

  test('orphan_linkRemoved_sleeps_andTheNextStartServesAnew', async () => {
    await using first = await Serving.start(['kv']);
    const client = await Client.open(first.address, 11211);
    await first.kill9();
    await ip('link', 'delete', 'ix0');
    await sleep(300);
    const { dataplane, application } = first.facts;
    const before = cpuSeconds([dataplane, application!]);
    await sleep(1500);
    assert.ok(cpuSeconds([dataplane, application!]) - before < 0.3, 'it does not spin');
    assert.equal(statOf().state, 'gone');
    client.socket.destroy();
    await using second = await Serving.start(['kv']);
    await answers(second.address);
    await second.stop(/its interface ix1 is gone/);
  });

  test('orphan_hostEndWasDownAndUp_adopterRestoresIpv6', async () => {
    await using first = await Serving.start(['kv']);
    const client = await Client.open(first.address, 11211);
    await get(client);
    await first.kill9();
    await ip('link', 'set', 'ix0', 'down');
    await ip('link', 'set', 'ix0', 'up');
    await using second = await Serving.start(['kv']);
    assert.equal(second.facts.adoptedFrom, first.facts.pid);
    await sleep(500);
    await answers(second.address, 'fd77::2');
    await get(client);
    await client.close();
    await second.stop(LINK_LINES);
  });

  test('twoServices_bothHostEndsDownAndUpAtOnce_allAddressesAnswer', async () => {
    await using first = await Serving.start(['kv']);
    await using second = await Serving.start(['kv', '--ip', '10.77.0.3/24']);
    // Down and up before anybody has looked: the state does not change, the addresses go.
    for (const name of ['ix0', 'ix2']) {
      await run(['sh', '-c', `ip link set ${name} down; ip link set ${name} up`]);
    }
    await sleep(1000);
    await answers('10.77.0.2', '10.77.0.3', 'fd77::2', 'fd77::3');
    second.child.kill('SIGINT');
    assert.equal(await second.exit, 0, second.errors);
    await first.stop(LINK_LINES);
  });
});

/**
 * An interface that is there before the service: one end of a veth pair, the other one has the
 * client's addresses.
 */
function makeShared(t: TestContext): void {
  const netlink = new Netlink();
  t.after(() => removeLink('ixqa'));
  netlink.addVeth({ name: 'ixqa' }, { name: 'ixqb' });
  for (const name of ['ixqa', 'ixqb']) netlink.setUp(netlink.link(name)!.index);
  netlink.addAddress(netlink.link('ixqa')!.index, 0x0a63_0001, 24);
  netlink.addAddress(netlink.link('ixqa')!.index, parseIpv6('fd99::1')!, 64);
  netlink.close();
}

const SHARED = ['--nic', 'ixqb', '--ip', '10.99.0.2/24', '--ip6', 'fd99::2/64'];

describe('sharedLink', { skip: needs('ip', 'nc', 'unshare'), timeout: 500_000 }, () => {
  test('renamed_saidAndServesOn_alsoItsNextLife', async (t) => {
    makeShared(t);
    await using serving = await Serving.start(['kv', ...SHARED]);
    await ip('link', 'set', 'ixqb', 'name', 'ixqc');
    assert.deepEqual(await news(serving), {
      ...{ event: 'link-renamed', interface: 'ixqc', was: 'ixqb' },
    });
    assert.equal(statOf('10.99.0.2').name, 'ixqc');
    await answers('10.99.0.2');
    process.kill(serving.facts.dataplane, 'SIGKILL');
    assert.equal(JSON.parse(await serving.line()).event, 'dataplane-ended');
    assert.equal(JSON.parse(await serving.line()).event, 'dataplane-restarted');
    await answers('10.99.0.2');
    serving.child.kill('SIGINT');
    assert.equal(await serving.exit, 0, serving.errors);
  });

  test('movedToAnotherNamespace_serviceEndsAndSaysWhy', async (t) => {
    makeShared(t);
    await using serving = await Serving.start(['kv', ...SHARED]);
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 60']);
    await once(holder.stdout, 'data');
    await ip('link', 'set', 'ixqb', 'netns', `${holder.pid}`);
    assert.deepEqual(await news(serving), link('ixqb', 'gone', true));
    assert.equal(await serving.exit, 1);
    assert.match(serving.errors, /its interface ixqb was moved to another network namespace/);
    holder.kill();
    await once(holder, 'exit');
    for (let i = 0; i < 100 && linkNames().length > 0; i++) await sleep(50);
  });

  test('otherEndDown_isSaidAsNoCarrier', async (t) => {
    makeShared(t);
    await using serving = await Serving.start(['kv', ...SHARED]);
    await ip('link', 'set', 'ixqa', 'down');
    assert.deepEqual(await news(serving), link('ixqb', 'no carrier'));
    await ip('link', 'set', 'ixqa', 'up');
    assert.deepEqual(await news(serving), link('ixqb', 'up'));
    await answers('10.99.0.2');
    serving.child.kill('SIGINT');
    assert.equal(await serving.exit, 0, serving.errors);
  });

  test('ordinaryVeth_peerLeavesChecksumsToHardware_tcpServesOnBothProtocols', async (t) => {
    makeShared(t);
    await using serving = await Serving.start(['kv', ...SHARED]);
    await sleep(1500); // duplicate address detection
    const value = 'v'.repeat(100_001);
    for (const address of ['10.99.0.2', 'fd99::2']) {
      const client = await Client.open(address, 11211);
      await client.write(`set a 0 0 ${value.length}\r\n${value}\r\nget a\r\n`);
      const expected = `STORED\r\nVALUE a 0 ${value.length}\r\n${value}\r\nEND\r\n`;
      assert.equal(await client.text(expected.length), expected);
      await client.close();
    }
    const counted = serving.counters();
    assert.ok(counted['tcpPartialChecksums']! > 10);
    assert.deepEqual([counted['tcpBadChecksum'], counted['partialChecksumsRefused']], [0, 0]);
    serving.child.kill('SIGINT');
    assert.equal(await serving.exit, 0, serving.errors);
    assert.equal(serving.errors, '');
  });

  test('ordinaryVethInGenericMode_saysWhatToSwitchOff', async (t) => {
    makeShared(t);
    await using serving = await Serving.start(['kv', ...SHARED, '--xdp', 'generic']);
    assert.match(serving.errors, /ethtool -K INTERFACE tso off gso off/);
    await answers('10.99.0.2');
    serving.child.kill('SIGINT');
    assert.equal(await serving.exit, 0, serving.errors);
  });
});

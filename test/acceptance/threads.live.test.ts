/**
 * A service of two elastic threads: each has a queue of the link, a stack and an application of its
 * own; connections are spread over them, and each lives on one. What arrives at one thread and
 * concerns both is told to the other; connections that the application opens come back to who
 * opened them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAddress } from '../../src/control/link/address.ts';
import { Netlink } from '../../src/control/link/netlink.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { makeVeth } from '../nic/links.ts';
import { Client } from './client.ts';
import { run } from './programs.ts';
import { DOMAINS, IX, Serving } from './serving.ts';

enterNamespace();

const WHICH = fileURLToPath(new URL('./apps/which.ts', import.meta.url));
const CALLERS = fileURLToPath(new URL('./apps/callers.ts', import.meta.url));
/** By chance all answered, if ports were picked without looking: once in 2^128 runs. */
const CALLS = 64;
/** By chance all on one thread: once in 2^31 runs. */
const CONNECTIONS = 32;
const LINE = 'thread 0\n';
/** Two fragments, and still a frame's worth. */
const LONG = 1800;
const TWO = ['--threads', '2'];
const MODES = ['native', 'generic'] as const;

/**
 * The threads that answer, over so many connections, each asked twice: a connection stays where it
 * is.
 */
async function threadsOf(address: string): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let i = 0; i < CONNECTIONS; i++) {
    const client = await Client.open(address, 7);
    await client.write('?');
    const line = await client.text(LINE.length);
    await client.write('?');
    assert.equal(await client.text(LINE.length), line);
    seen.add(line.trim());
    await client.close();
  }
  return seen;
}

const BOTH = new Set(['thread 0', 'thread 1']);

/** Says back what it is told, on every address of the host. */
async function echoServer(): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(0, '::');
  await once(server, 'listening');
  return server;
}

const callersOf = (server: Server, domain: string, hosts = '10.77.0.1,fd77::1'): string[] => {
  const { port } = server.address() as AddressInfo;
  const calls = [`hosts=${hosts}`, `port=${port}`, `calls=${CALLS}`];
  return [CALLERS, ...calls, ...TWO, '--domain', domain];
};

/** What each of two threads reports of its calls. */
async function outcomes(serving: Serving): Promise<Record<string, number>[]> {
  const said: Record<string, number>[] = [];
  while (said.length < 2) {
    const line = JSON.parse(await serving.line());
    if (line.answered !== undefined) said.push(line);
  }
  return said.sort((a, b) => a['thread']! - b['thread']!);
}

const oneHost = (answered: number) => [0, 1].map((thread) => ({ thread, answered }));
const ALL_ANSWERED = oneHost(2 * CALLS);

function withAddress(ifname: string, address: string): void {
  const netlink = new Netlink();
  const { index } = netlink.link(ifname)!;
  netlink.addAddress(index, parseAddress(address), 24);
  netlink.close();
}

function statOf(address: string) {
  const { stdout } = spawnSync(IX, ['stat', '--json', '--ip', address], { encoding: 'utf8' });
  return JSON.parse(stdout).instances[0];
}

const steeringOf = (address: string) => statOf(address).steering;

describe('threads', { skip: needsRoot, timeout: 400_000 }, () => {
  for (const [domain, xdp] of DOMAINS.flatMap((each) => MODES.map((mode) => [each, mode]))) {
    test(`two_${domain}_${xdp}_bothServeOverBothProtocols`, async () => {
      const words = [WHICH, ...TWO, '--domain', domain!, '--xdp', xdp!];
      await using serving = await Serving.start(words);
      assert.equal(serving.facts.xdp?.mode, xdp);
      assert.deepEqual(await threadsOf(serving.address), BOTH);
      assert.deepEqual(await threadsOf('fd77::2'), BOTH);
      const { tcpOpened, siblingsHeard, siblingsLimited } = serving.counters();
      assert.deepEqual([tcpOpened, siblingsLimited], [2 * CONNECTIONS, 0]);
      // Both have asked for the host's address by ARP and by neighbour discovery; whose queue the
      // answer came to told it.
      assert.ok(siblingsHeard! > 0, 'nothing was told');
      await serving.stop();
    });
  }

  test('three_groupsInUnequalShares_eachServes', async () => {
    await using serving = await Serving.start([WHICH, '--threads', '3']);
    assert.deepEqual(steeringOf(serving.address).groups, [43, 43, 42]);
    const seen = await threadsOf(serving.address);
    assert.deepEqual([...seen].sort(), ['thread 0', 'thread 1', 'thread 2']);
    const { tcpNoFlow, handedOn } = serving.counters();
    assert.deepEqual([tcpNoFlow, handedOn], [0, 0]);
    await serving.stop();
  });

  test('vethOfOurOwn_steered_statSaysHow_alsoWhenAdopted', async () => {
    await using first = await Serving.start([WHICH, ...TWO]);
    const steering = steeringOf(first.address);
    assert.match(steering.by, /^(tcx|clsact)$/);
    assert.deepEqual(steering.groups, [64, 64]);
    assert.equal(first.facts.xdp?.mode, 'generic', 'the faster one here');
    await first.kill9();
    await using second = await Serving.start([WHICH, ...TWO]);
    assert.equal(second.facts.adoptedFrom, first.facts.pid);
    assert.deepEqual(steeringOf(second.address), steering);
    assert.deepEqual(await threadsOf(second.address), BOTH);
    await second.stop();
  });

  for (const [domain, xdp] of DOMAINS.flatMap((each) => MODES.map((mode) => [each, mode]))) {
    test(`connect_${domain}_${xdp}_fromBothThreadsEveryAnswerComesBack`, async (t) => {
      const server = await echoServer();
      t.after(() => server.close());
      const words = [...callersOf(server, domain!), '--xdp', xdp!];
      await using serving = await Serving.start(words);
      assert.deepEqual(await outcomes(serving), ALL_ANSWERED);
      assert.deepEqual(await threadsOf(serving.address), BOTH);
      const { tcpNoFlow, tcpPortsUsedUp } = serving.counters();
      assert.deepEqual([tcpNoFlow, tcpPortsUsedUp], [0, 0]);
      await serving.stop();
    });
  }

  for (const nic of ['veth', 'tap']) {
    test(`${nic}_adoptedAndDataplaneDies_theNextOneKnowsItsFlowsToo`, async (t) => {
      const server = await echoServer();
      t.after(() => server.close());
      const words = [...callersOf(server, 'inline'), '--nic', nic];
      await using first = await Serving.start(words);
      assert.deepEqual(await outcomes(first), ALL_ANSWERED);
      await first.kill9();
      await using second = await Serving.start(words);
      assert.equal(second.facts.adoptedFrom, first.facts.pid);
      process.kill(second.facts.dataplane, 'SIGKILL');
      assert.deepEqual(await outcomes(second), ALL_ANSWERED);
      assert.deepEqual(await threadsOf(second.address), BOTH);
      await second.stop(/dataplane/);
    });
  }

  test('tap_process_firstFramesAreHandedOn_theRestComesByItsThreadsQueue', async () => {
    await using serving = await Serving.start([WHICH, ...TWO, '--nic', 'tap']);
    assert.deepEqual(await threadsOf(serving.address), BOTH);
    assert.deepEqual(await threadsOf('fd77::2'), BOTH);
    assert.equal(steeringOf(serving.address).by, 'threads');
    const { tcpOpened, tcpNoFlow, handedOn, handedIn, handedDropped } = serving.counters();
    assert.deepEqual([tcpOpened, tcpNoFlow], [2 * CONNECTIONS, 0]);
    assert.deepEqual([handedIn, handedDropped], [handedOn, 0]);
    // A SYN or two, of half of them; some five more segments each if the kernel did not learn.
    assert.ok(handedOn! > 0 && handedOn! < 2 * (2 * CONNECTIONS), `${handedOn}`);
    await serving.stop();
  });

  test('datagramsInFragments_reachTheThreadThatWholeOnesReach', async () => {
    await using serving = await Serving.start([WHICH, ...TWO]);
    const seen = new Set<string>();
    for (let i = 0; i < CONNECTIONS; i++) {
      const socket = createSocket('udp4');
      socket.connect(7, serving.address);
      await once(socket, 'connect');
      const ask = async (bytes: number): Promise<string> => {
        socket.send(Buffer.alloc(bytes));
        const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(5000) });
        return `${answer}`.trim();
      };
      const thread = await ask(1);
      assert.equal(await ask(LONG), thread);
      seen.add(thread);
      socket.close();
    }
    assert.deepEqual(seen, BOTH);
    const { ipReassembled, handedOn, handedIn, handedDropped } = serving.counters();
    assert.equal(ipReassembled, CONNECTIONS);
    assert.ok(handedOn! > 0, 'nothing was handed on');
    assert.deepEqual([handedIn, handedDropped], [handedOn, 0]);
    await serving.stop();
  });

  for (const domain of DOMAINS) {
    test(`interfaceThatWasThere_${domain}_threadsHandOnWhatTheKernelSpreads`, async (t) => {
      t.after(makeVeth('ixta', 'ixtb', 2));
      withAddress('ixta', '10.77.0.1');
      const server = await echoServer();
      t.after(() => server.close());
      const words = [...callersOf(server, domain, '10.77.0.1'), '--nic', 'ixtb', '--ip6', 'none'];
      await using serving = await Serving.start(words);
      assert.deepEqual(await outcomes(serving), oneHost(CALLS));
      assert.deepEqual(await threadsOf(serving.address), BOTH);
      assert.equal(steeringOf(serving.address).by, 'threads');
      const { tcpNoFlow, handedOn, handedDropped } = serving.counters();
      assert.deepEqual([tcpNoFlow, handedDropped], [0, 0]);
      assert.ok(handedOn! > 0);
      serving.child.kill('SIGINT');
      assert.equal(await serving.exit, 0, serving.errors);
      assert.match(serving.errors, /threads hand most frames on .*ixtb: it does not tell its RSS/);
    });
  }

  test('stat_saysFlowsLoadAndQueueOfEachThread', async () => {
    await using serving = await Serving.start([WHICH, ...TWO]);
    const flows = [0, 0];
    const clients: Client[] = [];
    for (let i = 0; i < CONNECTIONS; i++) {
      const client = await Client.open(serving.address, 7);
      await client.write('?');
      flows[Number((await client.text(LINE.length)).at(-2))]! += 1;
      clients.push(client);
    }
    const { threads } = statOf(serving.address);
    assert.deepEqual(
      threads.map((each: { thread: number; flows: number }) => [each.thread, each.flows]),
      [...flows.entries()],
    );
    for (const { busy, queue } of threads) {
      assert.ok(busy >= 0 && busy <= 1 && queue >= 0, JSON.stringify(threads));
    }
    const { stdout } = spawnSync(IX, ['stat', '--ip', serving.address], { encoding: 'utf8' });
    for (const [thread, count] of flows.entries()) {
      assert.match(
        stdout,
        new RegExp(`thread ${thread}: ${count} flows, \\d+ % busy \\(\\w+\\), queue \\d`),
      );
    }
    for (const client of clients) await client.close();
    await serving.stop();
  });

  test('stopped_connectionsOfBothAreReset', async () => {
    for (const how of ['SIGINT', 'ix.stop'] as const) {
      const words = [WHICH, ...TWO, '--domain', 'inline'];
      await using serving = await Serving.start(words);
      const clients = [];
      const threads = new Set<string>();
      for (let i = 0; i < CONNECTIONS; i++) {
        const client = await Client.open(serving.address, 7);
        await client.write('?');
        threads.add((await client.text(LINE.length)).trim());
        clients.push(client);
      }
      assert.deepEqual(threads, BOTH);
      const resets = clients.map(({ socket }) => once(socket, 'close').catch(({ code }) => code));
      if (how === 'SIGINT') await serving.stop();
      else await clients[0]!.write('stop');
      assert.deepEqual(new Set(await Promise.all(resets)), new Set(['ECONNRESET']), how);
      assert.equal(await serving.exit, 0, how);
    }
  });

  test('applicationDies_startedAgainForBoth', async () => {
    await using serving = await Serving.start([WHICH, ...TWO]);
    assert.deepEqual(await threadsOf(serving.address), BOTH);
    process.kill(serving.facts.application!, 'SIGKILL');
    for (const event of ['ended', 'restarted']) {
      const line = JSON.parse(await serving.line());
      assert.equal(line.event, event, JSON.stringify(line));
    }
    assert.deepEqual(await threadsOf(serving.address), BOTH);
    await serving.stop(/started again|again/);
  });

  test('controlPlaneDies_adoptedWithBoth', async () => {
    await using first = await Serving.start([WHICH, ...TWO]);
    assert.deepEqual(await threadsOf(first.address), BOTH);
    await first.kill9();
    await using second = await Serving.start([WHICH, ...TWO]);
    assert.equal(second.facts.adoptedFrom, first.facts.pid);
    assert.deepEqual(await threadsOf(second.address), BOTH);
    await second.stop();
  });

  test('interfaceWithAnotherNumberOfQueues_oneLineWithTheRemedyAndExit2', async () => {
    const remove = makeVeth('ixta', 'ixtb', 2);
    try {
      const { exitCode, errors } = await run([
        IX,
        'serve',
        'echo',
        '--nic',
        'ixta',
        '--ip6',
        'none',
      ]);
      assert.equal(exitCode, 2);
      const remedy = 'try --threads 2, or: ethtool -L ixta combined 1';
      assert.equal(
        errors.toString(),
        `ix: ixta has 2 queues, for as many threads, not 1; ${remedy}\n`,
      );
    } finally {
      remove();
    }
  });
});

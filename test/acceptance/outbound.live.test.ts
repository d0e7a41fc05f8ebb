/** `--outbound nat`: what a service opens goes beyond the host, nothing comes in by it. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { closeOutbound, openOutbound } from '../../src/control/link/outbound.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { IX, Serving } from './serving.ts';

enterNamespace();

const ASKS = fileURLToPath(new URL('apps/node-asks.mjs', import.meta.url));
const FORWARD = '/proc/sys/net/ipv4/ip_forward';
/** RFC 5737: the network behind the host. */
const OUTSIDE = '192.0.2.1';
const HOST = '192.0.2.254';
const PORT = 4001;
const SAYS_WHO = `require('node:net').createServer((s) => s.end(s.remoteAddress))
  .listen(${PORT}, '${OUTSIDE}', () => console.log('up'))`;

const lacks = (program: string): boolean => spawnSync(program, ['--version']).error !== undefined;
const skip = needsRoot || (lacks('nft') && 'needs nft: apt install nftables') || lacks('ip');

const hasTable = (): boolean => spawnSync('nft', ['list', 'table', 'ip', 'ix']).status === 0;
const forwards = (): string => readFileSync(FORWARD, 'latin1').trim();
const run = (command: string): string =>
  execFileSync('sh', ['-ec', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Knows one address, whatever is asked for: no other has OUTSIDE's. */
function nameServer(): Socket {
  const server = createSocket('udp4', (question, { port, address }) => {
    const end = question.indexOf(0, 12) + 5;
    const isA = question.readUInt16BE(end - 4) === 1;
    const answer = Buffer.from(question.subarray(0, end));
    [0x8180, 1, isA ? 1 : 0, 0, 0].forEach((word, i) => {
      answer.writeUInt16BE(word, 2 + 2 * i);
    });
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    server.send(isA ? Buffer.concat([answer, record]) : answer, port, address);
  });
  return server.bind(53, HOST);
}

describe('outbound', { skip, timeout: 180_000 }, () => {
  let outside: ChildProcess;
  before(async () => {
    const node = [process.execPath, '-e', SAYS_WHO];
    const named = `until ip addr add ${OUTSIDE}/24 dev ixo1 2>/dev/null; do :; done`;
    const up = `ip link set lo up; ${named}`;
    const route = `ip link set ixo1 up; ip route add 10.77.0.0/24 via ${HOST}`;
    const there = ['--net', 'sh', '-ec', `echo ready; ${up}; ${route}; exec "$@"`, 'sh', ...node];
    outside = spawn('unshare', there, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(outside.stdout!, 'data');
    run(`ip link add ixo0 type veth peer name ixo1 netns ${outside.pid}
      ip addr add ${HOST}/24 dev ixo0; ip link set ixo0 up`);
    await once(outside.stdout!, 'data');
    writeFileSync(FORWARD, '0');
  });
  after(() => outside.kill('SIGKILL'));

  const start = (...words: string[]): Promise<Serving> =>
    Serving.start([ASKS, ...words, '--', OUTSIDE, `${PORT}`]);
  const end = async (serving: Serving): Promise<void> => {
    serving.child.kill('SIGINT');
    assert.equal(await serving.exit, 0, serving.errors);
  };

  test('without_noWayLeadsThere', async () => {
    await using serving = await start();
    assert.match(await serving.line(), /ENETUNREACH.*--outbound nat/);
    assert.deepEqual([forwards(), hasTable()], ['0', false]);
    await end(serving);
  });

  test('nat_asksAsTheHost_nobodyComesIn_andAllIsPutBack', async () => {
    await using serving = await start('--outbound', 'nat');
    assert.deepEqual(JSON.parse(await serving.line()), { heard: HOST });
    assert.match(serving.errors, /nftables table ip ix masquerades 10.77.0.2, net.ipv4.ip_forward/);
    assert.deepEqual([forwards(), hasTable()], ['1', true]);
    const connect = `require('net').connect(8080, '10.77.0.2')
      .on('connect', () => process.exit(3))`;
    const from = `nsenter -t ${outside.pid} -n timeout 2 ${process.execPath} -e "${connect}"`;
    assert.equal(spawnSync('sh', ['-c', from]).status, 124, 'no answer');
    await end(serving);
    assert.deepEqual([forwards(), hasTable()], ['0', false]);
  });

  test('nat_nameIsLookedUp_byTheMachinesNameServers', async () => {
    const server = nameServer();
    await once(server, 'listening');
    const file = join(mkdtempSync(join(tmpdir(), 'ix-resolv-')), 'resolv.conf');
    writeFileSync(file, `nameserver ${HOST}\n`);
    const inPlace = `mount --make-rprivate /; mount --bind ${file} /etc/resolv.conf; exec "$@"`;
    const prefix = ['unshare', '-m', 'sh', '-ec', inPlace, 'sh'];
    const words = [ASKS, '--outbound', 'nat', '--', 'peer.test', `${PORT}`];
    await using serving = await Serving.start(words, { prefix });
    assert.deepEqual(JSON.parse(await serving.line()), { heard: HOST });
    await end(serving);
    server.close();
    rmSync(dirname(file), { recursive: true });
  });

  test('nat_everythingKilled_theNextStartPutsBack', async () => {
    await using serving = await start('--outbound', 'nat');
    await serving.line();
    for (const pid of serving.pids) process.kill(pid, 'SIGKILL');
    await serving.exit;
    assert.deepEqual([forwards(), hasTable()], ['1', true]);
    await using next = await start();
    assert.deepEqual([forwards(), hasTable()], ['0', false]);
    await end(next);
  });

  test('twoAtATime_theLastPutsBack_andWhatWasOnStaysOn', () => {
    const guest = (n: number) => ({ hostName: `ix${n}`, address: `10.77.0.${n}` });
    assert.match(openOutbound('ix2', 0x0a4d0002), /ip_forward is 1 now/);
    assert.match(openOutbound('ix3', 0x0a4d0003), /ip_forward was 1/);
    closeOutbound(guest(2));
    closeOutbound(guest(2));
    assert.deepEqual([forwards(), hasTable()], ['1', true]);
    closeOutbound(guest(3));
    assert.deepEqual([forwards(), hasTable()], ['0', false]);
    writeFileSync(FORWARD, '1');
    openOutbound('ix2', 0x0a4d0002);
    closeOutbound(guest(2));
    assert.deepEqual([forwards(), hasTable()], ['1', false]);
    writeFileSync(FORWARD, '0');
  });

  test('interfaceThatIsThere_orNoNft_isRefusedWithTheRemedy', () => {
    const words = ['run', ASKS, '--outbound', 'nat'];
    const given = { encoding: 'utf8', env: { ...process.env, PATH: '/nowhere' } } as const;
    const taken = spawnSync(IX, [...words, '--nic', 'ixo0'], { encoding: 'utf8' });
    assert.deepEqual([taken.status, /use --nic veth or tap/.test(taken.stderr)], [2, true]);
    const node = [
      `${process.execPath}`,
      fileURLToPath(new URL('../../src/cli/cli.ts', import.meta.url)),
    ];
    const bare = spawnSync(node[0]!, [node[1]!, ...words], given);
    assert.deepEqual(
      [bare.status, /apt install nftables/.test(bare.stderr)],
      [2, true],
      bare.stderr,
    );
  });
});

/** AF_XDP over veth: the shared suite in native and generic mode; refusals; fallback; closing. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { must, SYS, sys } from '../../src/native/sys.ts';
import { AfXdp } from '../../src/nic/afxdp.ts';
import type { XdpMode } from '../../src/nic/drivers.ts';
import { NIC_REFUSED, NicError } from '../../src/nic/errors.ts';
import { attachXdp } from '../../src/nic/privileged/attach.ts';
import {
  ALL_OFFLOADS,
  type Interface,
  readInterface,
  readOffload,
  setOffloads,
} from '../../src/nic/privileged/interface.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { makeVeth } from './links.ts';
import {
  buildFrame,
  collect,
  type Driver,
  type End,
  makeEnds,
  nicSuite,
  RING,
  send,
  settle,
} from './suite.ts';

enterNamespace();
const skip = needsRoot;
const everything = { ipv4: [], everything: true, ringEntries: RING };

const connect =
  (mode: XdpMode): Driver['connect'] =>
  (a, b) => {
    const remove = makeVeth('ixta', 'ixtb');
    const first = openXdp(a.arena, a.frames, a.counters, { ...everything, ifname: 'ixta', mode });
    const second = openXdp(b.arena, b.frames, b.counters, { ...everything, ifname: 'ixtb', mode });
    return {
      a: first.nic,
      b: second.nic,
      remove() {
        first.close();
        second.close();
        remove();
      },
    };
  };

nicSuite({ name: 'af_xdp native', skip, capacity: RING, connect: connect('native') });
nicSuite({ name: 'af_xdp generic', skip, capacity: RING, connect: connect('generic') });

/** A test with a veth pair ixta, ixtb. */
const onLink = (name: string, body: () => void): void => {
  test(name, { skip }, (t) => {
    t.after(makeVeth('ixta', 'ixtb'));
    body();
  });
};

const refusal = (code: string) => (error: unknown) =>
  error instanceof NicError && error.code === code && error.message.length > 20;

onLink('attach to a missing interface is refused with its name', () => {
  assert.throws(
    () => attachXdp({ ifname: 'ixnone', ipv4: [] }),
    (error) => refusal(NIC_REFUSED.noInterface)(error) && /ixnone/.test(String(error)),
  );
});

onLink('attach to an interface that is down is refused with the command that helps', () => {
  execFileSync('ip', ['link', 'set', 'ixta', 'down']);
  assert.throws(
    () => attachXdp({ ifname: 'ixta', ipv4: [] }),
    (error) =>
      refusal(NIC_REFUSED.interfaceDown)(error) && /ip link set ixta up/.test(String(error)),
  );
});

onLink('attach where another program is attached is refused, not hidden by generic mode', () => {
  const first = attachXdp({ ifname: 'ixta', ipv4: [] });
  assert.throws(() => attachXdp({ ifname: 'ixta', ipv4: [] }), refusal(NIC_REFUSED.interfaceBusy));
  first.detach();
  attachXdp({ ifname: 'ixta', ipv4: [] }).detach();
});

onLink('busy and missing queues are refused, and nothing is left open', () => {
  const { arena, a, b } = makeEnds();
  const first = openXdp(arena, a.frames, a.counters, { ...everything, ifname: 'ixta' });
  const { index, mac, mtu } = readInterface('ixta');
  const open = (queue: number) =>
    new AfXdp(arena, b.frames, b.counters, {
      fd: first.attachment.openSocket(),
      ifindex: index,
      ifname: 'ixta',
      queue,
      mac,
      mtu,
      ringEntries: RING,
    });
  assert.throws(() => open(0), refusal(NIC_REFUSED.queueBusy));
  assert.throws(() => open(7), refusal(NIC_REFUSED.noQueue));
  assert.ok(b.frames.allHome());
  first.close();
  assert.ok(a.frames.allHome());
  const again = openXdp(arena, a.frames, a.counters, { ...everything, ifname: 'ixta' });
  again.close();
});

onLink('attach without privilege is refused with the capabilities it needs', () => {
  const script = `
    import { attachXdp } from '${new URL('../../src/nic/privileged/attach.ts', import.meta.url)}';
    try { attachXdp({ ifname: 'ixta', ipv4: [] }); } catch (e) { console.log(e.code, e.message); }`;
  const said = execFileSync(
    'setpriv',
    [
      '--bounding-set=-all',
      '--inh-caps=-all',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ],
    { encoding: 'utf8' },
  );
  assert.match(said, new RegExp(NIC_REFUSED.noPrivilege));
  assert.match(said, /CAP_NET_ADMIN/);
});

onLink('native mode refused falls back to generic mode and says why', () => {
  // veth takes no native program when the other end may send more than a page.
  execFileSync('ip', ['link', 'set', 'ixta', 'mtu', '9000']);
  execFileSync('ip', ['link', 'set', 'ixtb', 'mtu', '9000']);
  assert.throws(() => attachXdp({ ifname: 'ixta', ipv4: [], mode: 'native' }), NicError);
  const { arena, a, b } = makeEnds();
  const first = openXdp(arena, a.frames, a.counters, { ...everything, ifname: 'ixta' });
  const second = openXdp(arena, b.frames, b.counters, { ...everything, ifname: 'ixtb' });
  assert.equal(first.attachment.mode, 'generic');
  assert.match(first.attachment.fallback, /native mode refused: ERANGE/);
  assert.ok(first.nic.mtu < 2048 - 256, 'no larger than a frame');
  const [left, right]: [End, End] = [
    { ...a, nic: first.nic },
    { ...b, nic: second.nic },
  ];
  send(left, 5, 1500);
  assert.deepEqual(collect(right, 1), [[5, 1500]]);
  first.close();
  second.close();
  assert.ok(a.frames.allHome() && b.frames.allHome());
});

onLink('program leaves the interface with its process, killed or not', () => {
  const script = `
    import { attachXdp } from '${new URL('../../src/nic/privileged/attach.ts', import.meta.url)}';
    attachXdp({ ifname: 'ixta', ipv4: [] }); process.kill(process.pid, 'SIGKILL');`;
  assert.throws(() => execFileSync(process.execPath, ['--input-type=module', '-e', script]));
  attachXdp({ ifname: 'ixta', ipv4: [] }).detach();
});

onLink(
  'socket handed over as a descriptor works; the map holds it while another copy is closed',
  () => {
    const { arena, a, b } = makeEnds();
    const attachment = attachXdp({ ifname: 'ixta', ipv4: [], everything: true });
    const mine = attachment.openSocket();
    const F_DUPFD = 0;
    const handed = must(sys.syscall(SYS.fcntl, mine, F_DUPFD, 0), 'dup');
    const { index, mac, mtu } = attachment.interface;
    const nic = new AfXdp(arena, a.frames, a.counters, {
      fd: handed,
      ifindex: index,
      ifname: 'ixta',
      queue: 0,
      mac,
      mtu,
      ringEntries: RING,
    });
    attachment.enable(0, mine);
    sys.syscall(SYS.close, mine);
    const other = openXdp(arena, b.frames, b.counters, { ...everything, ifname: 'ixtb' });
    const [left, right]: [End, End] = [
      { ...a, nic },
      { ...b, nic: other.nic },
    ];
    send(right, 9, 60);
    assert.deepEqual(collect(left, 1), [[9, 60]]);
    assert.equal(attachment.disable(0), true);
    send(right, 10, 60);
    assert.deepEqual(collect(left, 1, 20), [], 'frames pass to the kernel again');
    nic.close();
    other.close();
    attachment.detach();
    assert.ok(a.frames.allHome() && b.frames.allHome());
  },
);

onLink(
  'interface that goes down while frames wait: kicks fail, counted; up again: they leave',
  () => {
    const { arena, a, b } = makeEnds();
    const first = openXdp(arena, a.frames, a.counters, { ...everything, ifname: 'ixta' });
    const second = openXdp(arena, b.frames, b.counters, { ...everything, ifname: 'ixtb' });
    const [left, right]: [End, End] = [
      { ...a, nic: first.nic },
      { ...b, nic: second.nic },
    ];
    execFileSync('ip', ['link', 'set', 'ixta', 'down']);
    for (let i = 0; i < 10; i++) first.nic.transmit(buildFrame(left, i, 60), 60);
    first.nic.kick();
    assert.ok(a.counters.get('linkRefused') > 0);
    assert.equal(first.nic.prepareSleep(), true, 'frames wait, but for the link');
    execFileSync('ip', ['link', 'set', 'ixta', 'up']);
    first.nic.kick();
    assert.equal(collect(right, 10).length, 10);
    assert.equal(first.nic.prepareSleep(), true);
    settle(left);
    first.close();
    second.close();
    assert.ok(a.frames.allHome() && b.frames.allHome());
  },
);

onLink(
  'lends few frames, more after a backlog, at most half the pool, few again after a calm',
  () => {
    const { arena, a, b } = makeEnds();
    const nearly = { ...everything, ringEntries: 4096 };
    const { nic, close } = openXdp(arena, a.frames, a.counters, { ...nearly, ifname: 'ixta' });
    const other = openXdp(arena, b.frames, b.counters, {
      ...everything,
      ifname: 'ixtb',
      lend: 100,
    });
    const receiver = { ...a, nic };
    const sender = { ...b, nic: other.nic };
    const half = a.frames.receiveCount / 2;
    const lent = (): number => {
      nic.reclaim();
      return nic.receiveLent();
    };
    assert.equal(other.nic.receiveLent(), 100, 'what is asked for');
    assert.ok(half > 512);
    assert.equal(lent(), 512);
    for (let i = 0; i < 300; i++) send(sender, i, 60);
    assert.equal(collect(receiver, 300).length, 300);
    assert.equal(lent(), half);
    for (let i = 0; i < 40_000 && lent() > 512; i++) {
      send(sender, i, 60);
      collect(receiver, 1);
    }
    assert.equal(lent(), 512);
    settle(sender);
    close();
    other.close();
    assert.ok(a.frames.allHome() && b.frames.allHome());
  },
);

onLink('offloads are switched off and on again; those already so are left', () => {
  assert.deepEqual(
    ALL_OFFLOADS.filter((offload) => readOffload('ixta', offload)),
    [],
  );
  const changed = setOffloads('ixta', true, ['txChecksum', 'gso']);
  assert.deepEqual(changed, ['txChecksum', 'gso']);
  assert.deepEqual(setOffloads('ixta', true, ['txChecksum', 'gso']), []);
  assert.deepEqual(setOffloads('ixta', false).sort(), ['gso', 'txChecksum']);
});

/** Runs the unprivileged half with this much lockable memory, and none of root's capabilities. */
function unprivileged(socket: number, nic: Interface, lockable: string) {
  const file = fileURLToPath(new URL('unprivileged.ts', import.meta.url));
  const limits = ['prlimit', `--memlock=${lockable}`, 'setpriv'];
  const without = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, file];
  const mac = Buffer.from(nic.mac).toString('hex');
  const command = [...limits, ...without, `${nic.index}`, `${nic.mtu}`, mac];
  return spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe', socket] });
}

test('the socket is all that a process without capabilities needs', {
  skip,
  timeout: 30_000,
}, async (t) => {
  t.after(makeVeth('ixta', 'ixtb'));
  const { arena, b } = makeEnds();
  const attachment = attachXdp({ ifname: 'ixta', ipv4: [], everything: true });
  const socket = attachment.openSocket();
  const child = unprivileged(socket, attachment.interface, '8388608');
  const exited = once(child, 'exit');
  const [said] = await Promise.race([once(child.stdout!, 'data'), once(child.stderr!, 'data')]);
  assert.match(`${said}`, /ready/);
  attachment.enable(0, socket);
  sys.syscall(SYS.close, socket);
  const other = openXdp(arena, b.frames, b.counters, { ...everything, ifname: 'ixtb' });
  const end: End = { ...b, nic: other.nic };
  for (let i = 0; i < 10; i++) {
    send(end, i, 100);
    assert.deepEqual(collect(end, 1), [[i, 100]]);
  }
  const [status] = await exited;
  assert.equal(status, 0);
  settle(end);
  other.close();
  attachment.detach();
  assert.ok(b.frames.allHome());
});

test('too little lockable memory is refused with the limit to raise', {
  skip,
  timeout: 30_000,
}, async (t) => {
  t.after(makeVeth('ixta', 'ixtb'));
  const attachment = attachXdp({ ifname: 'ixta', ipv4: [], everything: true });
  const socket = attachment.openSocket();
  const child = unprivileged(socket, attachment.interface, '65536');
  let said = '';
  child.stderr!.on('data', (data) => {
    said += data;
  });
  const [status] = await once(child, 'close');
  assert.notEqual(status, 0);
  assert.match(said, new RegExp(NIC_REFUSED.noMemory));
  assert.match(said, /RLIMIT_MEMLOCK/);
  sys.syscall(SYS.close, socket);
  attachment.detach();
});

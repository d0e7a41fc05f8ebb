/**
 * What a dataplane that was taken over can make the host's kernel believe: a router's
 * advertisement, a false source.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseSubnet } from '../../../src/control/link/address.ts';
import { parseSubnet6 } from '../../../src/control/link/address6.ts';
import { HOST_END } from '../../../src/control/link/host-end.ts';
import { Netlink } from '../../../src/control/link/netlink.ts';
import { makeNetwork } from '../../../src/control/link/network.ts';
import type { Instance } from '../../../src/control/record/instances.ts';
import { networkNamespace, processName } from '../../../src/native/process.ts';
import { must, SYS, sys } from '../../../src/native/sys.ts';
import { prefixOption, routerAdvertisement } from '../../net/packets6.ts';
import { enterNamespace, needsRoot } from '../namespace.ts';

enterNamespace();

const AF_PACKET = 17;
const SOCK_RAW = 3;

/** Sends frames out of an interface, as whoever drives it may. */
function sendFrom(name: string, frames: readonly Uint8Array[]): void {
  const netlink = new Netlink();
  const { index } = netlink.link(name)!;
  netlink.close();
  const fd = must(sys.syscall(SYS.socket, AF_PACKET, SOCK_RAW, 0), 'socket(AF_PACKET)');
  const address = new DataView(new ArrayBuffer(20)); // struct sockaddr_ll
  address.setUint16(0, AF_PACKET, true);
  address.setInt32(4, index, true);
  must(sys.syscall(SYS.bind, fd, new Uint8Array(address.buffer), 20), 'bind(AF_PACKET)');
  for (const frame of frames) must(sys.syscall(SYS.write, fd, frame, frame.length), 'write');
  sys.syscall(SYS.close, fd);
}

/** Of the dataplane's side: the way to everywhere, and addresses in its prefix. */
const ADVERTISEMENT = routerAdvertisement(
  { options: prefixOption('2001:db8:bad::') },
  { hopLimit: 255 },
);

const lines = (file: string): string[] =>
  readFileSync(`/proc/self/net/${file}`, 'latin1').split('\n');

/** What the kernel has learnt on a link: default routes, and addresses of that prefix. */
const learnt = (name: string): string[] => [
  ...lines('ipv6_route').filter(
    (line) =>
      /^0{32} 00 /.test(line) && line.endsWith(` ${name}`) && !/ 0{32} ffffffff /.test(line),
  ),
  ...lines('if_inet6').filter(
    (line) => line.startsWith('20010db80bad') && line.endsWith(` ${name}`),
  ),
];

const isReady = (name: string): boolean =>
  lines('if_inet6').some(
    (line) => /^fe80/.test(line) && line.endsWith(` ${name}`) && / 20 80 /.test(line),
  );

async function waitFor(what: string, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !isSo(); i++) await sleep(10);
  assert.ok(isSo(), what);
}

function make(nic: 'veth' | 'tap') {
  const instance: Instance = {
    ...{
      control: processName(process.pid)!,
      users: [process.geteuid!()],
      namespace: networkNamespace(),
    },
    ...{ address: '10.77.0.2', app: 'echo', ports: [], nic, links: [] },
    ...{ statisticsFd: 0, counters: [], threads: 1 },
  };
  const plan = { ...parseSubnet('10.77.0.2/24'), ip6: parseSubnet6('fd77::2/64') };
  return makeNetwork({ ...plan, nic, queues: 1 }, instance);
}

describe('host end', { skip: needsRoot }, () => {
  test('advertisementOfADataplane_onALinkLikeAnyOther_isBelieved', async () => {
    // What our own links are kept from; it also shows that the advertisement is a right one.
    const netlink = new Netlink();
    netlink.addVeth({ name: 'ixplain' }, { name: 'ixfar' });
    for (const name of ['ixfar', 'ixplain']) netlink.setUp(netlink.link(name)!.index);
    await waitFor('it has its link-local address', () => isReady('ixplain'));
    sendFrom('ixfar', [ADVERTISEMENT]);
    await waitFor('route and address', () => learnt('ixplain').length === 2);
    netlink.deleteLink(netlink.link('ixplain')!.index);
    netlink.close();
  });

  test('advertisementOfADataplane_onOurLink_changesNothing', async () => {
    const network = make('veth');
    const host = network.hostName!;
    await waitFor('it has its link-local address', () => isReady(host));
    sendFrom(
      network.ifname,
      Array.from({ length: 3 }, () => ADVERTISEMENT),
    );
    await sleep(300);
    const found = learnt(host);
    network.remove();
    assert.deepEqual(found, []);
  });

  for (const nic of ['veth', 'tap'] as const) {
    test(`${nic}_made_believesNothing`, () => {
      const network = make(nic);
      const values = HOST_END.map(([family, name]) => {
        const path = `/proc/sys/net/${family}/conf/${network.hostName}/${name}`;
        return [family, name, readFileSync(path, 'latin1').trim()];
      });
      network.remove();
      assert.deepEqual(values, HOST_END);
    });
  }
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, describe, test } from 'node:test';
import { formatAddress, parseAddress, parseSubnet } from '../../../src/control/link/address.ts';
import { makeLinks } from '../../../src/control/link/links.ts';
import { IFF_UP, Netlink } from '../../../src/control/link/netlink.ts';
import { makeNetwork, type Network } from '../../../src/control/link/network.ts';
import { type Instance, liveInstances } from '../../../src/control/record/instances.ts';
import { AddressInUseError, InterfaceError } from '../../../src/errors.ts';
import { networkNamespace, processName } from '../../../src/native/process.ts';
import { enterNamespace, linkNames, needsRoot } from '../namespace.ts';

enterNamespace();

function make(nic: string, ip = '10.77.0.2/24'): { network: Network; instance: Instance } {
  const subnet = parseSubnet(ip);
  const instance: Instance = {
    control: processName(process.pid)!,
    users: [process.geteuid!()],
    namespace: networkNamespace(),
    address: formatAddress(subnet.address),
    app: 'echo',
    ports: [],
    nic,
    links: [],
    statisticsFd: 0,
    counters: [],
    threads: 1,
  };
  return { network: makeNetwork({ ...subnet, nic, queues: 1 }, instance), instance };
}

function withNetlink<T>(work: (netlink: Netlink) => T): T {
  const netlink = new Netlink();
  try {
    return work(netlink);
  } finally {
    netlink.close();
  }
}

const addressesOf = (name: string): string[] =>
  withNetlink((netlink) => {
    const link = netlink.link(name)!;
    const here = netlink.addresses().filter((entry) => entry.index === link.index);
    return here.map((entry) => `${formatAddress(entry.address)}/${entry.prefixLength}`);
  });

/** Destinations of the main table by link: 'ix0 10.77.0.0'. */
const routes = (): string[] =>
  readFileSync('/proc/self/net/route', 'latin1')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .map(([name, to]) => `${name} ${formatAddress(Buffer.from(to!, 'hex').readInt32LE())}`)
    .sort();

describe('network', { skip: needsRoot }, () => {
  afterEach(() => {
    assert.deepEqual(linkNames(), []);
    assert.deepEqual(liveInstances(), []);
  });

  test('veth_made_hostEndHasAddressAndOursIsSilent', () => {
    const { network, instance } = make('veth');
    assert.deepEqual(linkNames(), ['ix0', 'ix1']);
    assert.deepEqual([network.hostName, network.ifname, network.gateway], ['ix0', 'ix1', 0]);
    assert.deepEqual(instance.links, ['ix0', 'ix1']);
    assert.deepEqual(addressesOf('ix0'), ['10.77.0.1/24']);
    assert.deepEqual(addressesOf('ix1'), []);
    const [host, ours] = withNetlink((n) => [n.link('ix0')!, n.link('ix1')!]);
    assert.equal(host.flags & ours.flags & IFF_UP, IFF_UP);
    assert.deepEqual(network.mac, ours.mac);
    assert.equal(network.ifindex, ours.index);
    assert.equal(readFileSync('/proc/sys/net/ipv4/conf/ix1/arp_ignore', 'latin1').trim(), '8');
    network.remove();
    network.remove(); // twice is once
  });

  test('tap_made_hostEndHasAddressAndOursIsADescriptor', () => {
    const { network } = make('tap', '10.78.0.1/16');
    assert.deepEqual(linkNames(), ['ix0']);
    assert.deepEqual(addressesOf('ix0'), ['10.78.0.2/16']);
    assert.equal(network.fds?.length, 1);
    assert.equal(network.mac[0]! & 3, 2, 'locally administered, unicast');
    network.remove();
  });

  test('secondInstance_sameNetwork_sharesHostAddressAndGetsItsOwnRoute', () => {
    const first = make('veth', '10.77.0.2/24');
    const second = make('veth', '10.77.0.3/24');
    assert.deepEqual(linkNames(), ['ix0', 'ix1', 'ix2', 'ix3']);
    assert.deepEqual(addressesOf('ix2'), ['10.77.0.1/32']);
    assert.deepEqual(routes(), ['ix0 10.77.0.0', 'ix2 10.77.0.3']);
    first.network.remove();
    assert.deepEqual(routes(), ['ix2 10.77.0.3'], 'the second one still works');
    second.network.remove();
  });

  test('address_servedAlready_namesThePid', () => {
    const { network } = make('veth');
    const remedy = 'stop it or choose another with --ip';
    const message = `10.77.0.2 is already served by ix pid ${process.pid}; ${remedy}`;
    assert.throws(() => make('tap'), { name: 'Error', code: 'IX_ADDRESS_IN_USE', message });
    network.remove();
  });

  test('address_ofThisMachine_refused', () => {
    withNetlink((n) => n.addAddress(n.link('lo')!.index, parseAddress('10.99.0.2'), 32));
    assert.throws(() => make('veth', '10.99.0.2/24'), AddressInUseError);
    withNetlink((n) => n.addAddress(n.link('lo')!.index, parseAddress('10.98.0.9'), 24));
    assert.throws(
      () => make('veth', '10.98.0.2/24'),
      /belongs to a network that is there already \(10\.98\.0\.9\/24 on lo\)/,
    );
  });

  test('interface_absentDownOrLoopback_refusedWithRemedy', () => {
    assert.throws(() => make('eth7'), /there is no interface eth7; choose --nic veth, tap, cable$/);
    assert.throws(() => make('lo', '10.97.0.2/24'), /lo is not an Ethernet interface/);
    withNetlink((n) => n.addVeth({ name: 'ix8' }, { name: 'ix9' }));
    assert.throws(() => make('ix8'), /ix8 is down; try: ip link set ix8 up/);
    assert.throws(
      () => make('ix7'),
      (error) => error instanceof InterfaceError && error.exitCode === 2,
    );
    withNetlink((n) => n.deleteLink(n.link('ix8')!.index));
  });

  test('interface_thereAlready_isUsedAndLeftThere', () => {
    withNetlink((n) => {
      n.addVeth({ name: 'ix8' }, { name: 'ix9' });
      n.setUp(n.link('ix8')!.index);
    });
    const { network, instance } = make('ix8');
    assert.deepEqual([network.ifname, network.hostName], ['ix8', undefined]);
    assert.deepEqual(instance.links, []);
    network.remove();
    assert.deepEqual(linkNames(), ['ix8', 'ix9']);
    withNetlink((n) => n.deleteLink(n.link('ix8')!.index));
  });

  test('names_takenMeanwhile_refusedAndTheirOwnersLinksStay', () => {
    const plan = { ...parseSubnet('10.77.0.2/24'), queues: 1 };
    withNetlink((n) => {
      n.addVeth({ name: 'ix0' }, { name: 'ix3' });
      const make = (nic: string, names: string[]) => () => makeLinks(n, { ...plan, nic }, names);
      assert.throws(make('veth', ['ix0', 'ix1']), /another program makes links of these names/);
      assert.throws(make('veth', ['ix1', 'ix3']), /another program makes links of these names/);
      assert.throws(make('tap', ['ix0']));
      assert.deepEqual(linkNames(), ['ix0', 'ix3']);
      n.deleteLink(n.link('ix0')!.index);
    });
  });

  test('names_taken_nextFreeOnesAreUsed', () => {
    withNetlink((n) => n.addVeth({ name: 'ix0' }, { name: 'ix3' }));
    const { network } = make('veth');
    assert.deepEqual([network.hostName, network.ifname], ['ix1', 'ix2']);
    network.remove();
    withNetlink((n) => n.deleteLink(n.link('ix0')!.index));
  });
});

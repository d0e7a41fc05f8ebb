import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { parseAddress } from '../../../src/control/link/address.ts';
import { IFF_UP, Netlink, NetlinkError } from '../../../src/control/link/netlink.ts';
import { enterNamespace, linkNames, needsRoot } from '../namespace.ts';

const EEXIST = 17;
const ENODEV = 19;

enterNamespace();

describe('rtnetlink', { skip: needsRoot }, () => {
  let netlink: Netlink;
  before(() => {
    netlink = new Netlink();
  });
  after(() => netlink.close());

  function withPair(work: (near: number, far: number) => void): void {
    netlink.addVeth({ name: 'ix0' }, { name: 'ix1', queues: 2 });
    const near = netlink.link('ix0')!.index;
    try {
      work(near, netlink.link('ix1')!.index);
    } finally {
      netlink.deleteLink(near);
    }
    assert.deepEqual(linkNames(), [], 'a veth pair goes as one');
  }

  test('addVeth_newNames_twoLinksDown', () => {
    withPair(() => {
      const [near, far] = [netlink.link('ix0')!, netlink.link('ix1')!];
      assert.equal(near.kind, 'veth');
      assert.equal(far.kind, 'veth');
      assert.equal(near.mac.length, 6);
      assert.notDeepEqual(near.mac, far.mac);
      assert.equal(near.mtu, 1500);
      assert.equal((near.flags | far.flags) & IFF_UP, 0);
    });
  });

  test('setUp_linkDown_linkUp', () => {
    withPair((near) => {
      netlink.setUp(near);
      assert.equal(netlink.link('ix0')!.flags & IFF_UP, IFF_UP);
      assert.equal(netlink.link('ix1')!.flags & IFF_UP, 0);
    });
  });

  test('addVeth_nameTaken_eexistAndNothingMade', () => {
    withPair(() => {
      assert.throws(
        () => netlink.addVeth({ name: 'ix2' }, { name: 'ix1' }),
        (error) => error instanceof NetlinkError && error.errno === EEXIST,
      );
      assert.deepEqual(linkNames(), ['ix0', 'ix1']);
    });
  });

  test('addAddress_link_listedWithPrefix', () => {
    withPair((near) => {
      const address = parseAddress('192.168.77.1');
      netlink.addAddress(near, address, 24);
      const found = netlink.addresses().filter((entry) => entry.index === near);
      assert.deepEqual(found, [{ index: near, address, prefixLength: 24 }]);
    });
  });

  test('addHostRoute_secondLink_replacesNothing', () => {
    withPair((near, far) => {
      const host = parseAddress('10.77.0.1');
      netlink.setUp(near);
      netlink.setUp(far);
      netlink.addAddress(near, host, 24);
      netlink.addHostRoute(far, parseAddress('10.77.0.9'), host);
      assert.throws(
        () => netlink.addHostRoute(far, parseAddress('10.77.0.9'), host),
        (error) => error instanceof NetlinkError && error.errno === EEXIST,
      );
      assert.equal(netlink.gatewayOf(near), 0);
    });
  });

  test('deleteLink_unknownIndex_enodev', () => {
    assert.throws(
      () => netlink.deleteLink(99_999),
      (error) => error instanceof NetlinkError && error.errno === ENODEV,
    );
  });
});

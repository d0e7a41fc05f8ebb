/** Field offsets and predicates against packets captured elsewhere, written out in hexadecimal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as arp from '../../src/wire/arp.ts';
import * as eth from '../../src/wire/ethernet.ts';
import * as icmp from '../../src/wire/icmp.ts';
import * as ip from '../../src/wire/ipv4.ts';
import * as udp from '../../src/wire/udp.ts';

const viewOf = (hex: string): DataView => {
  const bytes = Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
  return new DataView(bytes.buffer);
};

test('ethernet_header_reads_as_captured', () => {
  const view = viewOf('001b21a0b1c2 0200c0ffee01 0806');
  assert.equal(eth.macHigh(view, eth.ETH_DESTINATION), 0x001b21a0);
  assert.equal(eth.macLow(view, eth.ETH_DESTINATION), 0xb1c2);
  assert.equal(eth.macHigh(view, eth.ETH_SOURCE), 0x0200c0ff);
  assert.equal(view.getUint16(eth.ETH_TYPE), eth.ETH_TYPE_ARP);
  assert.equal(eth.ETH_HEADER_BYTES, view.byteLength);
  eth.setMac(view, eth.ETH_DESTINATION, eth.MAC_BROADCAST_HIGH, eth.MAC_BROADCAST_LOW);
  assert.equal(view.getBigUint64(0) >> 16n, 0xffffffffffffn);
  assert.ok((eth.macHigh(view, 0) & eth.MAC_GROUP) !== 0);
  assert.ok((eth.macHigh(view, eth.ETH_SOURCE) & eth.MAC_GROUP) === 0);
});

test('arp_request_reads_as_captured', () => {
  const view = viewOf('0001 0800 06 04 0001 0200c0ffee01 0a4d0001 000000000000 0a4d0002');
  assert.equal(view.getInt32(arp.ARP_HARDWARE), arp.ARP_ETHERNET_IPV4);
  assert.equal(view.getUint16(arp.ARP_LENGTHS), arp.ARP_LENGTHS_6_4);
  assert.equal(view.getUint16(arp.ARP_OPERATION), arp.ARP_REQUEST);
  assert.equal(eth.macLow(view, arp.ARP_SENDER_MAC), 0xee01);
  assert.equal(view.getInt32(arp.ARP_SENDER_IP), 0x0a4d0001);
  assert.equal(eth.macHigh(view, arp.ARP_TARGET_MAC), 0);
  assert.equal(view.getInt32(arp.ARP_TARGET_IP), 0x0a4d0002);
  assert.equal(arp.ARP_BYTES, view.byteLength);
});

/** The header that Wikipedia's "IPv4 header checksum" works through by hand. */
const WORKED = '4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7';

test('ipv4_header_reads_as_captured', () => {
  const view = viewOf(WORKED);
  assert.equal(view.getUint16(ip.IP_LENGTH), 0x73);
  assert.equal(view.getUint16(ip.IP_ID), 0);
  assert.equal(view.getUint16(ip.IP_FRAGMENT), ip.IP_DONT_FRAGMENT);
  assert.equal(view.getUint8(ip.IP_TTL), 64);
  assert.equal(view.getUint8(ip.IP_PROTOCOL), ip.PROTOCOL_UDP);
  assert.equal(view.getUint16(ip.IP_CHECKSUM), 0xb861);
  assert.equal(view.getInt32(ip.IP_SOURCE), 0xc0a80001 | 0);
  assert.equal(view.getInt32(ip.IP_DESTINATION), 0xc0a800c7 | 0);
  assert.equal(ip.headerBytes(view, 0), ip.IP_HEADER_BYTES);
  assert.equal(ip.IP_HEADER_BYTES, view.byteLength);
  assert.equal(ip.IP_PAYLOAD, 34);
});

test('ipv4_headerSum20_accepts_the_right_checksum_only', () => {
  const view = viewOf(WORKED);
  assert.equal(ip.headerSum20(view, 0), 0xffff);
  for (let bit = 0; bit < 160; bit++) {
    view.setUint8(bit >> 3, view.getUint8(bit >> 3) ^ (1 << (bit & 7)));
    assert.notEqual(ip.headerSum20(view, 0), 0xffff, `bit ${bit}`);
    view.setUint8(bit >> 3, view.getUint8(bit >> 3) ^ (1 << (bit & 7)));
  }
});

test('ipv4_headerSum20_folds_the_largest_sum', () => {
  assert.equal(ip.headerSum20(viewOf('ff'.repeat(20)), 0), 0xffff);
  assert.equal(ip.headerSum20(viewOf('00'.repeat(20)), 0), 0);
});

test('ipv4_masks_of_every_length', () => {
  for (let length = 0; length <= 32; length++) {
    const expected = length === 0 ? 0 : Number(BigInt.asIntN(32, -1n << BigInt(32 - length)));
    assert.equal(ip.maskOf(length), expected, `/${length}`);
  }
});

test('ipv4_isNeverHost_by_first_byte', () => {
  for (let first = 0; first < 256; first++) {
    const expected = first === 0 || first === 127 || first >= 224;
    assert.equal(ip.isNeverHost((first << 24) | 0x010203), expected, `${first}.1.2.3`);
  }
});

test('icmp_echo_and_errors_read_as_captured', () => {
  const echo = viewOf('08 00 f7fd 0001 0001');
  assert.equal(echo.getUint8(icmp.ICMP_TYPE), icmp.ICMP_ECHO);
  assert.equal(echo.getUint16(icmp.ICMP_CHECKSUM), 0xf7fd);
  assert.equal(echo.getInt32(icmp.ICMP_REST), 0x00010001);
  assert.equal(icmp.ICMP_HEADER_BYTES, echo.byteLength);
  const tooBig = viewOf('03 04 0000 0000 0578');
  assert.equal(tooBig.getUint8(icmp.ICMP_CODE), icmp.UNREACHABLE_TOO_BIG);
  assert.equal(tooBig.getUint16(icmp.ICMP_NEXT_HOP_MTU), 1400);
  const errors = Array.from({ length: 256 }, (_, type) => type).filter(icmp.isError);
  assert.deepEqual(errors, [3, 4, 5, 11, 12]);
});

test('udp_header_reads_as_captured', () => {
  const view = viewOf('0035 d431 0073 1234');
  assert.equal(view.getUint16(udp.UDP_SOURCE_PORT), 53);
  assert.equal(view.getUint16(udp.UDP_DESTINATION_PORT), 54_321);
  assert.equal(view.getUint16(udp.UDP_LENGTH), 0x73);
  assert.equal(view.getUint16(udp.UDP_CHECKSUM), 0x1234);
  assert.equal(udp.UDP_HEADER_BYTES, view.byteLength);
});

/**
 * Ethernet II: where the fields of a frame's header stand, relative to its first byte.
 *
 * - A MAC address is held as two integers, as the wire orders them: `high` the first four bytes
 *   (int32), `low` the last two (0..0xffff).
 * - No FCS: drivers take it off and put it on, and hardware pads frames shorter than 60 bytes. So
 *   the length of a frame says nothing of the packet's.
 *
 * Read first: RFC 894; IEEE 802.3 3.2.6 for the type field.
 */
export const ETH_DESTINATION = 0;
export const ETH_SOURCE = ETH_DESTINATION + 6;
export const ETH_TYPE = ETH_SOURCE + 6;
export const ETH_PAYLOAD = ETH_TYPE + 2;
export const ETH_HEADER_BYTES = ETH_PAYLOAD;

export const ETH_TYPE_IPV4 = 0x0800;
export const ETH_TYPE_ARP = 0x0806;
export const ETH_TYPE_IPV6 = 0x86dd;
/**
 * A tag (IEEE 802.1Q or 802.1ad) before the type that follows: priority (3 bits), DEI, VID (12).
 */
export const ETH_TYPE_VLAN = 0x8100;
export const ETH_TYPE_SERVICE_VLAN = 0x88a8;
export const ETH_TAG = ETH_PAYLOAD;
export const ETH_TAG_BYTES = 4;
/** 0 in a tag that gives a priority and names no VLAN. */
export const ETH_VID = 0xfff;

export const isTag = (type: number): boolean =>
  type === ETH_TYPE_VLAN || type === ETH_TYPE_SERVICE_VLAN;

/** ff:ff:ff:ff:ff:ff */
export const MAC_BROADCAST_HIGH = -1;
export const MAC_BROADCAST_LOW = 0xffff;
/** The group bit (multicast and broadcast) of a `high` word. */
export const MAC_GROUP = 0x0100_0000;

/** First four bytes of a MAC address in memory. */
export const macHigh = (view: DataView, at: number): number => view.getInt32(at);
/** Last two bytes of a MAC address in memory. */
export const macLow = (view: DataView, at: number): number => view.getUint16(at + 4);

export function setMac(view: DataView, at: number, high: number, low: number): void {
  view.setInt32(at, high);
  view.setUint16(at + 4, low);
}

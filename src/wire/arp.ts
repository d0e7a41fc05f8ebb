/**
 * ARP for IPv4 over Ethernet: where the fields stand, relative to the ARP header.
 *
 * - Only hardware type 1, protocol 0x0800, lengths 6 and 4 are spoken: one word and one halfword.
 *
 * Read first: RFC 826 "Packet Reception"; RFC 5227 for probes and announcements.
 */
export const ARP_HARDWARE = 0;
export const ARP_PROTOCOL = ARP_HARDWARE + 2;
export const ARP_LENGTHS = ARP_PROTOCOL + 2;
export const ARP_OPERATION = ARP_LENGTHS + 2;
export const ARP_SENDER_MAC = ARP_OPERATION + 2;
export const ARP_SENDER_IP = ARP_SENDER_MAC + 6;
export const ARP_TARGET_MAC = ARP_SENDER_IP + 4;
export const ARP_TARGET_IP = ARP_TARGET_MAC + 6;
export const ARP_BYTES = ARP_TARGET_IP + 4;

/** Hardware type 1 and protocol type 0x0800 as one word; lengths 6 and 4 as one halfword. */
export const ARP_ETHERNET_IPV4 = 0x0001_0800;
export const ARP_LENGTHS_6_4 = 0x0604;

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

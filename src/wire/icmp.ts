/**
 * ICMP for IPv4: where the fields stand, relative to the ICMP header, and which types are spoken.
 *
 * - An error quotes the offending datagram from ICMP_QUOTE on: its IP header and 8 bytes or more.
 *
 * Read first: RFC 792; RFC 1122 3.2.2; RFC 1191 4 for the next-hop MTU.
 */
export const ICMP_TYPE = 0;
export const ICMP_CODE = ICMP_TYPE + 1;
export const ICMP_CHECKSUM = ICMP_CODE + 1;
/** Echo: identifier and sequence. Errors: unused, except: */
export const ICMP_REST = ICMP_CHECKSUM + 2;
export const ICMP_NEXT_HOP_MTU = ICMP_REST + 2;
export const ICMP_QUOTE = ICMP_REST + 4;
export const ICMP_HEADER_BYTES = ICMP_QUOTE;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;

/** Codes of ICMP_UNREACHABLE. */
export const UNREACHABLE_PROTOCOL = 2;
export const UNREACHABLE_PORT = 3;
export const UNREACHABLE_TOO_BIG = 4;
/** Code of ICMP_TIME_EXCEEDED. */
export const EXCEEDED_REASSEMBLY = 1;

/** Messages that report about another datagram: never answered by an error (RFC 1122 3.2.2). */
export const isError = (type: number): boolean =>
  type === ICMP_UNREACHABLE ||
  type === ICMP_SOURCE_QUENCH ||
  type === ICMP_REDIRECT ||
  type === ICMP_TIME_EXCEEDED ||
  type === ICMP_PARAMETER_PROBLEM;

/**
 * ICMP for IPv6 and neighbour discovery: where the fields stand, relative to the ICMP header, and
 * the types that are spoken.
 *
 * - Types below 128 are errors, which quote the offending packet from ICMP6_QUOTE on.
 * - The checksum covers a pseudo-header (RFC 4443 2.3).
 * - Options of neighbour discovery are type, length in units of 8 bytes (never 0), value.
 *
 * Read first: RFC 4443; RFC 4861 4; RFC 3810 5.2.
 */
export const ICMP6_TYPE = 0;
export const ICMP6_CODE = ICMP6_TYPE + 1;
export const ICMP6_CHECKSUM = ICMP6_CODE + 1;
/** Echo: identifier, sequence. Too big: the MTU. Parameter problem: the pointer. Others: unused. */
export const ICMP6_REST = ICMP6_CHECKSUM + 2;
export const ICMP6_QUOTE = ICMP6_REST + 4;
export const ICMP6_HEADER_BYTES = ICMP6_QUOTE;

export const ICMP6_UNREACHABLE = 1;
export const ICMP6_TOO_BIG = 2;
export const ICMP6_TIME_EXCEEDED = 3;
export const ICMP6_PARAMETER_PROBLEM = 4;
export const ICMP6_ECHO = 128;
export const ICMP6_ECHO_REPLY = 129;
export const ICMP6_MLD_QUERY = 130;
export const ICMP6_ROUTER_SOLICITATION = 133;
export const ICMP6_ROUTER_ADVERTISEMENT = 134;
export const ICMP6_NEIGHBOUR_SOLICITATION = 135;
export const ICMP6_NEIGHBOUR_ADVERTISEMENT = 136;
export const ICMP6_REDIRECT = 137;
export const ICMP6_MLD2_REPORT = 143;

/** Types up to here report errors (RFC 4443 2.1). */
export const ICMP6_ERROR_MAX = 127;

/** Codes of ICMP6_UNREACHABLE. */
export const UNREACHABLE6_PROHIBITED = 1;
export const UNREACHABLE6_PORT = 4;
/** Code of ICMP6_TIME_EXCEEDED. */
export const EXCEEDED6_REASSEMBLY = 1;
/** Codes of ICMP6_PARAMETER_PROBLEM. */
export const PROBLEM_FIELD = 0;
export const PROBLEM_NEXT_HEADER = 1;
export const PROBLEM_OPTION = 2;
/** RFC 7112 5: the first fragment does not hold all headers. */
export const PROBLEM_INCOMPLETE_CHAIN = 3;

/** Neighbour solicitation and advertisement: flags (advertisement only), target, options. */
export const ND_FLAGS = ICMP6_REST;
export const ND_TARGET = ICMP6_REST + 4;
export const ND_OPTIONS = ND_TARGET + 16;
/** In the top bits of the word at ND_FLAGS. */
export const NA_ROUTER = 0x8000_0000 | 0;
export const NA_SOLICITED = 0x4000_0000;
export const NA_OVERRIDE = 0x2000_0000;

/**
 * Solicitation: options only. Advertisement: hop limit, flags, lifetime (s), two timers, options.
 */
export const RS_OPTIONS = ICMP6_REST + 4;
export const RA_LIFETIME = ICMP6_REST + 2;
export const RA_REACHABLE_MS = ICMP6_REST + 4;
export const RA_RETRANSMIT_MS = ICMP6_REST + 8;
export const RA_OPTIONS = ICMP6_REST + 12;

export const ND_SOURCE_MAC = 1;
export const ND_TARGET_MAC = 2;
export const ND_PREFIX = 3;
export const ND_MTU = 5;
/** Bytes of an option that carries an Ethernet address. */
export const ND_MAC_BYTES = 8;

/** Prefix information (RFC 4861 4.6.2), relative to the option. */
export const PREFIX_LENGTH = 2;
export const PREFIX_FLAGS = 3;
export const PREFIX_VALID_S = 4;
export const PREFIX_PREFERRED_S = 8;
export const PREFIX_ADDRESS = 16;
export const PREFIX_BYTES = 32;
export const PREFIX_ON_LINK = 0x80;
export const PREFIX_AUTONOMOUS = 0x40;

/** MTU option (RFC 4861 4.6.4). */
export const MTU_VALUE = 4;
export const MTU_BYTES = 8;

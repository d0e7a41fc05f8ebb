/**
 * TCP: where the fields stand, relative to the TCP header, the flag bits, and the kinds of options.
 *
 * - `tcp` is the arena offset of the header; accessors do not check lengths: tcp/input.ts does,
 *   once, at the border.
 * - Sequence numbers are int32 modulo 2^32 (tcp/seq.ts compares them).
 *
 * Read first: RFC 9293 3.1 and 3.2; RFC 7323 2.2 and 3.2; RFC 2018 2 and 3.
 */
export const TCP_SOURCE_PORT = 0;
export const TCP_DESTINATION_PORT = TCP_SOURCE_PORT + 2;
export const TCP_SEQUENCE = TCP_DESTINATION_PORT + 2;
export const TCP_ACK = TCP_SEQUENCE + 4;
export const TCP_DATA_OFFSET = TCP_ACK + 4;
export const TCP_FLAGS = TCP_DATA_OFFSET + 1;
export const TCP_WINDOW = TCP_FLAGS + 1;
export const TCP_CHECKSUM = TCP_WINDOW + 2;
export const TCP_URGENT = TCP_CHECKSUM + 2;
export const TCP_OPTIONS = TCP_URGENT + 2;
export const TCP_HEADER_BYTES = TCP_OPTIONS;
/** What the header's length field leaves beside it. */
export const TCP_OPTIONS_BYTES_MAX = 40;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
/** RFC 3168 6.1: a mark is echoed; the window was reduced for it. */
export const ECE = 0x40;
export const CWR = 0x80;

export const OPTION_END = 0;
export const OPTION_NOP = 1;
export const OPTION_MSS = 2;
export const OPTION_WINDOW_SCALE = 3;
export const OPTION_SACK_PERMITTED = 4;
export const OPTION_SACK = 5;
export const OPTION_TIMESTAMPS = 8;

/** NOP, NOP, timestamps, length 10: as nearly everyone lays them out (RFC 7323 appendix A). */
export const TIMESTAMPS_WORD = 0x0101080a;
/** That word and two timestamps. */
export const TIMESTAMPS_BYTES = 12;

/** Largest shift of the window scale option (RFC 7323 2.3). */
export const WINDOW_SCALE_MAX = 14;
/** What a peer that names no MSS takes (RFC 9293 3.7.1). */
export const MSS_DEFAULT = 536;
export const MSS_DEFAULT_IPV6 = 1220;

/** Bytes of the header, options included. */
export const headerBytes = (u8: Uint8Array, tcp: number): number =>
  (u8[tcp + TCP_DATA_OFFSET]! >> 4) << 2;

/** Sequence numbers that a segment takes (SEG.LEN): payload, SYN and FIN. */
export const segmentLength = (payload: number, flags: number): number =>
  payload + (flags & FIN) + ((flags & SYN) >> 1);

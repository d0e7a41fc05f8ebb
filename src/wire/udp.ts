/**
 * UDP: where the fields stand, relative to the UDP header.
 *
 * - A checksum of zero says that there is none, so one that computes to zero is sent as 0xffff.
 *
 * Read first: RFC 768; RFC 1122 4.1.3.
 */
export const UDP_SOURCE_PORT = 0;
export const UDP_DESTINATION_PORT = UDP_SOURCE_PORT + 2;
export const UDP_LENGTH = UDP_DESTINATION_PORT + 2;
export const UDP_CHECKSUM = UDP_LENGTH + 2;
export const UDP_PAYLOAD = UDP_CHECKSUM + 2;
export const UDP_HEADER_BYTES = UDP_PAYLOAD;

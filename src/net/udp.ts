/**
 * UDP: sockets, a queue of received frames for each, datagrams out.
 *
 * - Ports are looked up directly in a column of 65,536 halfwords. One socket a port; a socket bound to the address 0
 *   also hears broadcasts, one bound to ours does not.
 * - A received datagram stays in the frame it came in until `recvDone`. A socket holds at most QUEUE_MAX frames
 *   and all sockets together a quarter of the receive pool; more is dropped (`udpQueueFull`).
 * - A datagram that was reassembled beyond one frame is delivered truncated, and says so.
 * - `send` copies at once (payload and checksum in one pass), so `udp_sent` follows with the next events; one event
 *   sums up everything sent since the last.
 * - Handles are generation << 20 | index, as TCP's are; a stale one is BAD_HANDLE.
 *
 * Called by ipv4-input.ts and by the gate. Read first: RFC 768, RFC 1122 4.1.
 */

/**
 * Why the kernel does not attach an XDP program, in its own words.
 *
 * - bpf(2) answers with a number alone; the same refused by netlink comes with what the driver says
 *   ("Peer MTU is too large to set XDP"). So what was refused there is asked for once more here.
 * - Should it be granted now, it is taken back at once.
 *
 * Called by control/service/holdings.ts, which gives it to attachXdp. Read first: net/core/dev.c
 * `dev_xdp_attach`.
 */
import { askKernel, NETLINK_ROUTE, NLM_F_ACK, NLM_F_REQUEST } from './netlink-ask.ts';
import { Message } from './netlink-message.ts';

const RTM_SETLINK = 19;
const NLA_F_NESTED = 0x8000;
const IFLA_XDP = 43 | NLA_F_NESTED;
const IFLA_XDP_FD = 1;
const IFLA_XDP_FLAGS = 3;
const XDP_FLAGS_UPDATE_IF_NOEXIST = 1;
const LINK_HEADER_BYTES = 16;

const request = (ifindex: number, programFd: number, flags: number): Message => {
  const message = new Message(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK);
  return message.header(LINK_HEADER_BYTES, [], ifindex).nested(IFLA_XDP, () => {
    message.word(IFLA_XDP_FD, programFd).word(IFLA_XDP_FLAGS, flags);
  });
};

/** `mode` is one of XDP_MODE. '': nothing is said. */
export function xdpWords(programFd: number, ifindex: number, mode: number): string {
  const asked = request(ifindex, programFd, mode | XDP_FLAGS_UPDATE_IF_NOEXIST);
  const { errno, words } = askKernel(NETLINK_ROUTE, asked);
  if (errno === 0) askKernel(NETLINK_ROUTE, request(ifindex, -1, mode));
  return errno === 0 ? '' : words;
}

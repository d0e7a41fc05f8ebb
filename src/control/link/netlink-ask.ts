/**
 * One question to the kernel by netlink, and its own words when it refuses (extended
 * acknowledgement).
 *
 * - `errno` 0: granted. `words` is what the kernel or the driver says of it, often empty; where
 *   granted, a warning.
 * - A socket of its own, in the network namespace of the calling thread. Set-up code.
 *
 * Called by xdp-words.ts and xdp-features.ts. Read first: man 7 netlink (NETLINK_EXT_ACK);
 * linux/netlink.h `nlmsgerr_attrs`.
 */
import { must, SOCK_RAW_CLOEXEC, SYS, sys } from '../../native/sys.ts';
import { type Message, messagesIn, readAttributes, textOf } from './netlink-message.ts';

const AF_NETLINK = 16;
export const NETLINK_ROUTE = 0;
export const NETLINK_GENERIC = 16;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NLMSG_ERROR = 2;
export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
const NLMSGERR_ATTR_MSG = 1;
/** Of an answer of type NLMSG_ERROR: the error, then the header of what was asked. */
const ERROR_BYTES = 4 + 16;
const ANSWER_BYTES_MAX = 16_384;

export interface Said {
  errno: number;
  words: string;
  /** What was answered beside that. */
  bodies: DataView[];
}

/** `message` asks for an acknowledgement: it is what ends the answer. */
export function askKernel(protocol: number, message: Message): Said {
  const what = 'netlink';
  const fd = must(sys.syscall(SYS.socket, AF_NETLINK, SOCK_RAW_CLOEXEC, protocol), what);
  try {
    const on = Int32Array.of(1);
    for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK]) {
      sys.syscall(SYS.setsockopt, fd, SOL_NETLINK, option, on, 4);
    }
    const request = message.finish(1);
    must(sys.syscall(SYS.write, fd, request, request.length), what);
    const bodies: DataView[] = [];
    for (;;) {
      const bytes = new Uint8Array(ANSWER_BYTES_MAX);
      const length = must(sys.syscall(SYS.read, fd, bytes, bytes.length), what);
      for (const { type, body } of messagesIn(bytes, length)) {
        if (type !== NLMSG_ERROR) bodies.push(body);
        else return { errno: -body.getInt32(0, true), words: wordsOf(body), bodies };
      }
    }
  } finally {
    sys.syscall(SYS.close, fd);
  }
}

const wordsOf = (body: DataView): string =>
  body.byteLength <= ERROR_BYTES
    ? ''
    : textOf(readAttributes(body, ERROR_BYTES).get(NLMSGERR_ATTR_MSG)).trim();

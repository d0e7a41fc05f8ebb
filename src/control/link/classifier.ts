/**
 * A BPF program at the egress of an interface by netlink: for kernels without tcx (before 6.6).
 *
 * - A `clsact` queueing discipline, which queues nothing, and a `bpf` filter in it whose program is
 *   the action, too. Both are there as long as the interface.
 * - A clsact that is there already is used.
 *
 * Called by steering.ts. Read first: tc-bpf(8); linux/pkt_sched.h, linux/pkt_cls.h.
 */
import { NetlinkError } from './netlink.ts';
import { askKernel, NETLINK_ROUTE, NLM_F_ACK, NLM_F_REQUEST } from './netlink-ask.ts';
import { Message } from './netlink-message.ts';

const EEXIST = 17;
const RTM_NEWQDISC = 36;
const RTM_NEWTFILTER = 44;
const NLM_F_CREATE_NEW = 0x600; // CREATE | EXCL
const TRAFFIC_HEADER_BYTES = 20;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_FLAG_ACT_DIRECT = 1;

const CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const CLSACT_EGRESS = 0xfffffff3;
/** The first of all filters, for frames of every type (ETH_P_ALL in network order). */
const FIRST_FOR_ALL = (1 << 16) | 0x0300;

/** struct tcmsg: family, index, handle, parent, info. */
function traffic(type: number, index: number, handle: number, parent: number, info = 0): Message {
  const words = Uint32Array.of(0, index, handle, parent, info);
  const message = new Message(type, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE_NEW);
  return message.header(TRAFFIC_HEADER_BYTES, [...new Uint8Array(words.buffer)]);
}

/** A NetlinkError if the kernel refuses. */
export function classify(programFd: number, ifindex: number): void {
  const discipline = traffic(RTM_NEWQDISC, ifindex, CLSACT_HANDLE, CLSACT);
  const made = askKernel(NETLINK_ROUTE, discipline.text(TCA_KIND, 'clsact'));
  if (made.errno !== 0 && made.errno !== EEXIST) {
    throw new NetlinkError(`clsact at link ${ifindex}`, made.errno);
  }
  const filter = traffic(RTM_NEWTFILTER, ifindex, 1, CLSACT_EGRESS, FIRST_FOR_ALL);
  filter.text(TCA_KIND, 'bpf').nested(TCA_OPTIONS, () => {
    filter.word(TCA_BPF_FD, programFd).text(TCA_BPF_NAME, 'ix_steer');
    filter.word(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  });
  const { errno } = askKernel(NETLINK_ROUTE, filter);
  if (errno !== 0) throw new NetlinkError(`bpf filter at link ${ifindex}`, errno);
}

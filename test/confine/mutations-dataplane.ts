/**
 * What a dataplane and its control plane owe to applications and peers, taken away one at a time:
 * quotas, whom an application may speak to, who hangs, what a dead application leaves, and what a
 * peer can make dear, foretell or draw to itself.
 *
 * Used by mutations.ts, whose comment says what a mutation is.
 */
import type { Mutation } from './mutations.ts';

const EGRESS = 'test/dataplane/egress.test.ts';
const QUOTAS = 'test/dataplane/quotas.test.ts';
const INCIDENTS = 'test/control/children/incidents.test.ts';
const SEND_QUEUE = 'test/tcp/send-queue.test.ts';
const CHANNEL = 'test/control/children/channel-end.test.ts';
const ROUTERS = 'test/net/v6/routers.test.ts';

const SIBLINGS = 'test/nic/around/siblings.test.ts';

const SIBLINGS_SOURCE = 'src/nic/around/siblings.ts';
const GATE_SOURCE = 'src/dataplane/gate.ts';

/** [what is taken away, file, find, replace, file of the test, its name]. */
type Row = readonly [string, string, string, string, string, string?];

const OF_APPLICATIONS: Row[] = [
  [
    'whom an application may connect to',
    GATE_SOURCE,
    'if (this.#egress !== undefined && !this.#egress.allows(to, 0)) return this.#denied();',
    '',
    EGRESS,
    'connect_outsideTheRule_isDeniedAndCounted',
  ],
  [
    'whom an application may send to',
    GATE_SOURCE,
    'if (!egress.answers(to, 0, (local << 16) | (port & 0xffff))) return this.#denied();',
    '',
    EGRESS,
    'datagram_toWhoHasNotAsked_isDeniedAndCounted',
  ],
  [
    'the quota of flows',
    'src/tcp/teardown.ts',
    'this.#kept = Math.max(0, env.limits.flows - env.limits.quotas.flows);',
    'this.#kept = 0;',
    QUOTAS,
    'connect_overFlows_isQuotaUntilOneEnds',
  ],
  [
    'the quota of listeners',
    'src/tcp/listen.ts',
    'if (used >= this.#quota) {',
    'if (used - 1e9 >= this.#quota) {',
    QUOTAS,
    'listenAndBind_overTheirQuotas_areQuotaUntilOneEnds',
  ],
  [
    'the quota of UDP sockets',
    'src/net/udp-sockets.ts',
    'if (this.#count - this.#free.free >= this.#socketQuota) {',
    'if (this.#socketQuota < 0) {',
    QUOTAS,
    'listenAndBind_overTheirQuotas_areQuotaUntilOneEnds',
  ],
  [
    'the quota of timers',
    'src/dataplane/timers.ts',
    'const index = this.active < this.#quota ? this.#free.take() : -1;',
    'const index = this.#free.take();',
    QUOTAS,
    'timer_overTimers_isQuotaUntilOneIsCancelled',
  ],
  [
    'the quota of unacknowledged bytes',
    'src/tcp/send-queue.ts',
    'if (length > share) {',
    'if (length > share + 1e9) {',
    QUOTAS,
    'sendv_overUnackedBytes_takesAPrefixThenQuotaThenGoesOnAfterAnAcknowledgement',
  ],
  [
    'the quota of received frames',
    'src/tcp/receive-queue.ts',
    'return Math.min(this.#quota - this.#frames.held, this.#frames.receiveFree);',
    'return this.#frames.receiveFree;',
    QUOTAS,
    'received_overReceiveFrames_windowClosesAndReopens',
  ],
  [
    'the quota of frames of datagrams',
    'src/net/udp-sockets.ts',
    'if (this.#held < this.#heldMax && this.#frames.held < this.#frameQuota) return true;',
    'if (this.#held < 1e9) return true;',
    QUOTAS,
    'datagrams_overReceiveFrames_areDroppedAndCounted',
  ],
  [
    'a hang is seen',
    'src/control/children/application-watch.ts',
    'if (hangMs > 0 && awayMs >= hangMs && !state.isHung) {',
    'if (hangMs < 0 && awayMs >= hangMs && !state.isHung) {',
    INCIDENTS,
    'lateAndNotBack_reportedOnceThenHungOnce',
  ],
  [
    'who hangs is killed',
    'src/control/children/application-process.ts',
    "this.#condemn({ cause: 'hang', seconds: ms / 1000 });",
    'void ms;',
    INCIDENTS,
    'hangs_killedAndTheCauseIsTheHang',
  ],
  [
    'a quota is said',
    'src/control/children/application-watch.ts',
    'this.#parts.quota(quota, count - (before?.count ?? 0));',
    '',
    INCIDENTS,
    'quotaRefuses_reportedAtOnceThenEveryTenSeconds',
  ],
  [
    'nothing of a dead application is sent',
    'src/tcp/calls.ts',
    '< STATE.established || i32[row + TCB.txBytes] !== 0) return false;',
    '< STATE.established) return false;',
    'test/tcp/application-gone.test.ts',
  ],
];

const OF_PEERS: Row[] = [
  [
    'a datagram names its own frame',
    'src/net/udp-sockets.ts',
    'const node = this.#frames.indexOf(frame);\n    const received = this.#frameRow(node);\n    i32[received + OWNER] = 0;',
    'const node = this.#frames.indexOf(payload);\n    const received = this.#frameRow(node);\n    i32[received + OWNER] = 0;',
    'test/net/frame-end.test.ts',
    'bound_emptyDatagramAtTheFramesEnd_holdsItsOwnFrame',
  ],
  [
    'one closed connection for each row',
    'src/tcp/teardown.ts',
    'else if (flows.orphans.head !== 0 && this.#awaited === 0) {',
    'else if (flows.orphans.head !== 0) {',
    'test/tcp/user-timeout.test.ts',
    'flowsUsedUp_batchOfSyns_oneOrphanIsResetAndTheNextWhenItsRowIsTaken',
  ],
  [
    'connections of one source',
    'src/tcp/passive.ts',
    'if (!this.#perSource.mayOpen(a.remote)) return;',
    '',
    'test/tcp/per-source.test.ts',
    'listen_synsOfOneSourceBeyondItsQuota_areDroppedUntilAConnectionEnds',
  ],
  [
    'runs of a few bytes are dropped',
    'src/tcp/out-of-order.ts',
    'if (i32[row + TCB.oooRuns]! >= TINY_RUNS && length << 1',
    'if (i32[row + TCB.oooRuns]! >= TINY_RUNS + 1e9 && length << 1',
    'test/tcp/out-of-order.test.ts',
    'holesOfOneByte_manyThousands_fewAreHeldAndEachCostsTheSame',
  ],
  [
    'few neighbours are looked at',
    'src/net/both/neighbours.ts',
    'looks < LOOKS; looks++',
    'looks < 512; looks++',
    'test/net/both/neighbours.test.ts',
    'full_allWereUsed_fewAreLookedAt',
  ],
  [
    'a share of spans for every flow',
    'src/tcp/send-queue.ts',
    'const mayTake = held === 0 || (free > 0 && (held <= free || held < SPANS_ALWAYS));',
    'const mayTake = held > -1 || free < SPANS_ALWAYS;',
    SEND_QUEUE,
    'spansUsedUpByStuckPeers_everyOtherFlowHasOne',
  ],
  [
    'a share of bytes for every flow',
    'src/tcp/send-queue.ts',
    'this.#own = Math.max(Math.floor(unackedBytes / 2 / flowsMax), 1);',
    'this.#own = 1;',
    SEND_QUEUE,
    'quota_2400PeersThatDoNotReadAMebibyte_oldAndNewFlowsGetTheirShare',
  ],
  [
    'identifications that cannot be counted',
    'src/net/both/identification.ts',
    'next32(): number {\n    return this.#random.next();',
    'next32(): number {\n    this.#oldest = (this.#oldest + 1) & (IDS - 1);\n    return this.#oldest;',
    'test/net/both/identification.test.ts',
    'ipv6_fragmentsToOthers_cannotBeCounted',
  ],
  [
    'ports that cannot be counted',
    'src/tcp/ephemeral-ports.ts',
    'const cell = this.#hash.high & (STEPS - 1);',
    'const cell = 0;',
    'test/tcp/ephemeral-ports.test.ts',
    'pick_othersBetween_cannotBeCounted',
  ],
  [
    'a search for ports has an end',
    'src/tcp/ephemeral-ports.ts',
    'const most = Math.max(TRIES_ALWAYS, this.#triesLeft());',
    'const most = Math.max(EPHEMERAL_COUNT, this.#triesLeft());',
    'test/tcp/ephemeral-ports.test.ts',
    'pick_allTakenAskedByTheBatch_costsOneSearchAMillisecond',
  ],
  [
    'what neighbours say has bounds of its own',
    SIBLINGS_SOURCE,
    'if (this.#told[concern]! >= TOLD_MAX)',
    'if (this.#told[CONCERN.link]! + this.#told[CONCERN.path]! >= TOLD_MAX)',
    SIBLINGS,
    'floodOfIcmpErrors_whatNeighboursSay_isStillToldAndHeard',
  ],
  [
    'what siblings say has a place in every batch',
    SIBLINGS_SOURCE,
    'const heard = Math.min(this.#heard.length, HEARD_ALWAYS, max >> 1);',
    'const heard = Math.min(this.#heard.length, HEARD_ALWAYS, 0);',
    SIBLINGS,
    'floodOfItsOwnQueue_whatWasHeard_hasAPlaceInEveryBatch',
  ],
  [
    "what is another thread's is handed on",
    'src/net/both/owners.ts',
    'if (thread === this.#thread) return false;',
    'if (thread !== -1) return false;',
    'test/net/both/owners.test.ts',
    'ipv4_segmentOfNobody_isRefusedByItsThreadOnly',
  ],
  [
    'frames of a VLAN are not ours',
    'src/dataplane/stack.ts',
    'if (vid !== 0 || isTag(this.#view.getUint16(inner + ETH_TYPE))) {',
    'if (vid > ETH_VID) {',
    'test/nic/wanted-frames.test.ts',
    'stack_tagCutOrTagBehindTag_isDroppedAndCounted',
  ],
  [
    'a quarter of reassembly for each source',
    'src/net/both/reassembly.ts',
    'if (own >= this.#perSource && own < this.#order.nodes) {',
    'if (own < 0) {',
    'test/net/v6/fragments.test.ts',
    'oneSource_hasAQuarterOfTheBuffers',
  ],
  [
    'ICMP errors for each destination',
    'src/net/both/error-budget.ts',
    'if (left <= 0 || all <= 0) return false;',
    'if (all <= 0) return false;',
    'test/net/both/error-budget.test.ts',
    'oneDestination_floods_othersHaveTheirs',
  ],
  [
    'a configured gateway is not bypassed',
    'src/net/v6/routers.ts',
    'if (this.#gateway === 0 && bits >= ON_LINK_BITS_MIN) {',
    'if (bits >= ON_LINK_BITS_MIN) {',
    ROUTERS,
    'configuredGateway_prefixSaidToBeOnLink_doesNotBypassIt',
  ],
  [
    'networks of many links are not on ours',
    'src/net/v6/routers.ts',
    'if (this.#gateway === 0 && bits >= ON_LINK_BITS_MIN) {',
    'if (this.#gateway === 0 && ON_LINK_BITS_MIN > 0) {',
    ROUTERS,
    'onLinkPrefix_ofManyLinks_isIgnoredAndCounted',
  ],
];

/** Of dataplanes that were taken over. */
const OF_DATAPLANES: Row[] = [
  [
    'a line has an end',
    'src/control/children/channel-end.ts',
    'if (this.#bytes <= LINE_BYTES_MAX) return;',
    'if (this.#bytes <= LINE_BYTES_MAX * 1e6) return;',
    CHANNEL,
    'channel_lineWithoutEnd_toldOnceAndClosed',
  ],
  [
    'no exception of who hears a line ends all',
    'src/control/children/channel-end.ts',
    "const [why] = String(error).split('\\n');",
    "const [why] = String(error).split('\\n');\n      if (why !== '') throw error;",
    CHANNEL,
    'channel_whoHearsThrows_saidAndTheNextIsHeard',
  ],
  [
    "the host's end of a link believes nothing",
    'src/control/link/host-end.ts',
    'return HOST_END.filter((',
    'return HOST_END.slice(HOST_END.length).filter((',
    'test/control/link/host-end.live.test.ts',
    'advertisementOfADataplane_onOurLink_changesNothing',
  ],
  [
    'the filter of its packet socket is locked',
    'src/nic/privileged/packet-socket.ts',
    'set(SOL_SOCKET, SO_LOCK_FILTER, on);',
    'void SO_LOCK_FILTER;',
    'test/nic/around/overheard.live.test.ts',
    'filterOnceSet_isNotReplacedOrTakenOff',
  ],
  [
    'maps are no memory',
    'src/nic/privileged/bpf.ts',
    'granted(bpf(BPF_MAP_CREATE, attribute.text(28, name, 16)),',
    'granted(bpf(BPF_MAP_CREATE, attribute.u32(16, 1024).text(28, name, 16)),',
    'test/nic/privileged/steering.live.test.ts',
    'descriptorsOfSteering_inOtherHands_areNeitherMappedNorWritten',
  ],
];

export const DATAPLANE_MUTATIONS: readonly Mutation[] = [
  ...OF_APPLICATIONS,
  ...OF_PEERS,
  ...OF_DATAPLANES,
].map(([name, file, find, replace, ...test]) => ({ name, file, find, replace, test }));

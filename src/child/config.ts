/**
 * What a dataplane is told at its start: the one description that the control plane writes and the
 * dataplane checks.
 *
 * - Everything that needs privilege was opened by the control plane: sockets, devices and files
 *   arrive as numbers of inherited file descriptors, so that a dataplane opens nothing by name
 *   except its own code.
 * - IPv4 addresses are big-endian integers as int32, as everywhere in the stack.
 * - Written to the channel as one line of JSON (channel.ts).
 *
 * Used by src/control/children/launch.ts (writer) and src/dataplane/main.ts (reader).
 */
import * as v from 'valibot';
import { COUNTERS_BYTES } from '../counters.ts';
import { BATCH_MAX, FLOW_INDEX_BITS, QUOTA_NAMES } from '../limits.ts';
import { COPY_WISHES } from '../nic/drivers.ts';
import { FLOW_GROUPS, FLOW_KEY_WORDS } from '../nic/flow-groups.ts';
import { TOEPLITZ_KEY_MIN } from '../nic/toeplitz.ts';
import { CONGESTION_NAMES, ECN_OPTIONS } from '../tcp/constants.ts';

const fd = v.pipe(v.number(), v.integer(), v.minValue(0));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const int32 = v.pipe(v.number(), v.integer(), v.minValue(-(2 ** 31)), v.maxValue(2 ** 31 - 1));
const words = v.pipe(v.array(int32), v.length(4));
const mac = v.pipe(v.array(v.pipe(count, v.maxValue(255))), v.length(6));

const XDP_MODES = ['native', 'generic'] as const;

/**
 * One AF_XDP socket per queue, opened and not bound. It enters the XSKMAP of the program on
 * `ifname` when the dataplane has said `attached`: the map takes no socket without rings.
 */
const AfXdp = v.object({
  kind: v.literal('afxdp'),
  ifname: v.string(),
  ifindex: count,
  queue: count,
  socketFd: fd,
  /**
   * On an interface shared with the kernel: a packet socket for what is for everybody
   * (nic/around/overheard.ts).
   */
  overheardFd: v.optional(fd),
  /** How the XDP program is attached: by the driver, or by the kernel's generic code. */
  mode: v.picklist(XDP_MODES),
  /** What to ask for when it is bound, and why not for zero-copy, if not. */
  copy: v.picklist(COPY_WISHES),
  copyWhy: v.string(),
  mac,
  mtu: count,
});

const Tap = v.object({
  kind: v.literal('tap'),
  ifname: v.string(),
  /** The device itself, non-blocking: one read or write a frame. */
  fd,
  mac,
  mtu: count,
});

/** One end of a cable (src/nic/cable.ts): descriptors as `makeCable` gives them. */
const Cable = v.object({
  kind: v.literal('cable'),
  memoryFd: fd,
  wakeFds: v.tuple([fd, fd]),
  entries: count,
  side: v.picklist([0, 1]),
  mac,
  mtu: count,
});

export const NicConfig = v.variant('kind', [AfXdp, Tap, Cable]);
export const IDLE_POLICIES = ['spin', 'adaptive', 'sleep'] as const;
/**
 * Domain process: the application on the elastic thread's core, entered by turns; or polling on a
 * core of its own.
 */
export const PLACEMENTS = ['same-core', 'split'] as const;

/**
 * What the peers of an application that dies see (domain process): RST, or FIN wherever nothing is
 * lost by it.
 */
export const ON_CRASH = ['rst', 'fin'] as const;

/** What `--impair` may ask of src/nic/around/impair.ts, and the most of each: for tests. */
export const IMPAIRMENTS = {
  loss: 1,
  duplicate: 1,
  corrupt: 1,
  reorder: 1,
  reorderUs: 1_000_000,
  delayUs: 1_000_000,
  jitterUs: 1_000_000,
  seed: 2 ** 30,
} as const;
export type Impaired = { [name in keyof typeof IMPAIRMENTS]?: number };

/** Bytes of the statistics memfd that one thread's counters take. */
export const STATISTICS_BYTES = COUNTERS_BYTES;

const shared = {
  receivePool: fd,
  events: fd,
  calls: fd,
  memory: fd,
};
/**
 * What one elastic thread shares with an application in another process: four memfds and two pipes.
 */
export const SharedDescriptors = v.object({
  ...shared,
  /** Wakes the application: written. */
  wake: fd,
  /** Wakes the dataplane: read. */
  bell: fd,
  /** The application's ends of both, kept for whoever adopts this dataplane. */
  theirWake: fd,
  theirBell: fd,
});
export type SharedDescriptors = v.InferOutput<typeof SharedDescriptors>;

/** The same as the application has it: wakes by `bell`, is woken by `wake`. */
export const ApplicationDescriptors = v.object({ ...shared, wake: fd, bell: fd });
export type ApplicationDescriptors = v.InferOutput<typeof ApplicationDescriptors>;

const Segment = v.object({ name: v.string(), offset: count, bytes: count });
export const Layout = v.object({
  arenaBytes: count,
  receivePool: Segment,
  events: Segment,
  calls: Segment,
  memory: Segment,
});

/**
 * Where a thread's tables are, in bytes from its counters: for who may read the dataplane's memory
 * (control/record/flows.ts).
 */
const Tables = v.object({
  flows: count,
  flowCount: v.pipe(count, v.maxValue(1 << FLOW_INDEX_BITS)),
  retransmits: count,
  /** IPv6 addresses of peers by token, and our own. */
  destinations: count,
  destinationCount: v.pipe(count, v.maxValue(1 << 24)),
  addresses: count,
});
export type Tables = v.InferOutput<typeof Tables>;

/** `form`: of their rows (tcp/flow-facts.ts); who knows another one does not read them. */
export const TablesOfThreads = v.object({
  form: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/)),
  threads: v.pipe(v.array(Tables), v.minLength(1), v.maxLength(64)),
});
export type TablesOfThreads = v.InferOutput<typeof TablesOfThreads>;

/** Which thread a flow belongs to (nic/flow-groups.ts, nic/toeplitz.ts). */
const octets = v.array(v.pipe(count, v.maxValue(255)));
const FlowTable = v.union([
  v.object({
    key: v.pipe(v.array(int32), v.length(FLOW_KEY_WORDS), v.readonly()),
    threads: v.pipe(octets, v.length(FLOW_GROUPS), v.readonly()),
  }),
  v.object({
    toeplitz: v.pipe(octets, v.minLength(TOEPLITZ_KEY_MIN), v.readonly()),
    threads: v.pipe(octets, v.minLength(1), v.readonly()),
  }),
]);

/** How names are looked up: what hosts(5) and resolv.conf(5) of the machine say. */
const Names = v.object({
  hosts: v.array(v.object({ name: v.string(), addresses: v.array(v.string()) })),
  servers: v.array(v.string()),
  search: v.array(v.string()),
  ndots: count,
  timeoutMs: count,
  attempts: count,
});

const App = v.object({
  name: v.string(),
  /** Absolute path of the application module. */
  module: v.string(),
  options: v.record(v.string(), v.string()),
  /** It is an ordinary Node program (node/program.ts); absent: an application. */
  program: v.optional(
    v.object({
      args: v.array(v.string()),
      env: v.record(v.string(), v.string()),
      /** Ours, as text. */
      addresses: v.array(v.object({ address: v.string(), prefixLength: count })),
      /** As they are when a life begins. */
      names: v.optional(Names),
    }),
  ),
});
export type App = v.InferOutput<typeof App>;

export const Ipv6Config = v.object({
  address: words,
  prefixLength: v.pipe(count, v.minValue(1), v.maxValue(127)),
  gateway: words,
  linkLocal: words,
  detectsDuplicates: v.boolean(),
  slaac: v.boolean(),
});

export const DataplaneConfig = v.object({
  /** The process's number as its parent sees it (control/children/child.ts). */
  pid: v.optional(count),
  /** One a thread. */
  nics: v.pipe(v.array(NicConfig), v.minLength(1)),
  address: int32,
  prefixLength: v.pipe(count, v.maxValue(32)),
  /** 0: none. */
  gateway: int32,
  /** Absent: no IPv6. Addresses are four words (net/both/environment.ts). */
  ipv6: v.optional(Ipv6Config),
  /** Frames are steered by it; absent: one thread, or nobody knows. */
  flowGroups: v.optional(FlowTable),
  /**
   * The link hands over frames whose checksums nobody has computed (net/both/partial-checksums.ts);
   * absent: no.
   */
  partialChecksums: v.optional(v.boolean()),
  idle: v.picklist(IDLE_POLICIES),
  /** Of TCP; absent: CUBIC, and ECN when a peer asks for it. */
  tcp: v.optional(
    v.object({
      congestion: v.optional(v.picklist(CONGESTION_NAMES)),
      ecn: v.optional(v.picklist(ECN_OPTIONS)),
      keepaliveMs: v.optional(count),
    }),
  ),
  /** Core of the first thread (the others follow); absent: not pinned. */
  cpu: v.optional(count),
  /** B: most frames of one iteration; absent: BATCH_MAX. */
  batchMax: v.optional(v.pipe(count, v.minValue(1), v.maxValue(BATCH_MAX))),
  /** Iterations further apart than so many microseconds are kept; absent: none. */
  stallUs: v.optional(v.pipe(count, v.minValue(1))),
  /**
   * Whom the application may speak to first: four words and a length of 128 bits, each; absent:
   * everybody.
   */
  egress: v.optional(v.array(v.object({ words, prefixLength: v.pipe(count, v.maxValue(128)) }))),
  /** Loaded into the elastic threads (domain inline), unless `shared` is given. */
  app: App,
  /** Domain process: where the application's threads are; absent: same-core. */
  placement: v.optional(v.picklist(PLACEMENTS)),
  /** Domain process: how flows end when the application dies; absent: rst. */
  onCrash: v.optional(v.picklist(ON_CRASH)),
  /** Domain process: one a thread. */
  shared: v.optional(v.array(SharedDescriptors)),
  /** What the user may choose of src/limits.ts. */
  limits: v.object({
    flows: v.optional(count),
    receiveFrames: v.optional(count),
    applicationMiB: v.optional(count),
    quotas: v.optional(v.record(v.picklist(QUOTA_NAMES), count)),
  }),
  /** memfd of STATISTICS_BYTES a thread, to be mapped over the counters segment. */
  statisticsFd: fd,
  /** File that gets every frame as pcap. */
  captureFd: v.optional(fd),
  /** One readable line a frame on standard error. */
  trace: v.boolean(),
  /** For tests: the network is worse than it is (IMPAIRMENTS). */
  impair: v.optional(v.record(v.string(), v.number())),
  /**
   * How long a start may take, and so the control plane's `go`; absent: START_MS
   * (child/patience.ts).
   */
  startMs: v.optional(count),
  /**
   * It goes on when its control plane dies, until another one adopts it; absent: it dies with it.
   */
  lasting: v.optional(v.boolean()),
});

export type NicConfig = v.InferOutput<typeof NicConfig>;
export type DataplaneConfig = v.InferOutput<typeof DataplaneConfig>;
export type IdlePolicy = (typeof IDLE_POLICIES)[number];
export type Placement = (typeof PLACEMENTS)[number];

/** What one elastic thread holds; an idle one without connections holds nothing. */
const ThreadState = v.object({
  /** Flows in any state, TIME-WAIT included. */
  flows: count,
  /** Application timers. */
  timers: count,
  /** Frames of each pool that are neither free nor lent to the driver. */
  receiveHeld: v.number(),
  transmitHeld: v.number(),
  /** JavaScript heap that the thread has allocated since its start, bytes. */
  allocatedBytes: v.number(),
  /** What the kernel dropped before the driver saw it, by its own names; empty: it does not say. */
  kernelDrops: v.record(v.string(), v.number()),
  /** The latest stalls (dataplane/stalls.ts); absent: they are not kept. */
  stalls: v.optional(v.pipe(v.array(v.number()), v.maxLength(2 ** 16))),
});
export type ThreadState = v.InferOutput<typeof ThreadState>;

/** What a child may say of itself: as much as anybody reads, numbers as they may be. */
const said = (most: number) =>
  v.pipe(
    v.string(),
    v.transform((text) => text.slice(0, most)),
  );
const Failed = v.object({ type: v.literal('failed'), code: said(64), message: said(8192) });
const Stopped = v.object({
  type: v.literal('stopped'),
  exitCode: v.pipe(count, v.maxValue(255)),
});
const ports = v.pipe(v.array(v.pipe(count, v.maxValue(65_535))), v.maxLength(1024));
/** The number that the control plane gave it. */
const question = count;

/** How frames get to and from an AF_XDP socket: XDP_OPTIONS; and why in copy mode, if so. */
const Copied = v.object({ zeroCopy: v.boolean(), why: said(256) });
export type Copied = v.InferOutput<typeof Copied>;

/**
 * The same for a whole service, and where its XDP program runs; `why` it is not the best there is,
 * or ''.
 */
export const XdpState = v.object({
  mode: v.picklist(XDP_MODES),
  copy: v.picklist(['zero-copy', 'copy']),
  why: v.pipe(v.string(), v.maxLength(4096)),
});
export type XdpState = v.InferOutput<typeof XdpState>;

/** What a dataplane says on the channel, one line of JSON each. */
export const DataplaneMessage = v.variant('type', [
  /** The driver is bound: frames may flow. One layout a thread, for the application's process. */
  v.object({
    type: v.literal('attached'),
    layouts: v.array(Layout),
    flows: count,
    nic: said(256),
    /** One an AF_XDP socket. */
    copied: v.optional(v.pipe(v.array(Copied), v.maxLength(64))),
    tables: v.optional(TablesOfThreads),
  }),
  /** Domain inline: the application listens. */
  v.object({
    type: v.literal('ready'),
    /** Ports that the application listens on. */
    ports,
    /** The driver and how it runs, for people: 'af_xdp ix1 queue 0, native, copy'. */
    nic: said(256),
  }),
  /**
   * It cannot start (or go on): one sentence with the remedy. The process ends by itself after
   * this.
   */
  Failed,
  /** After `state`: what the pools hold at this moment, one entry a thread. */
  v.object({ type: v.literal('state'), question, threads: v.array(ThreadState) }),
  /** After `application-gone`: everything the application held is back. */
  v.object({ type: v.literal('dropped'), question }),
  /** A message of the application's own (`ix.report`). */
  v.object({ type: v.literal('report'), value: v.unknown() }),
  /** The application has ended the dataplane (`ix.stop`); the process exits with this code. */
  Stopped,
]);
export type DataplaneMessage = v.InferOutput<typeof DataplaneMessage>;

/** What an application process is told at its start. */
export const ApplicationConfig = v.object({
  app: App,
  /** As in DataplaneConfig. */
  pid: v.optional(count),
  /** As in DataplaneConfig. */
  lasting: v.optional(v.boolean()),
  idle: v.optional(v.picklist(IDLE_POLICIES)),
  placement: v.optional(v.picklist(PLACEMENTS)),
  threads: v.pipe(
    v.array(
      v.object({
        layout: Layout,
        shared: ApplicationDescriptors,
        flows: count,
        /** Placement same-core: the elastic thread's; absent: not pinned. */
        cpu: v.optional(count),
      }),
    ),
    v.minLength(1),
  ),
});
export type ApplicationConfig = v.InferOutput<typeof ApplicationConfig>;

export const ApplicationMessage = v.variant('type', [
  v.object({ type: v.literal('ready'), ports }),
  Failed,
  v.object({ type: v.literal('report'), value: v.unknown() }),
  Stopped,
]);
export type ApplicationMessage = v.InferOutput<typeof ApplicationMessage>;

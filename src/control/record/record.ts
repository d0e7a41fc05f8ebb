/**
 * What an instance writes down of itself: the form of a record, and what must be true of it before
 * it is looked at any closer.
 *
 * - A record is read by programs with more privileges than its writer may have had: every field is
 *   bounded, names are of a form that has nothing to hide, or, as what may be any text, printed by
 *   `printable` only.
 * - Who may be believed at all is state.ts's; what of it, instances.ts's.
 */
import * as v from 'valibot';
import {
  Ipv6Config,
  Layout,
  STATISTICS_BYTES,
  TablesOfThreads,
  XdpState,
} from '../../child/config.ts';
import { Confined } from '../../confine/confine.ts';
import { SPREAD_BY, STEERED_BY } from '../../nic/privileged/steering.ts';
import { Held } from './descriptors.ts';

/** As --threads takes. */
const THREADS_MAX = 64;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const text = v.pipe(v.string(), v.maxLength(4096));
const word = v.pipe(v.string(), v.regex(/^[\w.:-]{0,64}$/));

/**
 * Of any interface, ours too, which may be renamed: as the kernel takes them (dev_valid_name). To
 * be printed by `printable`.
 */
const linkName = v.pipe(v.string(), v.regex(/^(?!\.{1,2}$)[^\s/:]{1,15}$/));

export const LINK_STATES = ['up', 'no carrier', 'down', 'gone'] as const;
export type LinkState = (typeof LINK_STATES)[number];

const ProcessName = v.object({
  pid: v.pipe(count, v.minValue(1)),
  start: count,
  program: v.pipe(v.string(), v.regex(/^(\d+:\d+)?$/)),
});

/** A dataplane or an application, with what is needed to adopt it. */
const ChildRecord = v.object({
  ...ProcessName.entries,
  /** The control plane's end of its channel, as it holds it. */
  channel: Held,
  /** The pipes that it prints into. */
  outputs: v.pipe(v.array(text), v.maxLength(2)),
  confined: v.optional(Confined),
});
export type ChildRecord = v.InferOutput<typeof ChildRecord>;

const SharedHeld = v.object({
  receivePool: Held,
  events: Held,
  calls: Held,
  memory: Held,
  wake: Held,
  bell: Held,
  theirWake: Held,
  theirBell: Held,
});

/** What the dataplane of a lasting service holds for an adopter, and what else one has to know. */
const Estate = v.object({
  /** What was asked for: who asks for the same adopts it (control/service/adopt.ts). */
  wish: v.string(),
  network: v.object({
    kind: v.picklist(['link', 'tap']),
    linkKind: word,
    ifname: v.string(),
    ifindex: count,
    mac: v.array(count),
    mtu: count,
    gateway: v.number(),
    hostName: v.optional(v.string()),
    hostIndex: v.optional(count),
    ipv6: v.optional(Ipv6Config),
  }),
  statistics: Held,
  /** tap: the device, a queue each. */
  devices: v.optional(v.array(Held)),
  xdp: v.optional(
    v.object({
      mode: v.picklist(['native', 'generic']),
      fallback: v.string(),
      map: Held,
      link: Held,
    }),
  ),
  /** Frames are steered by flow groups: their map, and the program's link if it has one. */
  steering: v.optional(v.object({ by: v.picklist(STEERED_BY), map: Held, link: v.optional(Held) })),
  /** Domain process: one a thread. */
  shared: v.optional(v.array(SharedHeld)),
  /** What it said when its drivers were bound. */
  layouts: v.array(Layout),
  flows: count,
  driver: text,
});
export type Estate = v.InferOutput<typeof Estate>;

const Fields = v.object({
  control: ProcessName,
  /** Users that its processes may be. */
  users: v.pipe(v.array(count), v.maxLength(64)),
  dataplane: v.optional(ChildRecord),
  application: v.optional(ChildRecord),
  /** Inode of the network namespace. */
  namespace: v.pipe(v.string(), v.regex(/^\d+$/)),
  address: v.pipe(v.string(), v.regex(/^\d+\.\d+\.\d+\.\d+$/)),
  /** IPv6, if it has one. */
  address6: v.optional(word),
  app: text,
  ports: v.pipe(v.array(count), v.maxLength(4096)),
  nic: text,
  /**
   * Where its XDP program runs and how frames get to it, once a dataplane is attached; absent for a
   * tap.
   */
  xdp: v.optional(XdpState),
  /** Its frames are steered by flow groups: how many each thread has; absent: not by us. */
  steering: v.optional(
    v.object({
      by: v.picklist(SPREAD_BY),
      groups: v.pipe(v.array(count), v.maxLength(THREADS_MAX)),
    }),
  ),
  /** Links this instance made, by the names that they have now. */
  links: v.pipe(v.array(linkName), v.maxLength(64)),
  /** The interface that its dataplane drives, and what its links were when that was last known. */
  link: v.optional(
    v.object({
      name: linkName,
      indexes: v.pipe(v.array(count), v.maxLength(64)),
      state: v.picklist(LINK_STATES),
    }),
  ),
  /** It has a way beyond the host (control/link/outbound.ts), to be taken away. */
  outbound: v.optional(v.literal('nat')),
  /** Descriptor of the statistics memfd in the control process. */
  statisticsFd: count,
  /** Names of the counters in it, in order: a reader of another version prints the right names. */
  counters: v.pipe(v.array(word), v.maxLength(STATISTICS_BYTES / 8)),
  /** Of a thread in it: bytes, and the first cell of its latencies (src/latency.ts). */
  segment: v.optional(
    v.object({ bytes: v.pipe(count, v.maxValue(1 << 16)), latency: count, cells: count }),
  ),
  threads: v.pipe(count, v.minValue(1), v.maxValue(THREADS_MAX)),
  /** Where the tables of its threads are, while it serves (flows.ts). */
  tables: v.optional(TablesOfThreads),
  /** Lasting services, while they serve. */
  estate: v.optional(Estate),
});

/**
 * A name that we give says itself that its link is ours; one that was given later needs the numbers
 * beside it.
 */
const OUR_LINK = /^ix\d+$/;

export const Instance = v.pipe(
  Fields,
  v.check(({ links, link }) => link !== undefined || links.every((name) => OUR_LINK.test(name))),
);
export type Instance = v.InferOutput<typeof Instance> & {
  /** Whose file it was read from. */
  owner?: number;
};

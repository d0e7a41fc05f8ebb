/**
 * What the counters of loop, gate, quotas and sibling threads mean: see meaning.ts for the form,
 * counters.ts for the list.
 */
import { type Meaning, NOTHING } from './meaning.ts';

const quota = (name: string, what: string): Meaning => [
  'notice',
  what,
  `Raise --quota ${name}=N if this service should have more.`,
];

// biome-ignore format: a counter has two lines, or three
export const THREAD = {
  batches: ['ordinary', 'Batches given to the application.', NOTHING],
  calls: ['ordinary', 'Calls that it made.', NOTHING],
  events: ['ordinary', 'Events that it was told.', NOTHING],
  callsRefused: ['notice', 'Calls answered by an error code.',
    'Closed connections and full queues are usual reasons; see the quota counters.'],
  eventsDeferred: ['notice', 'Events that had to wait for the next batch.',
    'More happens than one batch tells: the thread is near its limit.'],
  iterations: ['ordinary', 'Rounds of the loop.', NOTHING],
  idleIterations: ['ordinary', 'Rounds that found nothing to do.', NOTHING],
  sleeps: ['ordinary', 'Times that the thread went to sleep.',
    'If latency matters more than a core: --idle spin.'],
  naps: ['ordinary', 'Short waits that a frame ends.', NOTHING],
  frameBatches: ['ordinary', 'Rounds that found frames.', NOTHING],
  gateBadCount: ['notice', 'The application said an impossible number of calls.',
    'It writes over its own memory, or is hostile: restart it, look at its native code.'],
  applicationLate: ['notice', 'Batches that the application did not come back from in time.',
    'It computes too long at once: split the work, or use --placement split.'],
  applicationBack: ['ordinary', 'Times that a late application came back.',
    'Fewer than applicationLate: it is away now.'],
  egressDenied: ['notice', 'The application wanted to speak to whom --connect does not allow.',
    'Allow it by --connect NETWORK, or ask why it wants to.'],
  busyUs: ['ordinary', 'Microseconds in rounds that had something to do.',
    'Near a million a second the core is full: more --threads.'],
  quotaFlows: quota('flows', 'A connection was refused: the application has as many as it may.'),
  quotaListeners: quota('listeners', 'A listen was refused by the quota.'),
  quotaUdpSockets: quota('udpSockets', 'A UDP socket was refused by the quota.'),
  quotaTimers: quota('timers', 'A timer was refused by the quota.'),
  quotaUnackedBytes: quota('unackedBytes', 'Sending had to wait: too much is not acknowledged.'),
  quotaReceiveFrames: quota('receiveFrames', 'Data was not taken: too much is not yet read.'),
  quotaCalls: quota('calls', 'Calls beyond the quota of a batch were not made.'),
  quotaPerSource: quota('perSource', 'One source had as many connections as it may.'),
  siblingsTold: ['ordinary', 'Frames passed on to all threads, such as ARP.', NOTHING],
  siblingsHeard: ['ordinary', 'Such frames of other threads.', NOTHING],
  siblingsLimited: ['notice', 'Such a frame was not passed on: there were too many.',
    'A flood of ARP, discovery or ICMP errors: look who sends it by --capture.'],
  handedOn: ['notice', 'Packets that came to the wrong thread and were handed on.',
    'Fragments do; if much else does, the NIC spreads otherwise: serve says the remedy.'],
  handedIn: ['notice', 'Packets that another thread handed to this one.', NOTHING],
  handedDropped: ['drop', 'A packet for another thread that had no room for it.',
    'That thread is behind: see its busy share and queue in bin/ix stat.'],
} as const satisfies Record<string, Meaning>;

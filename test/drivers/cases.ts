/**
 * What test/drivers/run tries on each kernel: the cases, the devices and the words of a machine's
 * plan that they need.
 *
 * - Each NIC has a device and a tap of its own, since a service changes what it serves on. A case's
 *   number is its place in the list, whichever of them are wanted, so that a second machine finds
 *   the taps of the first.
 * - `runs` is what src/nic/drivers.ts and docs/ARCHITECTURE.md claim of this driver under this
 *   kernel: `native copy`.
 *
 * Called by main.ts and result.ts.
 */
import { basename } from 'node:path';
import type { Step } from './machine.ts';

export interface Case {
  readonly name: string;
  /** Its QEMU device, of netdev `%n` with address `%m`; absent: it needs none. */
  readonly device?: string;
  /** Of `serve`, or the files of a test. */
  readonly words: string;
  readonly kind: 'nic' | 'own' | 'tests' | 'doctor';
  /** Absent: kv. */
  readonly app?: 'echo';
  /** On each of which frames are to come; absent: one. */
  readonly queues?: number;
  /**
   * Mode and copying that `serve` is to say, as long as no option asks for another; absent: it has
   * none.
   */
  readonly runs?: (kernel: string) => string;
}

/** `romfile=`: nobody boots from it. */
const VIRTIO = 'virtio-net-pci,romfile=,netdev=%n,mac=%m';
/** Zero-copy is offered only to a device behind an IOMMU, or one that says so. */
const PLATFORM = `${VIRTIO},iommu_platform=on,disable-legacy=on`;
/** With a tap of two queues, and a hash of its own. */
const RSS = `${PLATFORM},mq=on,vectors=6,rss=on,hash=on`;
const IGB = 'igb,romfile=,netdev=%n,mac=%m';
const INLINE = '--domain inline';
/** kv is one thread's. */
const TWO = { app: 'echo', queues: 2, words: `${INLINE} --threads 2` } as const;
const LIVE_TESTS = ['afxdp', 'privileged/xdp-program', 'queues', 'privileged/tap'];

/** 6.13 brought zero-copy to virtio_net. */
const ofVirtio = (kernel: string): string => {
  const [major = 0, minor = 0] = kernel.split('.').map(Number);
  return major > 6 || minor >= 13 ? 'native zero-copy' : 'native copy';
};
const copied = () => 'native copy';
const generic = () => 'generic copy';

export const CASES: readonly Case[] = [
  { name: 'virtio', kind: 'nic', device: PLATFORM, words: INLINE, runs: ofVirtio },
  { name: 'virtio-plain', kind: 'nic', device: VIRTIO, words: INLINE, runs: copied },
  { name: 'igb', kind: 'nic', device: IGB, words: INLINE, runs: copied },
  {
    name: 'e1000e',
    kind: 'nic',
    device: 'e1000e,romfile=,netdev=%n,mac=%m',
    words: INLINE,
    runs: generic,
  },
  { ...TWO, name: 'virtio-threads', kind: 'nic', device: RSS, runs: ofVirtio },
  { ...TWO, name: 'igb-threads', kind: 'nic', device: IGB, runs: copied },
  { name: 'virtio-process', kind: 'nic', device: PLATFORM, words: '', runs: ofVirtio },
  { name: 'veth', kind: 'own', words: INLINE, runs: generic },
  { name: 'veth-native', kind: 'own', words: `${INLINE} --xdp native`, runs: copied },
  { ...TWO, name: 'veth-threads', kind: 'own', runs: generic },
  { name: 'veth-process', kind: 'own', words: '', runs: generic },
  { name: 'tap', kind: 'own', words: `${INLINE} --nic tap` },
  { name: 'doctor', kind: 'doctor', words: '' },
  ...LIVE_TESTS.map((path): Case => {
    const words = `test/nic/${path}.live.test.ts`;
    return { name: `test-${basename(path)}`, kind: 'tests', words };
  }),
];

/** Number of a case: of its network, tap and device. */
export const numberOf = ({ name }: Case): number => CASES.findIndex((each) => each.name === name);

/** Whether its tap has a queue for each of the device's. */
export const hasQueues = ({ device = '' }: Case): boolean => device.includes('mq=on');

/** The steps of a machine, and the devices they need. */
export function planned(
  cases: readonly Case[],
  options: string,
): { steps: Step[]; devices: string[] } {
  const devices: string[] = [];
  const steps = cases.map((each): Step => {
    const { name, kind, device, words, app = 'kv', queues = 1 } = each;
    if (kind === 'tests' || kind === 'doctor')
      return { name, app, line: `${kind} ${words}`.trimEnd() };
    if (device === undefined)
      return { name, app, line: `own ${app} ${words} ${options}`.trimEnd() };
    const number = numberOf(each);
    const mac = `52:54:00:00:01:${number.toString(16).padStart(2, '0')}`;
    const tap = `tap,id=n${number},ifname=t${number},script=no,downscript=no`;
    devices.push('-netdev', hasQueues(each) ? `${tap},queues=${queues}` : tap);
    devices.push('-device', device.replace('%n', `n${number}`).replace('%m', mac));
    const line = `nic ${mac} ${number} ${queues} ${app} ${words} ${options}`.trimEnd();
    return { name, app, line, address: `10.88.${number}.2` };
  });
  return { steps, devices };
}

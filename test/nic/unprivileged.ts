/**
 * The unprivileged half, alone: afxdp.live.test.ts runs it without capabilities. Descriptor 3 is
 * the AF_XDP socket, the arguments are ifindex, MTU and MAC. Says 'ready' when it is bound, sends
 * 10 frames back, ends with 0.
 */
import { AfXdp } from '../../src/nic/afxdp.ts';
import { makeEnds, RING } from './suite.ts';

const [ifindex, mtu, mac] = process.argv.slice(2) as [string, string, string];
const { arena, a } = makeEnds();
const nic = new AfXdp(arena, a.frames, a.counters, {
  fd: 3,
  ifindex: Number(ifindex),
  ifname: 'ixta',
  queue: 0,
  mac: Buffer.from(mac, 'hex'),
  mtu: Number(mtu),
  ringEntries: RING,
});
console.log('ready');
for (let reflected = 0; reflected < 10; ) {
  nic.reclaim();
  const count = nic.receive(64);
  for (let i = 0; i < count; i++) nic.transmit(nic.rxOffsets[i]!, nic.rxLengths[i]!);
  nic.kick();
  reflected += count;
}
nic.close();
process.exitCode = a.frames.allHome() ? 0 : 1;

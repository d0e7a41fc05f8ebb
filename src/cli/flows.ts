/**
 * `ix flows`: the connections of the services that run here, as TCP has them.
 *
 * - `flows [NAME] [FILTER]`: the name or address of a service first, if it is not all of them; then
 *   conditions (flow-filter.ts). A filter that cannot be is refused before anything is read.
 * - Read out of the dataplane's memory, which goes on meanwhile (control/record/flows.ts); also of
 *   an orphan. Who may not read it gets one line, exit code 2.
 * - Two lines a flow, or with --json one object a service.
 */
import { type Flow, flowsOf } from '../control/record/flows.ts';
import type { Instance } from '../control/record/instances.ts';
import { printable } from '../printable.ts';
import { isCondition, parseFlowFilter } from './flow-filter.ts';
import { servicesHere } from './services.ts';

export async function flows(words: string[], options: { json?: boolean }): Promise<void> {
  const [first] = words;
  const name = first === undefined || isCondition(first) ? undefined : first;
  const isMeant = parseFlowFilter(name === undefined ? words : words.slice(1));
  const found = servicesHere(name).map((instance): [Instance, Flow[]] => [
    instance,
    flowsOf(instance).filter(isMeant),
  ]);
  if (options.json) {
    const instances = found.map(([{ app, address }, list]) => ({ app, address, flows: list }));
    return console.log(JSON.stringify({ instances }));
  }
  for (const [{ app, address }, list] of found) {
    console.log(`${printable(app)} at ${address}: ${list.length} flows`);
    for (const flow of list) console.log(describeFlow(flow));
  }
}

const ms = (us: number): string => (us / 1000).toFixed(us < 100_000 ? 3 : 0);

const end = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** As people read it: who and how much, then how TCP sees it. */
export function describeFlow(flow: Flow): string {
  const who = [
    flow.state.padEnd(12),
    end(flow.local, flow.localPort),
    flow.isActive ? '->' : '<-',
    end(flow.remote, flow.remotePort),
    `thread ${flow.thread}`,
    `unread ${flow.unread}`,
    `unsent ${flow.unsent}`,
    ...(flow.changing ? ['(changing)'] : []),
  ];
  const rtt = flow.rttUs > 0 ? `rtt ${ms(flow.rttUs)}/${ms(flow.rttVarUs)} ms` : 'rtt -';
  const how = [
    rtt,
    ...(flow.minRttUs > 0 ? [`min ${ms(flow.minRttUs)} ms`] : []),
    `rto ${ms(flow.rtoUs)} ms`,
    `cwnd ${flow.cwnd}`,
    `ssthresh ${flow.ssthresh || '-'}`,
    `mss ${flow.mss}`,
    `windows ${flow.sendWindow}/${flow.receiveWindow}`,
    `flight ${flow.inFlight}`,
    `rtx ${flow.retransmits}`,
    ...(flow.backoff > 0 ? [`backoff ${flow.backoff}`] : []),
    ...(flow.outOfOrderFrames > 0 ? [`out of order ${flow.outOfOrderFrames}`] : []),
    `idle ${(flow.idleMs / 1000).toFixed(1)} s`,
  ];
  return `  ${who.join(' ')}\n      ${how.join(', ')}`;
}

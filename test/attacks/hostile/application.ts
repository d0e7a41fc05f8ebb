/**
 * A hostile application: whoever connects to port 7 says in a line of JSON which attack it shall
 * try, and gets a line with what came of it. That it can still answer shows that its own dataplane
 * is as before.
 *
 * - It never returns to src/application/worker.ts: from its first instruction on the gate is its
 *   own (gate.ts).
 * - What the attack leaves open is given back after the answer.
 *
 * Started by `serve` in domain process, confined as any application. The attacks are in ../cases.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ApplicationConfig, ApplicationMessage } from '../../../src/child/config.ts';
import { CALL, EVENT, WORD } from '../../../src/gate/abi.ts';
import type { Application } from '../../../src/libix/index.ts';
import type { Case, Given } from '../case.ts';
import { HostileGate } from './gate.ts';

const FILES = [
  'handles',
  'ranges',
  'races',
  'pools',
  'memory',
  'kernel',
  'ends',
  'hangs',
  'exhaustion',
  'quotas',
  'channel',
  'files',
  'egress',
  'ports',
];
const COMMAND_PORT = 7;
const LISTENER_COOKIE = 1;
const FLOW_COOKIE = 2;

async function load(): Promise<Map<string, Case>> {
  const modules = await Promise.all(FILES.map((name) => import(`../cases/${name}.ts`)));
  const all: Case[] = modules.flatMap((module) => module.cases);
  return new Map(all.map((each) => [each.name, each]));
}

/** Where an answer is put: the last MiB of application memory, which attacks leave alone. */
function answer(gate: HostileGate, flow: number, value: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
  const { offset, bytes: size } = gate.layout.memory;
  const at = offset + size - 2 ** 20;
  gate.u8.set(bytes, at);
  for (let sent = 0; sent < bytes.length; ) {
    const taken = gate.call(CALL.sendv, flow, 1, at + sent, bytes.length - sent);
    if (taken < 0) return;
    sent += taken;
    if (taken === 0) gate.until(EVENT.sent, flow, 1000);
  }
}

function attempt(each: Case | undefined, gate: HostileGate, given: Given): unknown {
  if (each === undefined) return { error: 'no such case' };
  try {
    return { value: each.run(gate, given) };
  } catch (error) {
    if (each.ends) throw error;
    return { error: (error as Error).message };
  }
}

function serve(gate: HostileGate, cases: Map<string, Case>): never {
  for (;;) {
    const event = gate.events.shift();
    if (event === undefined) {
      gate.rest(10_000);
      continue;
    }
    const { kind, handle, cookie } = event;
    if (kind === EVENT.knock && cookie === LISTENER_COOKIE) {
      gate.call(CALL.accept, handle, FLOW_COOKIE);
    } else if (kind === EVENT.recv && cookie === FLOW_COOKIE) {
      const [at = 0, length = 0] = event.words.slice(WORD.a);
      const line = Buffer.from(gate.u8.slice(at, at + length)).toString();
      gate.call(CALL.recv_done, handle, length);
      const given = { ...JSON.parse(line), flow: handle } as Given;
      answer(gate, handle, attempt(cases.get(given.attack), gate, given));
      gate.cleanUp(handle);
      gate.events = gate.events.filter(
        (each) => each.handle === handle || each.kind === EVENT.knock,
      );
    } else if (kind === EVENT.recv_end) gate.call(CALL.close, handle);
  }
}

const say = (message: ApplicationMessage): void => parentPort?.postMessage(message);

const hostile: Application = async (ix) => {
  const { config, index } = workerData as { config: ApplicationConfig; index: number };
  const { layout, shared } = config.threads[index]!;
  const gate = new HostileGate(ix.u8.buffer, layout, shared);
  const cases = await load();
  const listener = gate.call(CALL.listen, LISTENER_COOKIE, 0, 0, 0, 0, COMMAND_PORT, 64, 0);
  if (listener <= 0) throw new Error(`listen: ${listener}`);
  gate.forget(listener);
  say({ type: 'ready', ports: [COMMAND_PORT] });
  serve(gate, cases);
};
export default hostile;

/**
 * What tests of libix's sessions share: an application served by a fake gate, and how such a test
 * ends.
 */
import assert from 'node:assert/strict';
import { FakeGate } from './fake-gate.ts';

export const bytesOf = (text: string) => new TextEncoder().encode(text);
export const textOf = (bytes: number[]) => Buffer.from(bytes).toString('latin1');

export function serving(
  handlers: Parameters<FakeGate['ix']['listen']>[1],
  sizes?: ConstructorParameters<typeof FakeGate>[0],
) {
  const gate = new FakeGate(sizes);
  gate.ix.listen(7, handlers);
  gate.turn();
  gate.turn();
  return gate;
}

/** Acknowledges and turns until nothing is left to say. */
export function settle(gate: FakeGate): void {
  for (let i = 0; i < 100; i++) {
    for (const flow of gate.flows.values()) {
      const open = flow.out.length - flow.acknowledged;
      if (!flow.isDead && open > 0) gate.acknowledge(flow, open);
    }
    gate.turn();
  }
}

export function finish(gate: FakeGate): void {
  gate.turn();
  for (const flow of gate.flows.values()) if (!flow.isDead) gate.die(flow);
  gate.turn();
  gate.turn();
  assert.ok(gate.ix.allHome(), 'every span and block came back');
  assert.equal(gate.ix.openConnections, 0);
}

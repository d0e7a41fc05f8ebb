/**
 * An endpoint of `ix bench goodput` on our TCP: connects its lanes and sends for ever, or receives
 * and counts.
 *
 * - `options.plan`: a LanePlan as JSON. A receiver reports a LaneResult a lane when its time is
 *   over, and resets it.
 * - The time begins when the connection is accepted.
 */
import type { Application, Connection, Handlers, Ix } from '../../src/libix/index.ts';
import type { LaneResult } from './conditions.ts';

/**
 * What an endpoint does: lanes by number, each with its port and (senders) the receiver's address.
 */
export interface LanePlan {
  role: 'send' | 'receive';
  ms: number;
  lanes: { lane: number; port: number; address: string }[];
}

/** The same bytes again and again; together more than the path and TCP's own queue hold. */
const SPAN_BYTES = 65_536;
const SPANS = 64;

function send(ix: Ix, plan: LanePlan): void {
  const block = ix.alloc(SPAN_BYTES, 64);
  ix.u8.fill(0x78, block, block + SPAN_BYTES);
  const handlers: Handlers = {
    opened: (c) => {
      for (let i = 0; i < SPANS; i++) c.send(block, SPAN_BYTES, 1);
    },
    received: (_c, _offset, length) => length,
    released: (c) => void (c.isOpen && c.send(block, SPAN_BYTES, 1)),
  };
  for (const { address, port } of plan.lanes) ix.connect(address, port, handlers);
}

function receive(ix: Ix, plan: LanePlan): void {
  for (const { lane, port } of plan.lanes) ix.listen(port, receiver(ix, lane, plan.ms));
}

function receiver(ix: Ix, lane: number, ms: number): Handlers {
  let start = 0;
  let last = 0;
  let isOver = false;
  const result: LaneResult = { kind: 'lane', lane, bytes: 0, ms: 0, longestGapMs: 0 };
  const heard = (): void => {
    const now = ix.nowMs();
    result.longestGapMs = Math.max(result.longestGapMs, (now - last) | 0);
    last = now;
  };
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    heard();
    result.ms = (ix.nowMs() - start) | 0;
    ix.report(result);
  };
  return {
    opened(c: Connection) {
      start = last = ix.nowMs();
      ix.timer(ms * 1000, () => {
        end();
        c.abort();
      });
    },
    received(_c, _offset, length) {
      heard();
      result.bytes += length;
      return length;
    },
    closed: end,
  };
}

const endpoint: Application = (ix, options) => {
  const plan = JSON.parse(options['plan'] ?? '') as LanePlan;
  if (plan.role === 'send') send(ix, plan);
  else receive(ix, plan);
};

export default endpoint;

/**
 * bulk: long streams, to see that every byte arrives. Port 9 takes them (RFC 863, and sums them),
 * port 19 makes them (RFC 864).
 *
 *     ix serve bulk bytes=1073741824 seed=7
 *
 * - Port 19 sends `bytes` (default 64 MiB) of the stream that bench/peers/bulk.c makes of `seed`
 *   (default 1): xorshift32 words, little-endian; then FIN. At most STREAMS at a time; further
 *   connections are reset.
 * - Port 9 reads to the peer's FIN, reports `{ bytes, crc }` (CRC-32 as zlib's, eight hexadecimal
 *   digits) and closes.
 *
 * Used by acceptance tests. The blocks of a stream are made one ahead of what is acknowledged:
 * `released` gives a block back, and it is filled and sent again.
 */
import type { Application, Connection, Handlers, Ix } from '../libix/index.ts';
import { Crc32 } from './bulk-crc.ts';

const SINK_PORT = 9;
const SOURCE_PORT = 19;
const BYTES_DEFAULT = 64 * 2 ** 20;
const STREAMS = 8;
/**
 * Blocks of a stream: together more than a connection may queue, so that it never waits for one.
 */
const BLOCKS = 6;
const BLOCK_BYTES = 65_536;

export class BulkOptionError extends Error {
  readonly code = 'BULK_OPTION';
}

/** One outgoing stream. */
interface Stream {
  /** Arena offset of its blocks. */
  readonly blocks: number;
  isBusy: boolean;
  left: number;
  word: number;
}

/** Fills a block with the next words of a stream. */
function fill(i32: Int32Array, offset: number, stream: Stream): void {
  let x = stream.word;
  const end = (offset + BLOCK_BYTES) >> 2;
  for (let w = offset >> 2; w < end; w++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    i32[w] = x;
  }
  stream.word = x;
}

function source(ix: Ix, bytes: number, seed: number): Handlers {
  const streams = Array.from({ length: STREAMS }, (): Stream => {
    return { blocks: ix.alloc(BLOCKS * BLOCK_BYTES, 64), isBusy: false, left: 0, word: 0 };
  });
  /** Sends block `tag - 1`; the last one is followed by FIN. */
  const send = (c: Connection, stream: Stream, tag: number): void => {
    if (stream.left === 0) return;
    const block = stream.blocks + (tag - 1) * BLOCK_BYTES;
    const length = Math.min(stream.left, BLOCK_BYTES);
    fill(ix.i32, block, stream);
    if (!c.send(block, length, tag)) return void c.abort();
    stream.left -= length;
    if (stream.left === 0) c.end();
  };
  return {
    opened(c) {
      const stream = streams.find((each) => !each.isBusy);
      if (!stream) return c.abort();
      c.state = Object.assign(stream, { isBusy: true, left: bytes, word: seed });
      for (let tag = 1; tag <= BLOCKS; tag++) send(c, stream, tag);
    },
    received: (_c, _offset, length) => length,
    released: (c, tag) => c.isOpen && send(c, c.state as Stream, tag),
    closed(c) {
      if (c.state) (c.state as Stream).isBusy = false;
    },
  };
}

function sink(ix: Ix): Handlers {
  return {
    opened(c) {
      c.state = new Crc32(ix.u8, ix.view);
    },
    received(c, offset, length) {
      (c.state as Crc32).add(offset, length);
      return length;
    },
    ended(c) {
      const { bytes, hex } = c.state as Crc32;
      ix.report({ bytes, crc: hex });
      c.close();
    },
  };
}

const bulk: Application = (ix, options) => {
  const number = (name: string, otherwise: number, max: number): number => {
    const value = Number(options[name] ?? otherwise);
    if (Number.isInteger(value) && value >= 1 && value <= max) return value;
    throw new BulkOptionError(`bulk: ${name} takes a whole number from 1 to ${max}`);
  };
  ix.listen(SINK_PORT, sink(ix));
  const bytes = number('bytes', BYTES_DEFAULT, 2 ** 40);
  ix.listen(SOURCE_PORT, source(ix, bytes, number('seed', 1, 2 ** 31 - 1)));
};

export default bulk;

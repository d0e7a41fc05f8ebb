/**
 * TCP options: reading a segment's into fields, writing a SYN's (SACK blocks: sack-writer.ts).
 *
 * - `read` answers false when a length is impossible (RFC 9293 MUST-7); the segment is then
 *   dropped. Unknown options are skipped. Options that only a SYN may carry are read from any
 *   segment; input ignores them there.
 * - Nothing is allocated: the fields are overwritten by each `read`.
 *
 * Called by arrival.ts, segment.ts, sack-writer.ts. Read first: RFC 9293 3.2; RFC 7323; RFC 2018.
 */
import {
  OPTION_END,
  OPTION_MSS,
  OPTION_NOP,
  OPTION_SACK,
  OPTION_SACK_PERMITTED,
  OPTION_TIMESTAMPS,
  OPTION_WINDOW_SCALE,
  TCP_OPTIONS_BYTES_MAX,
  TIMESTAMPS_BYTES,
  TIMESTAMPS_WORD,
  WINDOW_SCALE_MAX,
} from '../wire/tcp.ts';

/** Bytes of one SACK block, and of what stands before the first: two NOPs, kind, length. */
const BLOCK_BYTES = 8;
export const SACK_HEAD_BYTES = 4;

export class OptionReader {
  /** 0: not there. */
  mss = 0;
  /** -1: not there. */
  scale = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsVal = 0;
  tsEcr = 0;
  /** SACK blocks: how many, and the arena offset of the first. */
  sackCount = 0;
  sackAt = 0;

  /** Reads the options in [at, end). */
  read(view: DataView, at: number, end: number): boolean {
    this.mss = 0;
    this.scale = -1;
    this.sackPermitted = false;
    this.hasTimestamps = false;
    this.sackCount = 0;
    if (end - at === TIMESTAMPS_BYTES && view.getInt32(at) === TIMESTAMPS_WORD) {
      this.#timestamps(view, at + 4);
      return true;
    }
    while (at < end) {
      const kind = view.getUint8(at);
      if (kind === OPTION_END) return true;
      if (kind === OPTION_NOP) {
        at += 1;
        continue;
      }
      if (at + 1 >= end) return false;
      const length = view.getUint8(at + 1);
      if (length < 2 || at + length > end) return false;
      if (!this.#option(view, kind, at, length)) return false;
      at += length;
    }
    return true;
  }

  #option(view: DataView, kind: number, at: number, length: number): boolean {
    switch (kind) {
      case OPTION_MSS:
        if (length !== 4) return false;
        this.mss = view.getUint16(at + 2);
        return true;
      case OPTION_WINDOW_SCALE: {
        if (length !== 3) return false;
        const scale = view.getUint8(at + 2);
        this.scale = Math.min(scale, WINDOW_SCALE_MAX);
        return true;
      }
      case OPTION_SACK_PERMITTED:
        if (length !== 2) return false;
        this.sackPermitted = true;
        return true;
      case OPTION_TIMESTAMPS:
        if (length !== 10) return false;
        this.#timestamps(view, at + 2);
        return true;
      case OPTION_SACK:
        if (length < 2 + BLOCK_BYTES || ((length - 2) & (BLOCK_BYTES - 1)) !== 0) return false;
        this.sackCount = (length - 2) >> 3;
        this.sackAt = at + 2;
        return true;
      default:
        return true;
    }
  }

  #timestamps(view: DataView, at: number): void {
    this.hasTimestamps = true;
    this.tsVal = view.getInt32(at);
    this.tsEcr = view.getInt32(at + 4);
  }
}

/** NOP, NOP and timestamps at `at`. */
export function writeTimestamps(view: DataView, at: number, tsVal: number, tsEcr: number): void {
  view.setInt32(at, TIMESTAMPS_WORD);
  view.setInt32(at + 4, tsVal);
  view.setInt32(at + 8, tsEcr);
}

/** A SYN's options at `at`; `scale` -1: none. Returns their bytes, a multiple of 4. */
export function writeSynOptions(
  view: DataView,
  at: number,
  mss: number,
  sack: boolean,
  scale: number,
  timestamps: boolean,
  tsVal: number,
  tsEcr: number,
): number {
  const start = at;
  view.setInt32(at, (OPTION_MSS << 24) | (4 << 16) | mss);
  at += 4;
  const nops = (OPTION_NOP << 24) | (OPTION_NOP << 16);
  const permitted = (OPTION_SACK_PERMITTED << 24) | (2 << 16);
  if (timestamps) {
    writeTimestamps(view, at, tsVal, tsEcr);
    if (sack) view.setUint16(at, permitted >>> 16); // takes the place of the two NOPs
    at += TIMESTAMPS_BYTES;
  } else if (sack) {
    view.setInt32(at, nops | (permitted >>> 16));
    at += 4;
  }
  if (scale >= 0) {
    view.setInt32(at, (OPTION_NOP << 24) | (OPTION_WINDOW_SCALE << 16) | (3 << 8) | scale);
    at += 4;
  }
  return at - start;
}

/**
 * SACK blocks that fit behind `bytes` of options: three beside timestamps, else four (RFC 2018 3).
 */
export const sackBlocks = (bytes: number): number =>
  (TCP_OPTIONS_BYTES_MAX - bytes - SACK_HEAD_BYTES) >> 3;

/** One block of a SACK option at `block`. Returns the place behind it. */
export function writeSackBlock(view: DataView, block: number, start: number, end: number): number {
  view.setInt32(block, start);
  view.setInt32(block + 4, end);
  return block + BLOCK_BYTES;
}

/** The head of a SACK option at `at`, whose blocks end at `end`: two NOPs, kind, length. */
export function writeSackHead(view: DataView, at: number, end: number): void {
  view.setInt32(at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK << 8) | (end - at - 2));
}

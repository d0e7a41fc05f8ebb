/**
 * The segment under way through input: header fields, the payload's place, what trimming left.
 *
 * - One object for all: `read` overwrites it, so nobody keeps it. All fields are int32.
 *
 * Made by input.ts, passed to the files behind it. Read first: RFC 9293 3.3.1 (SEG).
 */
import {
  headerBytes,
  SYN,
  TCP_ACK,
  TCP_FLAGS,
  TCP_OPTIONS,
  TCP_SEQUENCE,
  TCP_URGENT,
  TCP_WINDOW,
  URG,
} from '../wire/tcp.ts';
import { OptionReader } from './options.ts';

export class Arrival {
  readonly options = new OptionReader();
  remote = 0;
  /** remote << 16 | local. */
  ports = 0;
  local = 0;
  /** Any offset in the frame. */
  frame = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  /** As in the header, not scaled. */
  window = 0;
  /** The IP header says congestion (ECN). */
  isMarked = false;
  /** With URG: the sequence number behind the urgent data (SEG.UP). */
  urgentEnd = 0;
  /** Payload: arena offset and bytes. */
  data = 0;
  length = 0;

  /** A checked segment of `bytes` at `tcp`. False: bad options. */
  read(
    view: DataView,
    u8: Uint8Array,
    frame: number,
    tcp: number,
    bytes: number,
    source: number,
    destination: number,
  ): boolean {
    const header = headerBytes(u8, tcp);
    this.remote = source;
    this.ports = view.getInt32(tcp);
    this.local = destination;
    this.frame = frame;
    this.seq = view.getInt32(tcp + TCP_SEQUENCE);
    this.ack = view.getInt32(tcp + TCP_ACK);
    this.flags = u8[tcp + TCP_FLAGS]!;
    this.window = view.getUint16(tcp + TCP_WINDOW);
    if ((this.flags & URG) !== 0)
      this.urgentEnd = (this.seq + view.getUint16(tcp + TCP_URGENT)) | 0;
    this.data = tcp + header;
    this.length = bytes - header;
    return this.options.read(view, tcp + TCP_OPTIONS, tcp + header);
  }

  /** Takes `count` sequence numbers off the front; a SYN is the first. */
  trimFront(count: number): void {
    this.seq = (this.seq + count) | 0;
    if ((this.flags & SYN) !== 0 && count > 0) {
      this.flags &= ~SYN;
      count -= 1;
    }
    this.data += count;
    this.length -= count;
  }
}

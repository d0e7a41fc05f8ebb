/**
 * Options of neighbour discovery messages: one walk that notes where each known one stands.
 *
 * - An option of length 0, or one that ends behind the message, makes the whole message bad (RFC
 *   4861 4.6). Unknown options are skipped. Of a kind that comes twice the first MTU and the last
 *   MAC address count; prefixes are walked by `nextPrefix`.
 * - One object for all: `read` overwrites it.
 *
 * Called by discovery.ts. Read first: RFC 4861 4.6.
 */
import { MAC_GROUP, macHigh, macLow } from '../../wire/ethernet.ts';
import {
  MTU_BYTES,
  MTU_VALUE,
  ND_MAC_BYTES,
  ND_MTU,
  ND_PREFIX,
  ND_SOURCE_MAC,
  ND_TARGET_MAC,
  PREFIX_BYTES,
} from '../../wire/icmpv6.ts';

export class NdOptions {
  hasSourceMac = false;
  hasTargetMac = false;
  /** Of whichever of the two was there: a message that is right has one of them at most. */
  macHigh = 0;
  macLow = 0;
  /** 0: none. */
  mtu = 0;
  readonly #view: DataView;

  constructor(view: DataView) {
    this.#view = view;
  }

  /** The options in [at, end). False: the message is bad. */
  read(at: number, end: number): boolean {
    const view = this.#view;
    this.hasSourceMac = this.hasTargetMac = false;
    this.macHigh = this.macLow = this.mtu = 0;
    while (at < end) {
      if (at + 8 > end) return false;
      const type = view.getUint8(at);
      const bytes = view.getUint8(at + 1) << 3;
      if (bytes === 0 || at + bytes > end) return false;
      if (type === ND_SOURCE_MAC || type === ND_TARGET_MAC) {
        if (bytes !== ND_MAC_BYTES) return false;
        if (!this.#mac(at + 2, type)) return false;
      } else if (type === ND_MTU && this.mtu === 0) {
        if (bytes !== MTU_BYTES) return false;
        this.mtu = view.getUint32(at + MTU_VALUE) & 0x7fff_ffff;
      }
      at += bytes;
    }
    return true;
  }

  /** A group is nobody's own (RFC 4861 7.2.3 leaves it open; RFC 1812 3.3.2 does not for ARP). */
  #mac(at: number, type: number): boolean {
    const high = macHigh(this.#view, at);
    const low = macLow(this.#view, at);
    if ((high & MAC_GROUP) !== 0 || (high === 0 && low === 0)) return false;
    if (type === ND_SOURCE_MAC) this.hasSourceMac = true;
    else this.hasTargetMac = true;
    this.macHigh = high;
    this.macLow = low;
    return true;
  }

  /** Place of the first prefix option in [at, end), which `read` has accepted; -1: none. */
  nextPrefix(at: number, end: number): number {
    const view = this.#view;
    while (at < end) {
      const bytes = view.getUint8(at + 1) << 3;
      if (view.getUint8(at) === ND_PREFIX && bytes === PREFIX_BYTES) return at;
      at += bytes;
    }
    return -1;
  }
}

/**
 * A driver around a driver: everything goes through to the one inside. A subclass changes only what
 * it has something to do with, so wrappers stand around each other in any order (impair.ts,
 * capture.ts, trace.ts, siblings.ts, overheard.ts).
 */
import type { Nic, SiblingThreads } from '../nic.ts';

export class AroundNic implements Nic {
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly fds: readonly number[];
  readonly batchMax?: number;
  readonly copied?: NonNullable<Nic['copied']>;
  readonly siblings?: SiblingThreads;
  readonly rxOffsets: Int32Array;
  readonly rxLengths: Int32Array;
  protected readonly inner: Nic;

  constructor(inner: Nic, name = inner.name, fds = inner.fds) {
    this.name = name;
    this.mac = inner.mac;
    this.mtu = inner.mtu;
    this.fds = fds;
    if (inner.batchMax !== undefined) this.batchMax = inner.batchMax;
    if (inner.copied !== undefined) this.copied = inner.copied;
    if (inner.siblings !== undefined) this.siblings = inner.siblings;
    this.rxOffsets = inner.rxOffsets;
    this.rxLengths = inner.rxLengths;
    this.inner = inner;
  }

  receive(max: number): number {
    return this.inner.receive(max);
  }

  transmit(offset: number, length: number): void {
    this.inner.transmit(offset, length);
  }

  kick(): void {
    this.inner.kick();
  }

  reclaim(): void {
    this.inner.reclaim();
  }

  receiveLent(): number {
    return this.inner.receiveLent();
  }

  prepareSleep(): boolean {
    return this.inner.prepareSleep?.() ?? true;
  }

  isGone(): boolean {
    return this.inner.isGone?.() ?? false;
  }

  wake(): void {
    this.inner.wake?.();
  }

  kernelDrops(): Record<string, number> {
    return this.inner.kernelDrops?.() ?? {};
  }

  close(): void {
    this.inner.close();
  }
}

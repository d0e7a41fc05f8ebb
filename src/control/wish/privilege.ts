/**
 * What the kernel lets this process do, asked before it is tried: so that what is missing is one
 * sentence, and not an errno in the middle of a start that must then be undone.
 */
import { UserError } from '../../errors.ts';
import {
  hasCapability,
  KERNEL_MIN,
  kernelIsOld,
  kernelVersion,
  mayLoadPrograms,
} from '../../native/process.ts';

/** Capabilities that a NIC of this kind needs and this process has not. */
export function missingFor(nic: string): string[] {
  const missing: string[] = [];
  if (!hasCapability('CAP_NET_ADMIN')) missing.push('CAP_NET_ADMIN');
  if (nic === 'tap') return missing;
  if (!hasCapability('CAP_NET_RAW')) missing.push('CAP_NET_RAW');
  if (!mayLoadPrograms()) missing.push('CAP_BPF');
  return missing;
}

/** A tap has none of what is new: it can be had on any kernel that Node runs on. */
export function requireKernel(version: [number, number] = kernelVersion()): void {
  if (!kernelIsOld(version)) return;
  throw new UserError(
    'IX_KERNEL',
    `Linux ${version.join('.')} is too old for AF_XDP links`,
    `Linux ${KERNEL_MIN.join('.')} or newer is needed; or choose --nic tap`,
  );
}

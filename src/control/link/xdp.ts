/**
 * `--xdp`: where the XDP program runs and how frames reach the sockets. What is asked for, what
 * came of it, and the words.
 *
 * - auto takes what is best and known to work, and says why it is not more: the kernel's words
 *   where it refused.
 * - native, native-copy, zerocopy and generic are that or nothing: what the kernel refuses then is
 *   the command's failure.
 *
 * Called by control/wish/plan.ts and control/service/life.ts; said by cli/serve.ts, cli/stat.ts and
 * cli/doctor.ts.
 */
import type { Copied, XdpState } from '../../child/config.ts';
import { OptionError } from '../../errors.ts';
import type { XdpMode } from '../../nic/drivers.ts';
import { type Copying, copyingFor, zeroCopyRefusal } from '../../nic/drivers.ts';
import type { Attachment } from '../../nic/privileged/attach.ts';
import { printable } from '../../printable.ts';

export const XDP_CHOICES = ['auto', 'native', 'generic', 'native-copy', 'zerocopy'] as const;
export type XdpChoice = (typeof XDP_CHOICES)[number];

/** Absent: the best mode that the interface has. `why` it is not a better one. */
export interface AttachMode {
  readonly mode?: XdpMode;
  readonly why?: string;
}

/**
 * `isOurs`: a link that we make. Without a mode: native, or generic where the driver has no native
 * mode. Native mode on a veth copies every frame into a page of the driver's first: between two
 * AF_XDP ends generic mode is faster (64 connections 453,000 against 353,000 messages a second, one
 * 6.2 against 8.8 us a round trip). It needs a peer without offloads, as ours is.
 */
export function attachModeFor(isOurs: boolean, xdp: XdpChoice): AttachMode {
  if (xdp === 'generic') return { mode: 'generic', why: 'generic mode was asked for' };
  if (xdp !== 'auto') return { mode: 'native' };
  if (!isOurs) return {};
  return { mode: 'generic', why: 'generic mode is the faster one on a veth of our own' };
}

/** What the sockets are to ask for. */
export function copyingOf(mode: XdpMode, xdp: XdpChoice, driver: string): Copying {
  if (xdp === 'native-copy') return { wish: 'copy', why: 'copies were asked for' };
  if (xdp !== 'zerocopy') return copyingFor(mode, driver);
  const refusal = zeroCopyRefusal(driver);
  if (refusal !== '') throw new OptionError(`--xdp zerocopy: ${refusal}`, 'try --xdp native-copy');
  return { wish: 'zerocopy', why: '' };
}

/** What came of it. */
export function xdpStateOf({ mode, fallback }: Attachment, copied: readonly Copied[]): XdpState {
  const copying = copied.find(({ zeroCopy }) => !zeroCopy);
  const why = [fallback, copying?.why ?? ''].filter((reason) => reason !== '').join('; ');
  return { mode, copy: copying ? 'copy' : 'zero-copy', why };
}

/** 'native XDP, zero-copy', 'generic XDP, copy (why)' */
export const describeXdp = ({ mode, copy, why }: XdpState): string =>
  `${mode} XDP, ${copy}${why === '' ? '' : ` (${printable(why)})`}`;

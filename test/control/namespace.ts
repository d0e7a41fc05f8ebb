/**
 * Live tests work in a network namespace of their own: the test file's process moves into a fresh
 * one, and what it starts is in there with it. The kernel takes the namespace away, links and all,
 * with the last process in it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Netlink } from '../../src/control/link/netlink.ts';
import { hasCapability } from '../../src/native/process.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';

const CLONE_NEWNET = 0x40000000;

/** Why live tests cannot run here, for `skip`; false when they can. */
export const needsRoot: string | false =
  process.getuid?.() === 0 && hasCapability('CAP_SYS_ADMIN') && hasCapability('CAP_NET_ADMIN')
    ? false
    : 'needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN): sudo npm test';

/**
 * Call once a process, before anything else; does nothing where it is not allowed (the tests are
 * skipped then).
 */
export function enterNamespace(): void {
  // State of its own, too: the instances of this machine are none of the test's business.
  const directory = mkdtempSync(join(tmpdir(), 'ix-state-'));
  process.env['IX_STATE_DIR'] = directory;
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  if (needsRoot !== false) return;
  must(sys.syscall(SYS.unshare, CLONE_NEWNET), 'unshare(CLONE_NEWNET)');
  const netlink = new Netlink();
  netlink.setUp(netlink.link('lo')!.index);
  netlink.close();
}

/** Names of the links here, loopback left out, sorted. */
export function linkNames(): string[] {
  const netlink = new Netlink();
  const names = netlink.links().map((link) => link.name);
  netlink.close();
  return names.filter((name) => name !== 'lo').sort();
}

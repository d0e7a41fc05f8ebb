/**
 * What the kernel says of links without being asked: a netlink socket in the group of link
 * notifications.
 *
 * - `changed` is told once for all that was read in a turn of the event loop, if it was about one
 *   of `links`: who is told asks for their state itself (netlink.ts), because several messages make
 *   one change, and some may be lost (ENOBUFS).
 * - `removed` comes before it, for each link that is no longer in this network namespace: deleted,
 *   or moved to another.
 * - Works on the network namespace in which it was made.
 *
 * Called by watch.ts. Read first: man 7 rtnetlink; man 7 netlink, "RTMGRP_LINK".
 */
import { closeSync } from 'node:fs';
import { callNumber } from '../../confine/seccomp-numbers.ts';
import { must, SOCK_RAW_CLOEXEC, SYS, sys, type Watch } from '../../native/sys.ts';
import { messagesIn, readAttributes } from './netlink-message.ts';

const AF_NETLINK = 16;
const RTMGRP_LINK = 1;
const RTM_DELLINK = 17;
/** Where a link has gone: only in the notice of one that was moved. */
const IFLA_NEW_NETNSID = 45;
const IFLA_NEW_IFINDEX = 49;
const MSG_DONTWAIT = 0x40;
const ENOBUFS = 105;
const READS_MAX = 64;
const RECVFROM = callNumber('recvfrom');

export interface LinkEventHooks {
  removed(index: number, isMoved: boolean): void;
  changed(): void;
}

export class LinkEvents {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #links: readonly number[];
  readonly #hooks: LinkEventHooks;
  readonly #bytes = new Uint8Array(32_768);
  #isOpen = true;

  constructor(links: readonly number[], hooks: LinkEventHooks) {
    this.#links = links;
    this.#hooks = hooks;
    this.#fd = must(sys.syscall(SYS.socket, AF_NETLINK, SOCK_RAW_CLOEXEC, 0), 'socket(AF_NETLINK)');
    const address = new DataView(new ArrayBuffer(12)); // struct sockaddr_nl
    address.setUint16(0, AF_NETLINK, true);
    address.setUint32(8, RTMGRP_LINK, true);
    must(sys.syscall(SYS.bind, this.#fd, address, 12), 'bind of a netlink socket');
    const watch = sys.watch(this.#fd, () => this.#readable());
    if (typeof watch === 'number') must(watch, 'watch of links');
    this.#watch = watch as Watch;
    sys.armWatch(this.#watch, true);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    sys.armWatch(this.#watch, false);
    closeSync(this.#fd);
  }

  #readable(): void {
    let isOurs = false;
    for (let i = 0; i < READS_MAX; i++) {
      const length = sys.syscall(
        RECVFROM,
        ...[this.#fd, this.#bytes, this.#bytes.length, MSG_DONTWAIT, 0, 0],
      );
      if (length < 0 && length !== -ENOBUFS) break;
      if (length < 0) isOurs = true;
      for (const message of messagesIn(this.#bytes, Math.max(0, length))) {
        const index = message.body.getInt32(4, true);
        if (!this.#links.includes(index)) continue;
        isOurs = true;
        if (message.type !== RTM_DELLINK) continue;
        const attributes = readAttributes(message.body, 16);
        const isMoved = attributes.has(IFLA_NEW_NETNSID) || attributes.has(IFLA_NEW_IFINDEX);
        this.#hooks.removed(index, isMoved);
      }
    }
    if (!isOurs) return;
    // Out of a native callback nothing can be thrown.
    setImmediate(() => {
      if (this.#isOpen) this.#hooks.changed();
    });
  }
}

/**
 * The links of a service, as the kernel says they are: up, down, without carrier, renamed, gone.
 *
 * - A service has one state: that of the worst of its links (a veth of our own has two). Each
 *   change is told once, with the link that is its reason; so is a state other than up that is
 *   found at the beginning.
 * - Gone is for ever: removed, or in another network namespace, where neither our socket nor our
 *   addresses follow.
 * - `renamed` is told before the state that came with it.
 * - `looked` is told after every look that found all of them up: a link that went down and up again
 *   between two looks has lost addresses and routes although its state is what it was.
 *
 * Called by control/service/link-care.ts. The dataplane finds out by itself, by its driver's
 * refusals (nic/link-backoff.ts): this is for people, for what only privilege can mend, and for
 * waking a thread that sleeps.
 */
import { LINK_STATES, type LinkState } from '../record/instances.ts';
import { LinkEvents } from './events.ts';
import { IFF_UP, type Link, Netlink } from './netlink.ts';

/** linux/if.h: there is a carrier. */
const IFF_LOWER_UP = 0x10000;
/**
 * A link is out of the list before its removal is told, which says where to: that is waited for,
 * but not for ever.
 */
const REMOVAL_LOOK_MS = 50;
const REMOVAL_LOOKS = 10;

export interface LinkName {
  index: number;
  name: string;
}

export interface LinkNews {
  /** The link that is the reason. */
  name: string;
  state: LinkState;
  /** Of state gone: it is in another network namespace. */
  isMoved: boolean;
  /** How long the state before it lasted. */
  afterMs: number;
}

export interface LinkWatchHooks {
  state(news: LinkNews): void;
  renamed(from: string, to: string): void;
  looked(): void;
}

export function stateOf(link: Pick<Link, 'flags'> | undefined): LinkState {
  if (!link) return 'gone';
  if ((link.flags & IFF_UP) === 0) return 'down';
  return (link.flags & IFF_LOWER_UP) === 0 ? 'no carrier' : 'up';
}

/** The worst of them: its name, and what it is. The first one named if several are as bad. */
export function worstOf<T>(links: readonly (readonly [T, LinkState])[]): readonly [T, LinkState] {
  const rank = ([, state]: readonly [T, LinkState]): number => LINK_STATES.indexOf(state);
  return links.reduce((worst, each) => (rank(each) > rank(worst) ? each : worst));
}

export class LinkWatch {
  readonly #links: LinkName[];
  readonly #hooks: LinkWatchHooks;
  readonly #netlink = new Netlink();
  readonly #events: LinkEvents;
  /** Links whose removal was told, and whether they were only moved. */
  readonly #removed = new Map<number, boolean>();
  #looksLeft = REMOVAL_LOOKS;
  #isClosed = false;
  #state: LinkState = 'up';
  /** The link that the last state other than up was of. */
  #reason: LinkName | undefined;
  #sinceMs = performance.now();

  /** `links`: the host's end first, since the other one follows it. */
  constructor(links: readonly LinkName[], hooks: LinkWatchHooks) {
    this.#links = links.map((link) => ({ ...link }));
    this.#hooks = hooks;
    const indexes = links.map(({ index }) => index);
    this.#events = new LinkEvents(indexes, {
      removed: (index, isMoved) => this.#removed.set(index, isMoved),
      changed: () => this.look(),
    });
    setImmediate(() => this.look());
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events.close();
    this.#netlink.close();
  }

  /** Compares all links with what was last told. */
  look(): void {
    if (this.#isClosed || this.#state === 'gone') return;
    const found = this.#netlink.links();
    const states = this.#links.map((watched): [LinkName, LinkState] => {
      const now = found.find((link) => link.index === watched.index);
      if (now && now.name !== watched.name) {
        const from = watched.name;
        watched.name = now.name;
        this.#hooks.renamed(from, now.name);
      }
      return [watched, stateOf(now)];
    });
    const [worst, state] = worstOf(states);
    if (state === 'gone' && !this.#removed.has(worst.index) && this.#looksLeft > 0) {
      this.#looksLeft -= 1;
      setTimeout(() => this.look(), REMOVAL_LOOK_MS).unref();
      return;
    }
    const reason = state === 'up' ? (this.#reason ?? worst) : worst;
    this.#reason = state === 'up' ? undefined : worst;
    if (state !== this.#state) this.#tell(reason, state);
    if (state === 'up') this.#hooks.looked();
  }

  #tell({ name, index }: LinkName, state: LinkState): void {
    const nowMs = performance.now();
    const isMoved = this.#removed.get(index) === true;
    const news = { name, state, isMoved, afterMs: nowMs - this.#sinceMs };
    this.#state = state;
    this.#sinceMs = nowMs;
    this.#hooks.state(news);
  }
}

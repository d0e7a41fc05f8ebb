/**
 * Addresses of a name, by the machine's hosts file and name servers, over `ix.udp`.
 *
 * - As getaddrinfo does: the hosts file comes first, then the names that `search` and `ndots` make,
 *   each asked of the servers in turn, `attempts` times. Answers are not kept.
 * - `localhost`, and what ends in it, is loopback (RFC 6761 6.3).
 * - An answer counts from the address, port and question that were asked, by a socket and a number
 *   of its own for each question (RFC 5452). One that is cut has the addresses it has room for.
 * - Nobody answers: EAI_AGAIN. No such name, or no address of that family: EAI_NONAME.
 *
 * Called by lookup.ts. Read first: man 3 getaddrinfo, man 5 resolv.conf.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CODE } from '../gate/abi.ts';
import type { Ix } from '../libix/index.ts';
import { parseIpv4 } from '../wire/ipv4-text.ts';
import { parseIpv6 } from '../wire/ipv6-text.ts';
import {
  type Answer,
  isName,
  QUESTION_BYTES_MAX,
  readAnswer,
  TYPE_A,
  TYPE_AAAA,
  writeQuestion,
} from './dns-message.ts';
import { isLoopback } from './network.ts';
import { calledBack } from './ticks.ts';

/** How names are looked up: what hosts(5) and resolv.conf(5) of the machine say. */
export interface Names {
  /** In lower case. */
  hosts: { name: string; addresses: string[] }[];
  servers: string[];
  search: string[];
  ndots: number;
  timeoutMs: number;
  attempts: number;
}

/** Of libuv: what `oncomplete` of a lookup is given. */
export const EAI_AGAIN = -3001;
export const EAI_NONAME = -3008;

const DNS_PORT = 53;
/** Questions on their way at a time; their bytes lie in as many places, used in turn. */
const ASKED_MAX = 32;
const PLACES = 2 * ASKED_MAX;
const ID_MAX = 65_536;
const RCODE_NO_NAME = 3;
/** How often it is looked whether a socket has its port. */
const LOOK_MS = 1;
const LOOKS_MAX = 1000;

export type LookupFamily = 0 | 4 | 6;

/** What libix is to it: tests stand in for it. */
export type Sockets = Pick<Ix, 'udp' | 'alloc' | 'u8'>;

const wordsOf = (address: string): number | readonly number[] =>
  address.includes(':') ? (parseIpv6(address) ?? [0, 0, 0, 0]) : (parseIpv4(address) ?? 0);

export class Resolver {
  readonly #sockets: Sockets;
  readonly #names: Names;
  readonly #hosts: ReadonlyMap<string, readonly string[]>;
  #places: number | undefined;
  #nextPlace = 0;
  #asked = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #say: (line: string) => void;
  #hasSaid = false;

  /** `say` is told, once, what keeps it from all servers. */
  constructor(
    sockets: Sockets,
    names: Names,
    say: (line: string) => void = (line) => console.error(`ix: ${line}`),
  ) {
    this.#sockets = sockets;
    this.#say = say;
    this.#names = names;
    this.#hosts = new Map(names.hosts.map(({ name, addresses }) => [name, addresses]));
  }

  /** At least one address, IPv4's first; or EAI_*. */
  async lookup(asked: string, family: LookupFamily): Promise<string[] | number> {
    const isAbsolute = asked.endsWith('.');
    const name = (isAbsolute ? asked.slice(0, -1) : asked).toLowerCase();
    const known = this.#here(name);
    if (known !== undefined) {
      const fit = known.filter((each) => family === 0 || each.includes(':') === (family === 6));
      if (fit.length > 0) return fit;
    }
    if (!isName(name) || /(^|\.)localhost$/.test(name)) return EAI_NONAME;
    for (const each of isAbsolute ? [name] : this.#candidates(name)) {
      const found = await this.#ask(each, family);
      if (typeof found === 'number' || found.length > 0) return found;
    }
    return EAI_NONAME;
  }

  #here(name: string): readonly string[] | undefined {
    if (/(^|\.)localhost$/.test(name)) return ['127.0.0.1', '::1'];
    return this.#hosts.get(name);
  }

  #candidates(name: string): string[] {
    const { search, ndots } = this.#names;
    const longer = search.map((each) => `${name}.${each}`).filter(isName);
    return name.split('.').length > ndots ? [name, ...longer] : [...longer, name];
  }

  async #ask(name: string, family: LookupFamily): Promise<string[] | number> {
    const types = [...(family === 6 ? [] : [TYPE_A]), ...(family === 4 ? [] : [TYPE_AAAA])];
    const answers = await Promise.all(types.map((type) => this.#askAll(name, type)));
    const found = answers.flatMap((answer) => answer?.addresses ?? []);
    return found.length === 0 && answers.includes(undefined) ? EAI_AGAIN : found;
  }

  /** undefined: nobody can say. */
  async #askAll(name: string, type: number): Promise<Answer | undefined> {
    const { servers, attempts } = this.#names;
    const reached = servers.filter((server) => !isLoopback(server));
    if (reached.length === 0) {
      this.#sayOnce('names cannot be looked up: their servers are on the loopback of the host');
    }
    for (let attempt = 0; attempt < attempts; attempt++) {
      for (const server of reached) {
        const answer = await this.#askOne(server, name, type);
        if (answer?.rcode === 0 || answer?.rcode === RCODE_NO_NAME) return answer;
      }
    }
    return undefined;
  }

  async #askOne(server: string, name: string, type: number): Promise<Answer | undefined> {
    if (this.#asked === ASKED_MAX) await new Promise<void>((go) => void this.#waiting.push(go));
    else this.#asked += 1;
    try {
      return await this.#exchange(server, name, type);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#asked -= 1;
    }
  }

  async #exchange(server: string, name: string, type: number): Promise<Answer | undefined> {
    const { u8 } = this.#sockets;
    const memory = Buffer.from(u8.buffer as ArrayBuffer, u8.byteOffset, u8.byteLength);
    const to = wordsOf(server);
    const id = randomInt(ID_MAX);
    const told = Promise.withResolvers<Answer | undefined>();
    const tell = (answer?: Answer): void => calledBack(() => told.resolve(answer));
    const socket = this.#sockets.udp(0, {
      received: ({ source }, offset, length, _address, port) => {
        if (port !== DNS_PORT || !isFrom(source, to)) return;
        const answer = readAnswer(memory.subarray(offset, offset + length), id, name, type);
        if (answer !== undefined) tell(answer);
      },
      // No way leads there, or it is not allowed: nobody will answer.
      sent: (_socket, _bytes, code) => {
        if (code === CODE.OK || code === CODE.AGAIN) return;
        if (code === CODE.NO_ROUTE) this.#sayOnce(`no way leads to the name server ${server}`);
        tell();
      },
    });
    const late = setTimeout(() => told.resolve(undefined), this.#names.timeoutMs);
    try {
      for (let looks = 0; socket.port === 0 && looks < LOOKS_MAX; looks++) await sleep(LOOK_MS);
      const at = this.#place();
      const length = writeQuestion(memory.subarray(at, at + QUESTION_BYTES_MAX), id, name, type);
      if (!socket.send(at, length, to, DNS_PORT)) return undefined;
      return await told.promise;
    } finally {
      clearTimeout(late);
      socket.close();
    }
  }

  #sayOnce(problem: string): void {
    if (this.#hasSaid) return;
    this.#hasSaid = true;
    const remedy = 'name one in /etc/resolv.conf that the link, or --outbound nat, reaches';
    this.#say(`${problem}; ${remedy}`);
  }

  #place(): number {
    this.#places ??= this.#sockets.alloc(PLACES * QUESTION_BYTES_MAX);
    this.#nextPlace = (this.#nextPlace + 1) % PLACES;
    return this.#places + this.#nextPlace * QUESTION_BYTES_MAX;
  }
}

/** `source`: four words, IPv4 as ::ffff:a.b.c.d. */
const isFrom = (source: ArrayLike<number>, to: number | readonly number[]): boolean =>
  typeof to === 'number' ? source[3] === (to | 0) : to.every((word, i) => source[i] === (word | 0));

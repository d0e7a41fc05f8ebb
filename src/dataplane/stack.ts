/**
 * The stack of one elastic thread: wires the layers together and is all that the loop sees of them.
 *
 * - `receive` consumes a frame: Ethernet is checked here, the rest by the layers; every drop is
 *   counted by name.
 * - `advance` runs expired timers, `flush` lets TCP send what is due, `emit` writes event
 *   conditions.
 * - The loop's order: set `env.clock`, `advance`, `receive` each frame, `emit`, (the application
 *   and its calls), `flush`, `nic.kick`.
 *
 * Made by assembly.ts; called by the elastic thread, the simulator, and tests. Read first:
 * docs/ARCHITECTURE.md "One request, from frame to reply".
 */
import type { Frames } from '../arena/frames.ts';
import type { Wheel } from '../arena/wheel.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { EventSink } from '../gate/arrays.ts';
import { type Environment, FREE_FRAME, timerRanges } from '../net/both/environment.ts';
import { Identifications } from '../net/both/identification.ts';
import type { TcpLayer } from '../net/both/transport.ts';
import { Ip } from '../net/ip.ts';
import { Ipv4Input } from '../net/ipv4-input.ts';
import { Ipv6Input } from '../net/ipv6-input.ts';
import { Udp } from '../net/udp.ts';
import { Arp } from '../net/v4/arp.ts';
import { Ipv4Fragments } from '../net/v4/fragments.ts';
import { Icmp } from '../net/v4/icmp.ts';
import { Ipv4 } from '../net/v4/ipv4.ts';
import { Addresses6 } from '../net/v6/addresses.ts';
import { Destinations } from '../net/v6/destinations.ts';
import { Discovery } from '../net/v6/discovery.ts';
import { Ipv6Fragments } from '../net/v6/fragments.ts';
import { Icmp6 } from '../net/v6/icmpv6.ts';
import { Ipv6 } from '../net/v6/ipv6.ts';
import type { Tcp } from '../tcp/tcp.ts';
import { assert, VERIFY } from '../verify.ts';
import {
  ETH_DESTINATION,
  ETH_HEADER_BYTES,
  ETH_TAG,
  ETH_TAG_BYTES,
  ETH_TYPE,
  ETH_TYPE_ARP,
  ETH_TYPE_IPV4,
  ETH_TYPE_IPV6,
  ETH_VID,
  isTag,
  MAC_GROUP,
  macHigh,
  macLow,
} from '../wire/ethernet.ts';

const C_SHORT = COUNTER.ethShort;
const C_NOT_FOR_US = COUNTER.ethNotForUs;
const C_UNKNOWN_TYPE = COUNTER.ethUnknownType;
const C_VLAN = COUNTER.ethVlan;

/** What stands above IP in a stack: TCP (src/tcp/tcp.ts), or what takes notes in its place. */
export interface TcpAbove extends TcpLayer {
  /** Whether segments, or events, wait for the next iteration. */
  hasOutput(): boolean;
  hasEvents(): boolean;
  dropApplication(isGraceful: boolean): void;
}

export class Stack<T extends TcpAbove = Tcp> {
  readonly arp: Arp;
  readonly discovery: Discovery;
  readonly ip: Ip;
  readonly icmp: Icmp;
  readonly icmp6: Icmp6;
  readonly udp: Udp;
  readonly tcp: T;
  readonly #input: Ipv4Input;
  readonly #input6: Ipv6Input;
  readonly #fragments: Ipv4Fragments;
  readonly #fragments6: Ipv6Fragments;
  readonly #hasIpv6: boolean;
  readonly #env: Environment;
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #wheel: Wheel;
  readonly #ranges: ReturnType<typeof timerRanges>;
  readonly #macHigh: number;
  readonly #macLow: number;
  readonly #onTimer: (index: number) => void;

  /** `onTimer` is told of application timers that expire. */
  constructor(
    env: Environment,
    onTimer: (index: number) => void,
    makeTcp: (env: Environment, ip: Ip) => T,
  ) {
    const mac = new DataView(env.nic.mac.buffer, env.nic.mac.byteOffset, 6);
    const addresses = new Addresses6(env);
    const destinations = new Destinations(env);
    this.arp = new Arp(env, (neighbour) => this.tcp.neighbourFailed(neighbour, false));
    this.discovery = new Discovery(env, addresses, destinations, (neighbour) =>
      this.tcp.neighbourFailed(neighbour, true),
    );
    const ids = new Identifications(env.config.wireKey);
    const v4 = new Ipv4(env, this.arp, ids);
    const v6 = new Ipv6(env, addresses, destinations, this.discovery, ids);
    this.ip = new Ip(env, v4, v6);
    this.tcp = makeTcp(env, this.ip);
    this.icmp = new Icmp(env, v4, this.tcp);
    this.icmp6 = new Icmp6(env, v6, this.discovery, this.tcp);
    this.udp = new Udp(env, this.ip, this.icmp, this.icmp6);
    this.#fragments = new Ipv4Fragments(env, this.icmp);
    this.#fragments6 = new Ipv6Fragments(env, destinations, this.icmp6);
    this.#input = new Ipv4Input(env, v4, this.icmp, this.udp, this.tcp, this.#fragments);
    this.#input6 = new Ipv6Input(env, v6, this.icmp6, this.udp, this.tcp, this.#fragments6);
    this.#hasIpv6 = addresses.isOn;
    this.#env = env;
    this.#view = env.arena.view;
    this.#u8 = env.arena.u8;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#wheel = env.wheel;
    this.#ranges = timerRanges(env.limits);
    this.#macHigh = macHigh(mac, 0);
    this.#macLow = macLow(mac, 0);
    this.#onTimer = onTimer;
  }

  /** Consumes a received frame: `length` bytes from the Ethernet header at `offset`. */
  receive(offset: number, length: number): void {
    if (this.#ethernet(offset, length) === FREE_FRAME) this.#frames.free(offset);
  }

  #ethernet(offset: number, length: number): number {
    if (VERIFY) assert(this.#frames.isReceive(offset), 'stack: received outside the receive pool');
    if (length < ETH_HEADER_BYTES) {
      this.#counters.bump(C_SHORT);
      return FREE_FRAME;
    }
    const view = this.#view;
    const high = macHigh(view, offset + ETH_DESTINATION);
    const isOurs = high === this.#macHigh && macLow(view, offset) === this.#macLow;
    if (!isOurs && (high & MAC_GROUP) === 0) {
      this.#counters.bump(C_NOT_FOR_US);
      return FREE_FRAME;
    }
    const type = view.getUint16(offset + ETH_TYPE);
    if (type === ETH_TYPE_IPV4) return this.#input.input(offset, length, !isOurs);
    if (type === ETH_TYPE_IPV6 && this.#hasIpv6) {
      return this.#input6.input(offset, length, !isOurs);
    }
    if (isTag(type)) return this.#tagged(offset, length);
    if (type === ETH_TYPE_ARP) this.arp.input(offset, length);
    else this.#counters.bump(C_UNKNOWN_TYPE);
    return FREE_FRAME;
  }

  /**
   * A tag that names no VLAN is taken off, as Linux does; we are in no VLAN, and one tag is enough
   * (IEEE 802.1Q 6.9).
   */
  #tagged(offset: number, length: number): number {
    const inner = offset + ETH_TAG_BYTES;
    if (length < ETH_HEADER_BYTES + ETH_TAG_BYTES) {
      this.#counters.bump(C_SHORT);
      return FREE_FRAME;
    }
    const vid = this.#view.getUint16(offset + ETH_TAG) & ETH_VID;
    if (vid !== 0 || isTag(this.#view.getUint16(inner + ETH_TYPE))) {
      this.#counters.bump(C_VLAN);
      return FREE_FRAME;
    }
    this.#u8.copyWithin(inner, offset, offset + ETH_TYPE);
    return this.#ethernet(inner, length - ETH_TAG_BYTES);
  }

  /** Runs every timer that is due at `env.clock`. */
  advance(): void {
    const now = this.#env.clock.us;
    for (let timer = this.#wheel.expire(now); timer >= 0; timer = this.#wheel.expire(now)) {
      if (timer < this.#ranges.application) this.tcp.expire(timer);
      else if (timer < this.#ranges.arp) this.#onTimer(timer - this.#ranges.application);
      else if (timer < this.#ranges.ndp) this.arp.expire(timer - this.#ranges.arp);
      else if (timer < this.#ranges.reassembly) {
        this.discovery.ndp.expire(timer - this.#ranges.ndp);
      } else if (timer === this.#ranges.reassembly) this.#fragments.expire();
      else if (timer === this.#ranges.reassembly6) this.#fragments6.expire();
      else this.discovery.expire();
    }
  }

  /**
   * Frames flow from now on: neighbours hear of us, and of our IPv6 addresses when they are ours.
   */
  start(): void {
    // The wheel learns what time it is before its first timer: the last quarter of a round looks
    // like the past to a new one.
    this.advance();
    this.arp.announce();
    this.discovery.start();
  }

  /**
   * The link is up again after it was down: whoever is behind it has forgotten us, or is somebody
   * else.
   */
  linkUp(): void {
    this.arp.announce();
    this.discovery.linkUp();
  }

  /** Sends what is due. The loop kicks the driver afterwards. */
  flush(): void {
    this.tcp.flush();
  }

  /**
   * Whether segments or events wait for the next iteration (no frame, no room): no time to sleep.
   */
  hasPending(): boolean {
    return this.tcp.hasOutput() || this.tcp.hasEvents();
  }

  /** Appends the event conditions of this iteration; what finds no room waits for the next. */
  emit(sink: EventSink): void {
    this.tcp.emit(sink);
    this.udp.emit(sink);
  }

  /**
   * The application is gone: its listeners, sockets and flows end (by RST, or FIN), all it held
   * comes back.
   */
  dropApplication(isGraceful = false): void {
    this.tcp.dropApplication(isGraceful);
    this.udp.closeAll();
  }

  /**
   * Gives back every frame that the layers below TCP hold: before the pools are checked or the
   * dataplane ends.
   */
  close(): void {
    this.arp.close();
    this.discovery.close();
    this.udp.closeAll();
  }
}

/**
 * Every order of the steps of both sides of domain process (programs.ts) within bounds, and what
 * must hold in each.
 *
 * - A world is where both sides are, and what lies between them: eight words, two futexes, two
 *   eventfds, frames on the wire. Two orders that lead to the same world are one from there on.
 * - Besides the sides' own steps: a frame comes, a wait times out, the application dies (between
 *   any two of its steps), the dataplane is told, another application starts.
 * - Bounds: so many frames, own calls and deaths, so many readings of the clock that stand and go
 *   on. A side that has used them up finds at each reading that much time has passed, so every
 *   side comes to rest.
 */
import assert from 'node:assert/strict';
import type { Placement } from '../../src/child/config.ts';
import { COUNTER } from '../../src/counters.ts';
import { WAITING } from '../../src/gate/arrays.ts';
import { EAGAIN, ETIMEDOUT } from '../../src/native/sys.ts';
import { application, dataplane, WORD } from './programs.ts';
import { FD, LOOP, Point, STEP } from './side.ts';

export interface Bounds {
  placement: Placement;
  frames: number;
  /** Turns that the application asks for by itself, besides the one of its start. */
  own: number;
  deaths: number;
  /** Of each side: readings of the clock that may stand; times that a long while passes. */
  stills: number;
  jumps: number;
  /** An application starts only when the dataplane sleeps: fewer orders, to go deeper otherwise. */
  startsAtRest: boolean;
  /** How often a side is stopped although it could go on; Infinity: every order is tried. */
  switches: number;
  /** The first turn's number. */
  turn: number;
}

const WORDS = Object.values(WORD);
const DATAPLANE = 0;
const APPLICATION = 1;

/** What lies between the sides, and what has been seen of them. */
interface Between {
  words: number[];
  bell: number;
  wake: number;
  frames: number;
  framesLeft: number;
  ownLeft: number;
  deathsLeft: number;
  /** The application: not started, alive, or dead and the dataplane not yet told. */
  life: 'none' | 'alive' | 'dead';
  /** The word that a side sleeps on, -1: none; -2: it was woken. */
  sleepsOn: [number, number];
  /** Whose the arrays are. */
  owner: number;
  isInTurn: boolean;
  /** The last turn that an application entered, and that the dataplane took back. */
  entered: number;
  /** Events of the turn that was given. */
  published: number;
  isLate: boolean;
  /** Who moved last, and how often the other may still be put before it. */
  last: number;
  switchesLeft: number;
}

interface World {
  sides: [Point, Point | null];
  between: Between;
  /** How it came to be. */
  before: World | null;
  what: string;
}

const keyOf = ({ sides, between: b }: World): string =>
  (b.switchesLeft === Number.POSITIVE_INFINITY ? '' : `${b.last} ${b.switchesLeft} `) +
  `${sides[0].id} ${sides[1]?.id} ${b.words} ${b.bell} ${b.wake} ${b.frames} ${b.framesLeft} ` +
  `${b.ownLeft} ${b.deathsLeft} ${b.life} ${b.sleepsOn} ${b.owner} ${b.isInTurn} ${b.entered} ` +
  `${b.published} ${b.isLate}`;

const nameOf = <T extends object>(names: T, value: number): string =>
  Object.entries(names).find(([, known]) => known === value)?.[0] ?? String(value);

const AFTER: Record<number, (p: Point) => string> = {
  [STEP.load]: (p) => nameOf(WORD, p.a),
  [STEP.store]: (p) => `${nameOf(WORD, p.a)} = ${p.b}`,
  [STEP.futexWait]: (p) => `${nameOf(WORD, p.a)} while ${p.b}`,
  [STEP.futexWake]: (p) => nameOf(WORD, p.a),
  [STEP.ring]: (p) => nameOf(FD, p.a),
  [STEP.drain]: (p) => nameOf(FD, p.a),
  [STEP.count]: (p) => nameOf(COUNTER, p.a),
};

/** What a world is refused for, with the way to it. */
function refuse(world: World, why: string): never {
  const steps: string[] = [];
  for (let w: World | null = world; w?.before; w = w.before) steps.unshift(w.what);
  throw new assert.AssertionError({ message: `${why}, after\n  ${steps.join('\n  ')}` });
}

export class Explorer {
  readonly #bounds: Bounds;
  #roots!: [Point, Point];
  readonly #seen = new Set<string>();
  readonly #open: World[] = [];
  /** Worlds in which everybody sleeps. */
  rests = 0;
  /** What happened at least once. */
  readonly met = new Set<string>();

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  run(): void {
    const { turn, frames, own, deaths, placement } = this.#bounds;
    this.#roots = [new Point(dataplane(placement)), new Point(application(placement))];
    const words = new Array(Math.max(...WORDS) + 1).fill(0);
    words[WORD.turn] = turn;
    words[WORD.done] = turn;
    const between: Between = {
      ...{ words: WORDS.map((word) => words[word]), bell: 0, wake: 0, frames: 0 },
      ...{ framesLeft: frames, ownLeft: own, deathsLeft: deaths, life: 'dead' },
      ...{ sleepsOn: [-1, -1], owner: DATAPLANE, isInTurn: false, entered: turn, published: 0 },
      ...{ isLate: false, last: DATAPLANE, switchesLeft: this.#bounds.switches },
    };
    this.#add({ sides: [this.#roots[0], null], between, before: null, what: '' });
    for (let world = this.#open.pop(); world; world = this.#open.pop()) {
      this.#from(world);
    }
  }

  #add(world: World): void {
    const key = keyOf(world);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#open.push(world);
  }

  /**
   * All worlds that come next. Where a side's step is its own affair, what else could come first
   * can as well come after it, so nothing else is tried.
   */
  #from(world: World): void {
    const { between, sides } = world;
    const dataplaneRests = sides[DATAPLANE].kind === STEP.loop && sides[DATAPLANE].a === 0;
    if (between.life === 'none' && (dataplaneRests || !this.#bounds.startsAtRest)) {
      return this.#start(world);
    }
    for (const who of [DATAPLANE, APPLICATION]) {
      if (sides[who as 0] && this.#isOwnAffair(world, who)) return void this.#move(world, who);
    }
    const can = [this.#canMove(world, DATAPLANE), this.#canMove(world, APPLICATION)];
    for (const who of [DATAPLANE, APPLICATION]) {
      // Alone in its event loop an application may still want something of its own.
      if (!can[who] && sides[who as 0]?.kind !== STEP.loop) continue;
      const isSwitch = between.last !== who && can[between.last] === true;
      const switchesLeft = between.switchesLeft - (isSwitch ? 1 : 0);
      if (switchesLeft < 0) continue;
      this.#move({ ...world, between: { ...between, last: who, switchesLeft } }, who);
    }
    if (!can[DATAPLANE] && !can[APPLICATION] && between.life !== 'dead') this.#rest(world);
    for (const who of [DATAPLANE, APPLICATION]) this.#timeOut(world, who);
    const { frames, framesLeft } = between;
    const looks = sides[DATAPLANE].kind === STEP.frames || sides[DATAPLANE].kind === STEP.loop;
    if (framesLeft > 0 && looks) {
      this.#next(world, 'a frame', sides, { frames: frames + 1, framesLeft: framesLeft - 1 });
    }
    if (between.life === 'alive' && between.deathsLeft > 0) this.#die(world);
  }

  /** Words of the arrays proper are their owner's alone, which is checked. */
  #isOwnAffair({ sides, between }: World, who: number): boolean {
    const { kind, a } = sides[who as 0];
    if (kind === STEP.load || kind === STEP.store) return a === WORD.events || a === WORD.calls;
    if (kind === STEP.loop && a > 0) {
      return who === DATAPLANE
        ? between.deathsLeft === 0 && between.life === 'alive'
        : between.ownLeft === 0;
    }
    return [STEP.clock, STEP.count, STEP.enter, STEP.leave].includes(kind as 6);
  }

  #next(
    world: World,
    what: string,
    sides: World['sides'],
    changed: Partial<Between> = {},
    word = -1,
    value = 0,
  ): void {
    const words = word < 0 ? world.between.words : [...world.between.words];
    if (word >= 0) words[WORDS.indexOf(word)] = value;
    const between = { ...world.between, words, ...changed };
    this.#add({ sides, between, before: world, what });
  }

  /** The application's process has begun; its predecessor's is over. */
  #start(world: World): void {
    this.met.add('start');
    this.#next(world, 'an application starts', [world.sides[0], this.#roots[1]], { life: 'alive' });
  }

  #die(world: World): void {
    this.met.add('death');
    const { deathsLeft, sleepsOn } = world.between;
    this.#next(world, 'the application dies', [world.sides[0], null], {
      ...{ life: 'dead', deathsLeft: deathsLeft - 1 },
      ...{ isInTurn: false, sleepsOn: [sleepsOn[0], -1] },
    });
  }

  #timeOut(world: World, who: number): void {
    const side = world.sides[who as 0];
    if (!side || world.between.sleepsOn[who as 0] < 0) return;
    const isAlone = world.between.life === 'dead'; // nobody is there to wake it
    if (side.jumps >= this.#bounds.jumps && !isAlone) return;
    this.met.add(who === DATAPLANE ? 'late' : 'idle');
    this.#step(world, who, -ETIMEDOUT, { sleepsOn: this.#sleeps(world, who, -1) }, true);
  }

  #sleeps(world: World, who: number, word: number): [number, number] {
    const [a, b] = world.between.sleepsOn;
    return who === DATAPLANE ? [word, b] : [a, word];
  }

  #word(world: World, word: number): number {
    return world.between.words[WORDS.indexOf(word)]!;
  }

  /** A side's step is done, with this result. */
  #step(
    world: World,
    who: number,
    result: number,
    changed: Partial<Between> = {},
    isLong = false,
    word = -1,
    value = 0,
  ): void {
    const side = world.sides[who as 0];
    const after = side.after(result, isLong);
    const sides: World['sides'] =
      who === DATAPLANE ? [after, world.sides[1]] : [world.sides[0], after];
    const text = `${nameOf(STEP, side.kind)} ${AFTER[side.kind]?.(side) ?? ''}`.trim();
    const name = who === DATAPLANE ? 'dataplane' : '          application';
    const what = `${name}: ${text} -> ${result}`;
    this.#next(world, what, sides, changed, word, value);
  }

  /** False: it sleeps, or is not there. */
  #canMove(world: World, who: number): boolean {
    const side = world.sides[who as 0];
    if (!side) return false;
    if (side.kind === STEP.loop) return this.#brought(world, who).length > 0;
    return side.kind !== STEP.futexWait || world.between.sleepsOn[who as 0] < 0;
  }

  /** What a side's event loop has for it. */
  #brought(world: World, who: number): number[] {
    const { a: immediates, b: armed } = world.sides[who as 0];
    const { bell, wake, frames, life } = world.between;
    const brought: number[] = [];
    if (immediates > 0) brought.push(LOOP.immediate);
    if ((armed & FD.nic) !== 0 && frames > 0) brought.push(LOOP.nic);
    if ((armed & FD.bell) !== 0 && bell > 0) brought.push(LOOP.bell);
    if ((armed & FD.wake) !== 0 && wake > 0) brought.push(LOOP.wake);
    if (who === DATAPLANE && life === 'dead') brought.push(LOOP.gone);
    return brought;
  }

  /** All that a side can do now by itself. */
  #move(world: World, who: number): void {
    const side = world.sides[who as 0];
    const { between } = world;
    const { a, b } = side;
    switch (side.kind) {
      case STEP.load: {
        this.#checkLoad(world, who, a);
        return this.#step(world, who, this.#word(world, a));
      }
      case STEP.store:
        return this.#step(world, who, 0, this.#stored(world, who, a, b), false, a, b);
      case STEP.futexWait:
        return this.#wait(world, who, a, b);
      case STEP.futexWake: {
        const other = 1 - who;
        const isThere = between.sleepsOn[other as 0] === a;
        const changed = isThere ? { sleepsOn: this.#sleeps(world, other, -2) } : {};
        return this.#step(world, who, isThere ? 1 : 0, changed);
      }
      case STEP.ring:
        return this.#step(world, who, 1, a === FD.bell ? { bell: 1 } : { wake: 1 });
      case STEP.drain:
        return this.#step(world, who, 8, a === FD.bell ? { bell: 0 } : { wake: 0 });
      case STEP.clock:
        return this.#tell(world, who);
      case STEP.frames:
        return this.#step(world, who, between.frames, { frames: 0 });
      case STEP.loop:
        return this.#loop(world, who);
      case STEP.enter:
        return this.#enter(world);
      case STEP.leave:
        if (a !== between.published) refuse(world, `${a} events seen of ${between.published}`);
        return this.#step(world, who, 0, { isInTurn: false });
      case STEP.count:
        return this.#counted(world, a);
      default:
        return this.#vacant(world);
    }
  }

  #wait(world: World, who: number, word: number, expected: number): void {
    const sleepsOn = world.between.sleepsOn[who as 0];
    if (sleepsOn === -2) {
      return this.#step(world, who, 0, { sleepsOn: this.#sleeps(world, who, -1) });
    }
    if (this.#word(world, word) !== expected) return this.#step(world, who, -EAGAIN);
    const changed = { sleepsOn: this.#sleeps(world, who, word) };
    this.#next(
      world,
      `${who === DATAPLANE ? 'dataplane' : 'application'} sleeps`,
      world.sides,
      changed,
    );
  }

  #tell(world: World, who: number): void {
    const { stills, jumps } = world.sides[who as 0];
    const mayStand = who === APPLICATION || stills < this.#bounds.stills;
    if (mayStand) this.#step(world, who, 0);
    if (!mayStand) this.#step(world, who, 1);
    else if (jumps < this.#bounds.jumps) this.#step(world, who, 1, {}, true);
  }

  #loop(world: World, who: number): void {
    for (const what of this.#brought(world, who)) this.#step(world, who, what);
    const { ownLeft } = world.between;
    if (who === DATAPLANE || ownLeft === 0) return;
    this.#step(world, who, LOOP.own, { ownLeft: ownLeft - 1 });
  }

  /** Only the owner may look at the other's array. */
  #checkLoad(world: World, who: number, word: number): void {
    if (who === DATAPLANE && word === WORD.calls) this.#checkOwner(world, who, 'takes the calls');
  }

  #checkOwner(world: World, who: number, doing: string): void {
    const { owner, isInTurn } = world.between;
    const name = who === DATAPLANE ? 'the dataplane' : 'the application';
    if (owner !== who) refuse(world, `${name} ${doing} although the arrays are not its`);
    if (who === DATAPLANE && isInTurn) refuse(world, `${name} ${doing} during a turn`);
  }

  #stored(world: World, who: number, word: number, value: number): Partial<Between> {
    const isLeaving = who === DATAPLANE && world.between.life !== 'alive';
    if (who === DATAPLANE && word === WORD.events) {
      this.#checkOwner(world, who, 'publishes');
      return { published: value };
    }
    if (word === WORD.calls && !isLeaving) this.#checkOwner(world, who, 'writes calls');
    if (word === WORD.turn) {
      this.#checkOwner(world, who, 'gives a turn');
      return { owner: APPLICATION };
    }
    if (word === WORD.done && !isLeaving) {
      this.#checkOwner(world, who, 'ends a turn');
      if (world.between.isInTurn) refuse(world, 'a turn ends while it runs');
      if (value !== this.#word(world, WORD.turn)) refuse(world, `turn ${value} ends`);
      return { owner: DATAPLANE };
    }
    return {};
  }

  #enter(world: World): void {
    const turn = this.#word(world, WORD.turn);
    this.#checkOwner(world, APPLICATION, 'enters a turn');
    if (world.between.isInTurn) refuse(world, 'a turn is entered while it runs');
    if (turn === world.between.entered) refuse(world, `turn ${turn} is entered twice`);
    this.met.add('turn');
    return this.#step(world, APPLICATION, 0, { isInTurn: true, entered: turn });
  }

  #counted(world: World, counter: number): void {
    const isLate = counter === COUNTER.applicationLate;
    if (isLate === world.between.isLate) {
      refuse(world, `${nameOf(COUNTER, counter)} is told ${isLate ? 'twice' : 'of nobody late'}`);
    }
    this.met.add(isLate ? 'told late' : 'told back');
    return this.#step(world, DATAPLANE, 0, { isLate });
  }

  /** Death has given everything back. */
  #vacant(world: World): void {
    const of = (word: number): number => this.#word(world, word);
    const { isLate } = world.between;
    if (isLate) refuse(world, 'nobody is there, and it is late');
    if (of(WORD.done) !== of(WORD.turn)) refuse(world, 'nobody is there, and has a turn');
    if (of(WORD.waiting) !== WAITING.absent) refuse(world, 'nobody is there, and is waited for');
    const left = [WORD.again, WORD.away, WORD.waited, WORD.calls].filter((word) => of(word) !== 0);
    if (left.length > 0) refuse(world, `nobody is there, and left ${nameOf(WORD, left[0]!)}`);
    return this.#step(world, DATAPLANE, 0, { life: 'none', owner: DATAPLANE });
  }

  /** Everybody sleeps: nobody may have something to do. */
  #rest(world: World): void {
    this.rests++;
    const { owner } = world.between;
    const of = (word: number): number => this.#word(world, word);
    if (owner === APPLICATION) refuse(world, 'the application sleeps and has a turn');
    const { sleepsOn } = world.between;
    if (sleepsOn[0] >= 0) refuse(world, 'the dataplane waits for who has come back');
    if (of(WORD.again) !== 0) refuse(world, 'the dataplane sleeps although a turn is asked for');
    if (of(WORD.away) !== 0) refuse(world, 'the dataplane sleeps and has not seen who is back');
  }
}

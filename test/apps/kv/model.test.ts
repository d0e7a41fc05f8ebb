/** Random commands under virtual time against a Map, and the store's accounts after every run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assertAllHome, assertSame, startKv } from './fixture.ts';

interface Entry {
  flags: number;
  value: string;
  /** Second at which it is gone; Infinity: never. */
  ends: number;
}

/** What memcached would answer, on a Map. */
class Model {
  readonly items = new Map<string, Entry>();
  now = 0;
  flushAt = Number.POSITIVE_INFINITY;

  get(key: string): Entry | undefined {
    const entry = this.items.get(key);
    if (entry && entry.ends > this.now) return entry;
    this.items.delete(key);
    return undefined;
  }

  advance(seconds: number): void {
    this.now += seconds;
    if (this.flushAt > this.now) return;
    this.items.clear();
    this.flushAt = Number.POSITIVE_INFINITY;
  }

  ends(exptime: number): number {
    if (exptime === 0) return Number.POSITIVE_INFINITY;
    return exptime < 0 ? Number.NEGATIVE_INFINITY : this.now + exptime;
  }

  store(verb: string, key: string, entry: Entry): string {
    const old = this.get(key);
    if (verb === 'add' ? old : verb !== 'set' && !old) return 'NOT_STORED\r\n';
    if (verb === 'append') entry = { ...old!, value: old!.value + entry.value };
    if (verb === 'prepend') entry = { ...old!, value: entry.value + old!.value };
    this.items.set(key, entry);
    return 'STORED\r\n';
  }

  change(key: string, delta: bigint): string {
    const entry = this.get(key);
    if (!entry) return 'NOT_FOUND\r\n';
    if (!/^\d+ *$/.test(entry.value) || BigInt(entry.value) >= 2n ** 64n) {
      return 'CLIENT_ERROR cannot increment or decrement non-numeric value\r\n';
    }
    const sum = BigInt(entry.value) + delta;
    const text = (sum < 0n ? 0n : BigInt.asUintN(64, sum)).toString();
    entry.value = text.padEnd(entry.value.length);
    return `${text}\r\n`;
  }
}

/** Data bytes of a piece. */
const PIECE_DATA = 16_364;
/** A long value in which every stretch is another; or a number with as many blanks behind it. */
const wide = (length: number, isNumber = false): string => {
  if (isNumber) return '41'.padEnd(length);
  let text = '';
  for (let i = 0; text.length < length; i += 997) text += `${i},`.repeat(200);
  return text.slice(0, length);
};

const key = fc.constantFrom('a', 'b', 'c', 'k'.repeat(250));
const value = fc.oneof(
  fc.string({ maxLength: 40 }).map((text) => `_${text.replace(/[^ -~]/g, '')}`),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  fc.nat(30_000).map((length) => 'z'.repeat(length)),
  // Chained items: of any length, and around the places where a piece, or only the tail, is one
  // more.
  fc.integer({ min: 60_000, max: 300_000 }).map(wide),
  fc
    .tuple(fc.integer({ min: 4, max: 9 }), fc.integer({ min: -60, max: 400 }), fc.boolean())
    .map(([pieces, off, isNumber]) => wide(pieces * PIECE_DATA + off, isNumber)),
);
const exptime = fc.constantFrom(0, 0, -1, 1, 2, 5, 100);
const command = fc.oneof(
  fc.record({
    kind: fc.constantFrom('set', 'set', 'add', 'replace', 'append', 'prepend'),
    key, value, exptime,
    flags: fc.constantFrom(0, 1, 65_535, 4_294_967_295),
  }), // biome-ignore format: the fields of a request
  fc.record({ kind: fc.constant('get'), keys: fc.array(key, { minLength: 1, maxLength: 5 }) }),
  fc.record({ kind: fc.constant('gat'), key, exptime }),
  fc.record({ kind: fc.constant('delete'), key }),
  fc.record({ kind: fc.constant('touch'), key, exptime }),
  fc.record({
    kind: fc.constantFrom('incr', 'decr'),
    key,
    delta: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 20n })),
  }),
  fc.record({ kind: fc.constant('flush_all'), delay: fc.constantFrom(0, 0, 3, 10) }),
  fc.record({ kind: fc.constant('advance'), seconds: fc.constantFrom(1, 2, 7) }),
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

const shown = (model: Model, name: string): string => {
  const entry = model.get(name);
  return entry ? `VALUE ${name} ${entry.flags} ${entry.value.length}\r\n${entry.value}\r\n` : '';
};

/** One command's bytes and the answer the model gives. */
function apply(model: Model, step: Command): [string, string] {
  if ('value' in step) {
    const { kind, flags, value: text } = step;
    const line = `${kind} ${step.key} ${flags} ${step.exptime} ${text.length}\r\n${text}\r\n`;
    return [
      line,
      model.store(kind, step.key, { flags, value: text, ends: model.ends(step.exptime) }),
    ];
  }
  if ('keys' in step) {
    const hits = step.keys.map((name) => shown(model, name)).join('');
    return [`get ${step.keys.join(' ')}\r\n`, `${hits}END\r\n`];
  }
  if ('delta' in step) {
    const delta = step.kind === 'incr' ? step.delta : -step.delta;
    return [`${step.kind} ${step.key} ${step.delta}\r\n`, model.change(step.key, delta)];
  }
  if ('delay' in step) {
    // memcached's delayed flush comes one second early.
    model.flushAt = step.delay === 0 ? model.now : model.now + step.delay - 1;
    model.advance(0);
    return [`flush_all ${step.delay}\r\n`, 'OK\r\n'];
  }
  if (!('key' in step)) return ['', ''];
  const entry = model.get(step.key);
  if (step.kind === 'delete') {
    model.items.delete(step.key);
    return [`delete ${step.key}\r\n`, entry ? 'DELETED\r\n' : 'NOT_FOUND\r\n'];
  }
  const seconds = (step as { exptime: number }).exptime;
  const answer =
    step.kind === 'gat'
      ? `${shown(model, step.key)}END\r\n`
      : entry
        ? 'TOUCHED\r\n'
        : 'NOT_FOUND\r\n';
  if (entry) entry.ends = model.ends(seconds);
  const line =
    step.kind === 'gat' ? `gat ${seconds} ${step.key}\r\n` : `touch ${step.key} ${seconds}\r\n`;
  return [line, answer];
}

test('randomCommandsUnderVirtualTime_answerAsAMap', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  console.log(`# model: SEED=${seed}`);
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 60 }),
      fc.boolean(),
      fc.integer({ min: 2000, max: 400_000 }),
      (steps, isLate, size) => {
        const kv = startKv(16);
        const model = new Model();
        kv.c.isEager = !isLate;
        let expected = '';
        for (const step of steps) {
          if ('seconds' in step) {
            kv.ix.advance(step.seconds);
            model.advance(step.seconds);
            continue;
          }
          const [bytes, answer] = apply(model, step);
          kv.c.deliverInPieces(bytes, size);
          while (kv.c.waiting > 0) kv.c.acknowledge(); // else it would run at a later time
          expected += answer;
        }
        kv.c.acknowledge();
        assertSame(kv.c.output(), expected);
        kv.c.ask('version\r\n'); // the store looks at the clock when something arrives
        kv.store.purge(false);
        const live = [...model.items.keys()].filter((name) => model.get(name)).length;
        if (model.flushAt === Number.POSITIVE_INFINITY)
          assert.equal(kv.store.counts.get('curr_items'), live);
        assertAllHome(kv);
      },
    ),
    { seed, numRuns: Number(process.env['IX_RUNS'] ?? 400) },
  );
});

/**
 * The same meta commands to memcached 1.6.18 and to the store: the answers must be the same bytes.
 *
 * Normalised: cas numbers, which each side counts by itself; of `me` what depends on the clock, on
 * sizes of items and classes; times to live, which ours does not shorten while the test runs, to
 * tens of seconds.
 *
 * Not sent, because 1.6.45, which ours follows, answers otherwise than 1.6.18 (meta.test.ts has
 * what ours says):
 * - the flags E and x, which 1.6.18 does not know; `s` of ms, which it ignores, and N of ms, with
 *   which 1.6.18 stores nothing;
 * - client flags above 32 bits, which it cuts; modes of more than one letter, which it refuses;
 * - what is wrong with the flags of md (it says one thing of all), an ma key of 251 bytes (now as a
 *   wrong flag), q of an ma that vivifies (it answered), commands without a key (ERROR); lines of
 *   exactly 20 words (too long); C of mg, which it ignores;
 * - `me` with `b`.
 * Not sent, because ours differs on purpose:
 * - a key in base64 that `mg` vivifies, or that append, prepend or incr replace: memcached forgets
 *   that it was base64, ours does not;
 * - an opaque token that is too long with something else that is wrong, or with a side effect: ours
 *   refuses the line before anything happens;
 * - T of an ma that makes a number longer, which memcached sets on the item that it has replaced;
 * - `ms` lines with a key that is too long, whose value 1.6.18 reads as a command;
 * - `ms` lines that do not say beyond doubt how long their value is: ours closes the connection
 *   (refusals.ts).
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertAllHome, assertSame, type Fixture, seeded, startKv } from './fixture.ts';
import { Memcached } from './memcached.ts';

const reason = Memcached.missing();
const skip = reason ?? false;
let oracle: Memcached;
let kv: Fixture;
before(async () => {
  if (reason) return;
  oracle = await Memcached.start('-o', 'no_modern');
  kv = startKv(64);
});
after(async () => {
  if (reason) return;
  await oracle.stop();
  assertAllHome(kv);
});

const normal = (answer: string): string =>
  answer
    .replace(/^((?:HD|VA \d+|EX|NS|NF)(?: [^c\r\n][^ \r\n]*)*) c[1-9]\d*/gm, '$1 cN')
    .replace(/ t42949\d{5}/g, ' tOVER')
    .replace(/ t(\d{1,7})(?=[ \r])/g, (_, seconds) => ` t${Math.ceil(Number(seconds) / 10)}0`)
    .replace(/ exp=(-?\d+) la=\d+ cas=\d+ (fetch=\w+) cls=\d+ size=\d+/g, (_, exp, fetched) =>
      exp === '-1' ? ` ${fetched}` : ` exp ${fetched}`,
    )
    .replace(/^(VALUE [^ ]+ \d+ \d+) \d+(?=\r\n)/gm, '$1 CAS');

/** 1.6.18 says the same of everything that is wrong with the flags of md. */
const normalOf = (step: string, answer: string): string =>
  normal(
    step.startsWith('md ')
      ? answer.replace(
          /^CLIENT_ERROR (?:duplicate flag|invalid flag|bad .*|invalid n.*|error d.*)(?=\r)/gm,
          'CLIENT_ERROR invalid or duplicate flag',
        )
      : answer,
  );

/** The cas that was told last. */
const lastCas = (told: string): string =>
  [...told.matchAll(/^(?:HD|VA).* c([1-9]\d*)/gm)].at(-1)?.[1] ?? '99999999999';

async function compare(
  steps: readonly string[],
  cut: (n: number) => number = (n) => n,
): Promise<void> {
  const ours = kv.ix.connect();
  const theirs = await oracle.connect();
  let answer = '';
  let mineAll = '';
  let yoursAll = '';
  for (const step of steps) {
    const mine = step.replaceAll('{cas}', lastCas(answer));
    const yours = step.replaceAll('{cas}', lastCas(theirs.received));
    for (let at = 0; at < mine.length; ) ours.deliver(mine.slice(at, (at += cut(mine.length))));
    ours.acknowledge();
    const told = ours.output();
    answer += told;
    const { length } = normalOf(step, told);
    const before = theirs.received.length;
    await theirs.ask(yours, (received) => normalOf(step, received).length >= length);
    mineAll += normalOf(step, told);
    yoursAll += normalOf(step, theirs.received.slice(before));
  }
  ours.die();
  const end = theirs.received.length;
  yoursAll += (await theirs.finish()).slice(end);
  assertSame(mineAll, yoursAll, JSON.stringify(steps).slice(0, 2000));
}

const START = 'flush_all\r\nset a 5 0 3\r\nabc\r\nset n 7 0 2\r\n10\r\n';
const CHECK = ['mg a v f t s k\r\n', 'mg n v f t s k h\r\n', 'mn\r\n'];
const K250 = 'k'.repeat(250);
const TOKENS = [
  '', '0', '1', '30', '-1', '100', 'x', '5x', '+5', '2592001', '4294967295', '4294967296', '9999999999999999999',
  '18446744073709551615', '18446744073709551616', '-5', '1.5', '\t5', '5\t',
]; // biome-ignore format: a table
const KEYS = ['a', 'n', 'none', K250, 'YQ==', 'YQ=', '!', 'Y!Q=='];
const PLAIN = ['b', 'k', 's', 't', 'c', 'f', 'v', 'h', 'u', 'q', 'l'];

test('everyFlag_eachToken_everyCommand_sameAnswer', { skip }, async () => {
  let compared = 0;
  for (const verb of ['mg', 'md', 'ma', 'ms']) {
    const lines: string[] = [];
    for (const letter of 'TNRFCJDIMOPLbkstcfvhuqlSWXZ5#@~A') {
      for (const token of TOKENS) {
        if (letter === 'F' && token.length > 9) continue;
        if (letter === 'M' && token.length !== 1) continue;
        if (letter === 'C' && (verb === 'mg' || token === '1')) continue;
        if (verb === 'ms' && 's5#@~'.includes(letter)) continue;
        lines.push(`${verb} a${verb === 'ms' ? ' 3' : ''} ${letter}${token} k t`);
        lines.push(`${verb} n${verb === 'ms' ? ' 3' : ''} v t ${letter}${token}`);
        lines.push(`${verb} none${verb === 'ms' ? ' 3' : ''} ${letter}${token} v t k`);
      }
    }
    for (const line of lines) {
      if (/ (\S)\S* .*\b\1(?= |$)/.test(line) && / t.* t| k.* k| v.* v/.test(line)) continue;
      const block = verb === 'ms' ? '\r\nxyz\r\n' : '\r\n';
      await compare([START, `${line}${block}`, ...CHECK, 'mg none v t\r\n']);
      compared++;
    }
  }
  assert.ok(compared > 1500, `${compared} lines compared`);
});

test('keys_everyCommand_sameAnswer', { skip }, async () => {
  for (const key of KEYS) {
    for (const rest of ['', ' k', ' b', ' b k', ' k b O7', ' q', ' q k']) {
      await compare([
        START,
        `mg ${key}${rest} v\r\n`,
        `ms ${key} 2${rest} c\r\n11\r\n`,
        `mg ${key}${rest} v c f t s\r\n`,
        key.length > 250 ? 'mn\r\n' : `ma ${key}${rest}\r\n`,
        `md ${key}${rest} I T50\r\n`,
        `mg ${key}${rest} v t\r\n`,
        `mg ${key}${rest} v t\r\n`,
        `md ${key}${rest}\r\n`,
        `mg ${key}${rest} v\r\n`,
        `me ${key}\r\n`,
        'mn\r\n',
      ]);
    }
  }
});

test('keyTooLong_everyCommand_sameAnswer', { skip }, async () => {
  const key = `${K250}k`;
  await compare([
    START,
    `mg ${key} v\r\n`,
    `mg ${key} b v\r\n`,
    `md ${key} q\r\n`,
    `me ${key}\r\n`,
  ]);
});

test('opaqueAndManyFlags_atTheirLimits_sameAnswer', { skip }, async () => {
  for (const length of [0, 1, 30, 31, 32, 200]) {
    const opaque = `O${'x'.repeat(length)}`;
    await compare([
      START,
      `mg a v ${opaque} k\r\n`,
      `mg none ${opaque}\r\n`,
      `mg none k ${opaque} q\r\n`,
    ]);
    await compare([START, `ms n 2 k ${opaque} c\r\n12\r\n`, `md none ${opaque}\r\n`, ...CHECK]);
  }
  const many = 'k s t c f v h u q P L l O1 T1 N1 R1 F1 D1 J1 C1';
  for (let n = 1; n <= 20; n++) {
    if (n !== 18)
      await compare([START, `mg a ${many.split(' ').slice(0, n).join(' ')}\r\n`, ...CHECK]);
  }
});

test('staleAndWon_sameAnswer', { skip }, async () => {
  await compare([
    START,
    'ms s 2 T100\r\nab\r\n',
    'mg s R101 v c\r\n',
    'mg s R101 v c\r\n',
    'mg s T50 R60 t\r\n',
    'ms s 2 T100\r\nab\r\n',
    'mg s R99 v\r\n',
    'mg s t T99 t R100\r\n',
    'md s I T20 k O8\r\n',
    'mg s v t c\r\n',
    'mg s v t c\r\n',
    'mg s T90 v t\r\n',
    'ms s 2 C1 c\r\nzz\r\n',
    'ms s 2 C1 I c\r\nzz\r\n',
    'mg s v t c f\r\n',
    'ms s 2 C{cas} I c\r\nyy\r\n',
    'mg s v t c f\r\n',
    'ms s 2 I c\r\nyy\r\n',
    'md s I C999999\r\n',
    'md s I C{cas}\r\n',
    'append s 0 0 1\r\nk\r\n',
    'mg s v t c\r\n',
    'mg none N9 v s t\r\n',
    'mg none N30 v s t\r\n',
    'append none 0 0 1\r\nx\r\n',
    'mg none v\r\n',
    'mg other N0 t v\r\n',
    'mg other N5 R30 t v T7\r\n',
    'md other I q\r\n',
    'mg other h v\r\n',
    'mg third N-1\r\n',
    'mg third N9 t\r\n',
    'mg third u h\r\n',
    'mn\r\n',
  ]);
});

test('dataBlocks_offByALittle_sameAnswer', { skip }, async () => {
  for (const data of ['', 'a', 'abc', 'ab\r\n']) {
    for (const length of [0, 2, 3]) {
      for (const flags of [
        '',
        ' q',
        ' c k O1',
        ' T5 T5',
        ' Mx',
        ' z',
        ' MA',
        ' ME',
        ' MR',
        ' MP',
      ]) {
        await compare([START, `ms a ${length}${flags}\r\n${data}\r\n`, 'mn\r\n', 'mg a v\r\n']);
      }
    }
  }
});

test('randomScripts_inRandomFragments_sameAnswer', { skip }, async () => {
  const random = seeded('random meta scripts');
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
  const key = (): string =>
    pick(['a', 'b', 'c', 'd', 'n', 'WFk=', ...(random.below(30) ? [] : KEYS.slice(2, 4))]);
  const time = (): string => pick(['0', '100', '200', '30', '-1', '2592000']);
  const shuffled = (flags: string[]): string =>
    flags
      .map((flag) => [random.next(), flag] as const)
      .toSorted(([x], [y]) => x - y)
      .map(([, flag]) => ` ${flag}`)
      .join('');
  const some = (flags: readonly string[], odds: number): string[] =>
    flags.filter(() => random.below(odds) === 0);
  const wrong = (): string[] => (random.below(25) === 0 ? [pick(['z', 'k', 'S1', 'T', 'Jx'])] : []);
  const opaque = (): string => `O${pick(['', '1', '123', 'abc', 'x'.repeat(31)])}`;
  /** A key in base64 is never vivified nor changed in place (see above). */
  const isBinary = (name: string): boolean => name.includes('=');
  const binary = (name: string): string[] => (isBinary(name) ? ['b'] : []);
  const step = (): string => {
    const name = key();
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2: {
        const tokens = [`T${time()}`, `R${time()}`, opaque()];
        if (!isBinary(name)) tokens.push(`N${time()}`);
        const flags = [...binary(name), ...some(PLAIN.slice(1), 3), ...some(tokens, 6), ...wrong()];
        // 1.6.18 tells last accesses by its own rules, and h by segments.
        return `mg ${name}${shuffled(flags.filter((flag) => flag !== 'l'))}\r\n`;
      }
      case 3:
      case 4: {
        const body = pick(['', '1', '55', 'abc', '999', 'x'.repeat(random.below(1500))]);
        const mode = isBinary(name)
          ? pick(['MS', 'ME', 'MR'])
          : pick(['MS', 'ME', 'MA', 'MP', 'MR', 'MX']);
        // 1.6.18 tells what is wrong when it has swallowed the value.
        const errors = wrong();
        const tokens = [`T${time()}`, `F${random.below(99)}`, 'C{cas}', 'C77777777', 'I', opaque()];
        const chosen = some(tokens, 5).filter(
          (flag, i, all) => flag[0] !== 'C' || !all.slice(0, i).some((other) => other[0] === 'C'),
        );
        const flags = [
          ...binary(name),
          ...some(['k', 'c', 'q', 'f', 't', mode], 3),
          ...chosen,
          ...errors,
        ];
        const isOff = errors.length === 0 && mode !== 'MX' && random.below(30) === 0;
        const length = isOff ? body.length + 1 : body.length;
        return `ms ${name} ${length}${shuffled(flags)}\r\n${body}\r\n`;
      }
      case 5: {
        const flags = [
          ...binary(name),
          ...some(['k', 'q', 'I', opaque(), `T${time()}`, 'C{cas}'], 3),
          ...wrong(),
        ];
        return `md ${name}${shuffled(flags)}\r\n`;
      }
      case 6: {
        const tokens = [
          `N${time()}`,
          `J${random.below(50)}`,
          `D${random.below(20)}`,
          'C{cas}',
          opaque(),
        ];
        const mode = pick(['MI', 'MD', 'M+', 'M-', 'MX']);
        const chosen = some(tokens, 4);
        const isQuiet = !chosen.some((flag) => flag.startsWith('N')) && random.below(3) === 0;
        const flags = [
          ...(isQuiet ? ['q'] : []),
          ...some(['k', 'v', 't', 'c', mode], 3),
          ...chosen,
          ...wrong(),
        ];
        return `ma ${isBinary(name) ? 'n' : name}${shuffled(flags)}\r\n`;
      }
      default:
        return pick([
          'mn\r\n',
          `me ${isBinary(name) ? 'a' : name}\r\n`,
          `get ${name}\r\n`,
          `set ${name} 3 0 2\r\n12\r\n`,
          `incr ${isBinary(name) ? 'n' : name} 3\r\n`,
          `append ${isBinary(name) ? 'n' : name} 0 0 1\r\n1\r\n`,
          `touch ${name} 100\r\n`,
          `delete ${name}\r\n`,
          'flush_all\r\n',
          'mx\r\n',
        ]);
    }
  };
  const deadline = Date.now() + Number(process.env['IX_RANDOM_MS'] ?? 6000);
  let scripts = 0;
  for (; Date.now() < deadline; scripts++) {
    const steps = Array.from({ length: 40 }, step);
    await compare(['flush_all\r\n', ...steps], (n) => 1 + random.below(n));
  }
  assert.ok(scripts > 10, `${scripts} scripts`);
});

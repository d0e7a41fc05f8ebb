/**
 * The same binary requests to memcached 1.6.18 and to the store: the answers must be the same
 * bytes, but for cas numbers.
 *
 * Not sent: SASL without a mechanism (ours has no SASL), unknown opcodes with a body (memcached
 * drops as many bytes of the next request), stats, delayed flushes, touches with a value.
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

interface Request {
  opcode: number;
  key?: string;
  extras?: Buffer;
  value?: string;
  /** 'last': the one that was told last. */
  cas?: bigint | 'last';
  opaque?: number;
}

const encode = (request: Request, last: bigint): string => {
  const { opcode, key = '', extras = Buffer.alloc(0), value = '', cas = 0n } = request;
  const head = Buffer.alloc(24);
  head[0] = 0x80;
  head[1] = opcode;
  head.writeUInt16BE(key.length, 2);
  head[4] = extras.length;
  head.writeUInt32BE(extras.length + key.length + value.length, 8);
  head.writeUInt32LE(request.opaque ?? 0, 12);
  head.writeBigUInt64BE(cas === 'last' ? last : cas, 16);
  return Buffer.concat([head, extras, Buffer.from(key + value, 'latin1')]).toString('latin1');
};

/** Whole answers, cas numbers replaced; and the last of them. */
function read(answer: string): { text: string; last: bigint } {
  const bytes = Buffer.from(answer, 'latin1');
  let text = '';
  let last = 12_345_678n;
  for (let at = 0; at + 24 <= bytes.length; ) {
    const end = at + 24 + bytes.readUInt32BE(at + 8);
    const cas = bytes.readBigUInt64BE(at + 16);
    if (cas !== 0n) last = cas;
    const head = bytes.subarray(at, at + 16).toString('hex');
    const body = bytes.subarray(at + 24, end).toString('latin1');
    text += `${head} ${cas === 0n ? '' : 'cas'} ${body}\n`;
    at = end;
  }
  return { text, last };
}

async function compare(
  steps: readonly Request[],
  cut: (n: number) => number = (n) => n,
): Promise<void> {
  const ours = kv.ix.connect();
  const theirs = await oracle.connect();
  let answer = '';
  for (const step of steps) {
    if (ours.isClosing) break;
    const mine = encode(step, read(answer).last);
    for (let at = 0; at < mine.length; ) ours.deliver(mine.slice(at, (at += cut(mine.length))));
    ours.acknowledge();
    const told = ours.output();
    answer += told;
    const yours = encode(step, read(theirs.received).last);
    await theirs.ask(yours, (received) => received.length >= told.length);
  }
  ours.die();
  const shown = JSON.stringify(steps, (_, v) => (typeof v === 'bigint' ? `${v}` : v)).slice(
    0,
    1500,
  );
  assertSame(read(answer).text, read(await theirs.finish()).text, shown);
}

const u32 = (...numbers: number[]): Buffer => {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number >>> 0, i * 4);
  return bytes;
};
const FLUSH: Request = { opcode: 8 };
const START: Request[] = [
  FLUSH,
  { opcode: 1, key: 'a', extras: u32(5, 0), value: 'abc' },
  { opcode: 1, key: 'n', extras: u32(7, 0), value: '10' },
];
const NOOP: Request = { opcode: 10, opaque: 77 };
const CHECK: Request[] = [
  { opcode: 12, key: 'a' },
  { opcode: 12, key: 'n' },
  { opcode: 0, key: 'none' },
  NOOP,
];

test('everyOpcode_everyShape_sameAnswer', { skip }, async () => {
  let compared = 0;
  for (let opcode = 0; opcode < 38; opcode++) {
    if (opcode === 16 || opcode === 33 || opcode === 34) continue;
    for (const key of ['', 'a', 'n', 'none', 'k'.repeat(250), 'k'.repeat(251)]) {
      for (const extras of [0, 4, 8, 20, 7]) {
        for (const value of ['', '5']) {
          const isKnown = opcode <= 26 && opcode !== 27;
          const isTouch = [28, 29, 30, 35, 36].includes(opcode);
          if (!isKnown && !isTouch && (key !== '' || extras > 0 || value !== '')) continue;
          if (isTouch && value !== '') continue;
          if ((opcode === 8 || opcode === 24) && extras > 0) continue;
          for (const cas of [0n, 'last', 999_999_999n] as const) {
            const request = { opcode, key, extras: Buffer.alloc(extras), value, cas, opaque: 9 };
            await compare([...START, request, ...CHECK]);
            compared++;
          }
        }
      }
    }
  }
  assert.ok(compared > 2000, `${compared} requests compared`);
});

test('valuesAroundTheLimits_sameAnswer', { skip }, async () => {
  for (const length of [
    0, 1, 1023, 1024, 1025, 16_300, 65_000, 70_000, 300_000, 1_048_515, 1_048_577,
  ]) {
    for (const opcode of [1, 2, 3, 14, 17]) {
      const extras = opcode === 14 ? Buffer.alloc(0) : u32(1, 0);
      const set = { opcode, key: 'a', extras, value: 'v'.repeat(length) };
      await compare([...START, set, { opcode: 0, key: 'a' }, { opcode: 13, key: 'a' }, NOOP]);
    }
  }
});

test('randomScripts_inRandomFragments_sameAnswer', { skip }, async () => {
  const random = seeded('random binary scripts');
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
  const time = (): number => pick([0, 0, 0, 100, 2_592_000, 0xffffffff]);
  const step = (): Request => {
    const key = pick(['a', 'b', 'c', 'n']);
    const cas = pick([0n, 0n, 0n, 'last', 987_654_321n] as const);
    const opaque = random.below(2 ** 31);
    const value = pick(['', '1', '12', 'abc', 'x'.repeat(random.below(2000))]);
    switch (random.below(7)) {
      case 0:
      case 1:
        return {
          opcode: pick([1, 2, 3, 17, 18, 19]),
          key,
          extras: u32(random.below(99), time()),
          value,
          cas,
          opaque,
        };
      case 2:
        return { opcode: pick([14, 15, 25, 26]), key, value: pick(['1', 'z', '']), cas, opaque };
      case 3:
        return { opcode: pick([0, 9, 12, 13]), key, opaque };
      case 4:
        return {
          opcode: pick([5, 6, 21, 22]), key, cas, opaque,
          extras: u32(random.below(3), random.below(50), 0, random.below(9), time()),
        }; // biome-ignore format: the fields of a request
      case 5:
        return { opcode: pick([28, 29, 30, 35, 36]), key, extras: u32(pick([0, 100])), opaque };
      default:
        return pick<Request>([
          { opcode: 4, key, cas, opaque },
          { opcode: 20, key, opaque },
          NOOP,
          { opcode: 31, opaque },
          { opcode: 24 },
          { opcode: 4, key, opaque },
        ]);
    }
  };
  const deadline = Date.now() + Number(process.env['IX_RANDOM_MS'] ?? 5000);
  let scripts = 0;
  for (; Date.now() < deadline; scripts++) {
    const steps = Array.from({ length: 40 }, step);
    await compare([FLUSH, ...steps, NOOP], (n) => 1 + random.below(n));
  }
  assert.ok(scripts > 5, `${scripts} scripts`);
});

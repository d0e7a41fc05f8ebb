/** The parts by themselves: numbers, hash, clock, slabs, options, types. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RELATIVE_MAX, StoreClock } from '../../../src/apps/kv/clock.ts';
import { KeyHash } from '../../../src/apps/kv/hash.ts';
import kv, { createKv, kvBytes, kvOptions } from '../../../src/apps/kv/kv.ts';
import { ITEM_SIZE_MAX, PAGE_BYTES } from '../../../src/apps/kv/layout.ts';
import { Numbers } from '../../../src/apps/kv/numbers.ts';
import { classSizes, Slabs } from '../../../src/apps/kv/slabs.ts';
import type { Application } from '../../../src/libix/index.ts';
import { FakeIx } from './fake-ix.ts';
import { seeded } from './fixture.ts';

/** The store is an application of the real libix, by type. */
export const application: Application = kv;

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const halves = (n: bigint): [number, number] => [
  Number(BigInt.asIntN(32, n)),
  Number(BigInt.asIntN(32, n >> 32n)),
];
const whole = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

test('numbers_writeAndParse_roundTripForAll64Bits', () => {
  const u8 = new Uint8Array(64);
  const numbers = new Numbers(u8);
  fc.assert(
    fc.property(fc.oneof(u64, fc.bigInt({ min: 0n, max: 2000n })), (n) => {
      const length = numbers.writeU64(8, ...halves(n));
      assert.equal(Buffer.from(u8.slice(8, 8 + length)).toString(), n.toString());
      assert.ok(numbers.parseU64(8, length));
      assert.equal(whole(numbers.lo, numbers.hi), n);
      const short = numbers.writeU32(8, Number(BigInt.asIntN(32, n)));
      assert.equal(Buffer.from(u8.slice(8, 8 + short)).toString(), `${BigInt.asUintN(32, n)}`);
    }),
    { numRuns: 5000 },
  );
});

test('numbers_addAndSubtract_asBigIntDoes', () => {
  const numbers = new Numbers(new Uint8Array(8));
  fc.assert(
    fc.property(u64, u64, (a, b) => {
      [numbers.lo, numbers.hi] = halves(a);
      numbers.add(...halves(b));
      assert.equal(whole(numbers.lo, numbers.hi), BigInt.asUintN(64, a + b));
      [numbers.lo, numbers.hi] = halves(a);
      numbers.subtract(...halves(b));
      assert.equal(whole(numbers.lo, numbers.hi), a > b ? a - b : 0n);
    }),
    { numRuns: 5000 },
  );
});

test('numbers_parse_asStrtollDoes', () => {
  const u8 = new Uint8Array(256);
  const numbers = new Numbers(u8);
  const digits = fc.oneof(
    u64.map(String),
    fc.bigInt({ min: 0n, max: 2n ** 70n }).map(String),
    fc.constant(''),
  );
  const blank = fc.constantFrom('', ' ', '\t', '\r\n', '  ');
  fc.assert(
    fc.property(
      blank,
      fc.constantFrom('', '+', '-'),
      digits,
      fc.constantFrom('', ' ', '\0', 'x', '\tx'),
      (before, sign, text, behind) => {
        const bytes = Buffer.from(before + sign + text + behind);
        u8.set(bytes, 3);
        const n = text === '' ? 0n : BigInt(text);
        const isNumber = text !== '' && behind !== 'x';
        const negative = BigInt.asUintN(64, -n);
        const isUnsigned = isNumber && n < 2n ** 64n && (sign !== '-' || negative < 2n ** 63n);
        assert.equal(numbers.parseU64(3, bytes.length), isUnsigned);
        if (isUnsigned) assert.equal(whole(numbers.lo, numbers.hi), sign === '-' ? negative : n);
        const isSigned = isNumber && n <= (sign === '-' ? 2n ** 63n : 2n ** 63n - 1n);
        assert.equal(numbers.parseI32(3, bytes.length), isSigned);
        if (isSigned) assert.equal(numbers.lo, Number(BigInt.asIntN(32, sign === '-' ? -n : n)));
      },
    ),
    { numRuns: 10_000 },
  );
});

test('hash_sameBytesAnywhere_sameHash_otherBytesSpread', () => {
  const random = seeded('hash');
  const u8 = new Uint8Array(1024);
  const view = new DataView(u8.buffer);
  const hash = new KeyHash(view, u8, 1, 2);
  const other = new KeyHash(view, u8, 1, 3);
  for (let length = 1; length <= 250; length++) {
    for (let i = 0; i < length; i++) u8[i] = random.below(256);
    const expected = hash.of(0, length);
    u8.copyWithin(301, 0, length);
    u8[301 + length] = random.below(256);
    assert.equal(hash.of(301, length), expected, `length ${length}`);
    assert.notEqual(other.of(0, length), expected, 'the secret matters');
    u8[random.below(length)]! ^= 1 << random.below(8);
    assert.notEqual(hash.of(0, length), expected, 'every bit matters');
  }
  const buckets = new Int32Array(1024);
  for (let i = 0; i < 102_400; i++) {
    const bytes = Buffer.from(`key:${i}`);
    u8.set(bytes);
    const bucket = hash.of(0, bytes.length) & 1023;
    buckets[bucket] = buckets[bucket]! + 1;
  }
  const chi2 = buckets.reduce((sum, n) => sum + (n - 100) ** 2 / 100, 0);
  assert.ok(chi2 > 850 && chi2 < 1200, `chi-squared ${chi2} with 1023 degrees of freedom`);
});

test('clock_weeksInBatches_neverLosesASecond', () => {
  const start = 0x7ffff000; // the milliseconds wrap at once
  const unix = 1_700_000_000_500;
  const clock = new StoreClock(unix - 7000);
  clock.run(start, unix);
  assert.equal(clock.uptime, 7, 'seven seconds passed before the first batch');
  const random = seeded('clock');
  let ms = start;
  for (let n = 0; n < 100_000; n++) {
    ms += random.below(60_000);
    clock.update(ms | 0);
  }
  assert.equal(clock.uptime, 7 + Math.floor((ms - start) / 1000));
  assert.equal(clock.unixTime, Math.floor(unix / 1000) + clock.uptime - 7);
  assert.ok(ms - start > 2 ** 31, 'went past the wrap');
  const now = clock.unixTime;
  assert.equal(clock.expiry(0), 0);
  assert.equal(clock.expiry(-5), 1);
  assert.equal(clock.expiry(5), clock.now + 5);
  assert.equal(clock.expiry(RELATIVE_MAX), clock.now + RELATIVE_MAX);
  assert.equal(clock.expiry(RELATIVE_MAX + 1), 1, 'Unix time of 1970');
  assert.equal(clock.expiry(now + 100), clock.now + 100);
});

test('slabs_randomAllocAndFree_chunksNeverOverlapAndAllComeHome', () => {
  const random = seeded('slabs');
  const pages = 6;
  const i32 = new Int32Array((pages * PAGE_BYTES + 64) >> 2);
  const slabs = new Slabs(i32, 64, pages);
  const sizes = classSizes();
  sizes.forEach((size, index) => {
    assert.equal(slabs.classFor(size), index);
    if (index > 0) assert.equal(slabs.classFor(sizes[index - 1]! + 1), index);
    if (index > 0 && size < 60_000)
      assert.ok(size / sizes[index - 1]! < 1.34, `${size} grows too fast`);
  });
  const held: { chunk: number; index: number }[] = [];
  const owned = new Uint8Array(i32.length * 4);
  let failures = 0;
  for (let step = 0; step < 15_000; step++) {
    const isGrowing = step % 5000 < 3000;
    if (held.length > 0 && random.below(isGrowing ? 3 : 8) > 1) {
      const [{ chunk, index }] = held.splice(random.below(held.length), 1) as [
        { chunk: number; index: number },
      ];
      owned.fill(0, chunk, chunk + sizes[index]!);
      slabs.free(chunk);
      continue;
    }
    const index = 20 + random.below(sizes.length - 20);
    const chunk = slabs.alloc(index);
    if (chunk < 0) {
      failures++;
      continue;
    }
    assert.ok(chunk >= 64 && chunk + sizes[index]! <= 64 + pages * PAGE_BYTES && chunk % 8 === 0);
    assert.equal(
      owned.subarray(chunk, chunk + sizes[index]!).indexOf(1),
      -1,
      'a chunk overlaps another',
    );
    owned.fill(1, chunk, chunk + sizes[index]!);
    held.push({ chunk, index });
  }
  assert.ok(failures > 0, 'memory was never full');
  for (const { chunk } of held) slabs.free(chunk);
  assert.ok(slabs.allHome());
  assert.equal(Math.max(...slabs.pages, ...slabs.used), 0);
});

test('options_wrong_sayWhatIsRight', () => {
  assert.deepEqual(kvOptions({}), { mebibytes: 64, port: 11211, idleSeconds: 0 });
  assert.deepEqual(kvOptions({ m: '3', port: '99', idle_timeout: '60' }), {
    mebibytes: 3,
    port: 99,
    idleSeconds: 60,
  });
  for (const idle of ['-1', 'x', '1.5'])
    assert.throws(() => kvOptions({ idle_timeout: idle }), /idle_timeout \(s\) must be/);
  for (const m of ['0', 'x', '-1', '1.5', '5000'])
    assert.throws(() => kvOptions({ m }), /m \(MiB\) must be/);
  assert.throws(() => kvOptions({ port: '70000' }), /port must be/);
  const ix = new FakeIx({ mebibytes: 8 });
  assert.throws(
    () => createKv(ix, { mebibytes: 64, port: 1 }),
    /needs \d+ MiB more application memory/,
  );
});

test('kv_started_listensAndTicks', () => {
  const ix = new FakeIx({ mebibytes: 8 });
  kv(ix, { m: '2', port: '11300' });
  assert.equal(ix.port, 11300);
  const c = ix.connect();
  assert.equal(c.ask('set a 0 100 1\r\n1\r\nget a\r\n'), 'STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n');
  for (let hour = 0; hour < 24 * 60; hour++) {
    ix.advance(3600);
    for (const tick of ix.ticks) tick();
  }
  assert.match(c.ask('stats\r\n'), /STAT uptime 5184000\r\n/, 'sixty quiet days later');
  assert.equal(c.ask('get a\r\n'), 'END\r\n');
});

test('memory_askedFor_isWhatIsUsed', () => {
  for (const mebibytes of [1, 2, 10, 64]) {
    const ix = new FakeIx({ mebibytes: 80 });
    const before = ix.applicationFree;
    createKv(ix, { mebibytes, port: 1 });
    const used = before - ix.applicationFree;
    assert.ok(
      used <= kvBytes(mebibytes) && used > mebibytes * ITEM_SIZE_MAX,
      `${mebibytes} MiB use ${used}`,
    );
  }
});

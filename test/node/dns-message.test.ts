/** Questions and answers of name servers: written as RFC 1035 says, read without believing. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  isName,
  QUESTION_BYTES_MAX,
  readAnswer,
  TYPE_A,
  TYPE_AAAA,
  writeQuestion,
} from '../../src/node/dns-message.ts';

const ID = 0x1234;
const u16 = (...words: number[]): Buffer => {
  const bytes = Buffer.alloc(2 * words.length);
  words.forEach((word, i) => void bytes.writeUInt16BE(word, 2 * i));
  return bytes;
};
const name = (text: string): Buffer =>
  Buffer.concat([...text.split('.').map((each) => Buffer.from(`\0${each}`)), Buffer.alloc(1)]).map(
    (byte, at, all) => (byte === 0 && at < all.length - 1 ? labelLength(all, at) : byte),
  ) as Buffer;
const labelLength = (all: Uint8Array, at: number): number => all.indexOf(0, at + 1) - at - 1;
const record = (owner: Buffer, type: number, data: Buffer): Buffer =>
  Buffer.concat([owner, u16(type, 1, 0, 60, data.length), data]);
const answer = (flags: number, asked: string, type: number, ...records: Buffer[]): Buffer =>
  Buffer.concat([u16(ID, flags, 1, records.length, 0, 0), name(asked), u16(type, 1), ...records]);
const POINTER = u16(0xc00c); // to the question's name

test('question_isAsTheRfcSays', () => {
  const bytes = Buffer.alloc(QUESTION_BYTES_MAX);
  const length = writeQuestion(bytes, ID, 'a.test', TYPE_AAAA);
  assert.equal(
    bytes.subarray(0, length).toString('hex'),
    '123401000001000000000001' + '0161047465737400' + '001c0001' + '000029' + '04d0000000000000',
  );
  const longest = `${`${'x'.repeat(62)}.`.repeat(4)}y`;
  assert.equal(isName(longest), true);
  assert.ok(writeQuestion(bytes, ID, longest, TYPE_A) <= QUESTION_BYTES_MAX);
});

test('names_thatCannotBeAsked_areNone', () => {
  const bad = ['', '.', 'a..b', 'x'.repeat(64), 'é.test', 'a b', `${'x.'.repeat(127)}`, 'a\0b'];
  assert.deepEqual(bad.filter(isName), []);
});

describe('answer', () => {
  const read = (bytes: Buffer, type = TYPE_A) => readAnswer(bytes, ID, 'Www.Test', type);
  const address = record(POINTER, TYPE_A, Buffer.from([192, 0, 2, 7]));

  test('addresses_alsoOfAnotherName_inAnyOrder', () => {
    const alias = record(POINTER, 5, name('real.test'));
    const real = record(name('real.test'), TYPE_A, Buffer.from([192, 0, 2, 8]));
    const foreign = record(name('evil.test'), TYPE_A, Buffer.from([192, 0, 2, 9]));
    const whole = answer(0x8180, 'www.test', TYPE_A, real, foreign, alias, address);
    assert.deepEqual(read(whole), {
      ...{ rcode: 0, isCut: false },
      addresses: ['192.0.2.8', '192.0.2.7'],
    });
    const six = Buffer.from('20010db8000000000000000000000001', 'hex');
    const aaaa = answer(0x8180, 'www.test', TYPE_AAAA, record(POINTER, TYPE_AAAA, six), address);
    assert.deepEqual(read(aaaa, TYPE_AAAA)?.addresses, ['2001:db8::1']);
  });

  test('noName_andCut_areSaid', () => {
    assert.equal(read(answer(0x8183, 'www.test', TYPE_A))?.rcode, 3);
    const whole = answer(0x8380, 'www.test', TYPE_A, address, address);
    const cut = whole.subarray(0, whole.length - 3);
    assert.deepEqual(read(cut), { rcode: 0, isCut: true, addresses: ['192.0.2.7'] });
  });

  test('toAnotherQuestion_isNone', () => {
    const good = answer(0x8180, 'www.test', TYPE_A, address);
    assert.ok(read(good));
    assert.equal(readAnswer(good, ID + 1, 'www.test', TYPE_A), undefined);
    assert.equal(read(good, TYPE_AAAA), undefined);
    assert.equal(read(answer(0x8180, 'www.tost', TYPE_A, address)), undefined);
    assert.equal(read(answer(0x0180, 'www.test', TYPE_A, address)), undefined, 'a question');
    const two = Buffer.from(good);
    two.writeUInt16BE(2, 4);
    assert.equal(read(two), undefined);
  });

  test('notWhole_orPointingForwards_isNone_andHasAnEnd', () => {
    const good = answer(0x8180, 'www.test', TYPE_A, address);
    for (let length = 0; length < good.length; length++) {
      assert.equal(read(good.subarray(0, length)), undefined, `${length} bytes`);
    }
    const loop = answer(0x8180, 'www.test', TYPE_A, record(u16(0xc01a), TYPE_A, Buffer.alloc(4)));
    assert.equal(read(loop), undefined);
  });

  test('anyBytes_areReadWithoutAFault', () => {
    const good = answer(0x8180, 'www.test', TYPE_A, address, record(POINTER, 5, POINTER));
    let x = Number(process.env['SEED'] ?? 1);
    console.log(`SEED=${x}`);
    const random = (): number => (x = (Math.imul(x, 1_103_515_245) + 12_345) >>> 0) >>> 8;
    for (let i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(good);
      for (let n = 0; n < 4; n++) bytes[random() % bytes.length] = random();
      const said = read(bytes);
      if (said) assert.ok(said.addresses.every((each) => /^[\d.]+$/.test(each)));
    }
  });
});

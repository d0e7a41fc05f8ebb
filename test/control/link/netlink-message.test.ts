import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  Message,
  messagesIn,
  readAttributes,
  textOf,
} from '../../../src/control/link/netlink-message.ts';

const seed = Number(process.env['SEED'] ?? Date.now() & 0x7fffffff);
console.log(`netlink-message: SEED=${seed}`);

test('message_nestedAttributes_roundTrip', () => {
  const text = fc.string({
    unit: fc.integer({ min: 33, max: 126 }).map((c) => String.fromCharCode(c)),
  });
  fc.assert(
    fc.property(text, fc.integer(), fc.nat(), (name, address, sequence) => {
      const message = new Message(16, 5).header(16, [2], 7);
      message.text(3, name).nested(18, () => message.address(1, address).text(2, 'veth'));
      const bytes = message.finish(sequence);
      assert.equal(bytes.length % 4, 0);
      const [answer, ...more] = messagesIn(Uint8Array.from(bytes), bytes.length);
      assert.equal(more.length, 0);
      assert.deepEqual([answer?.type, answer?.sequence], [16, sequence]);
      assert.equal(answer?.body.getInt32(4, true), 7);
      const attributes = readAttributes(answer!.body, 16);
      assert.equal(textOf(attributes.get(3)), name);
      const nested = readAttributes(attributes.get(18)!, 0);
      assert.equal(nested.get(1)?.getInt32(0), address);
      assert.equal(textOf(nested.get(2)), 'veth');
    }),
    { seed },
  );
});

test('reader_randomBytes_endsWithinTheBuffer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const copy = Uint8Array.from(bytes);
      for (const { body } of messagesIn(copy, copy.length)) {
        assert.ok(body.byteOffset + body.byteLength <= copy.length);
        for (const value of readAttributes(body, 0).values()) {
          assert.ok(value.byteOffset + value.byteLength <= copy.length);
        }
      }
    }),
    { seed, numRuns: 1000 },
  );
});

test('reader_twoMessagesInOneRead_bothFound', () => {
  const one = new Message(3, 0).header(4).finish(1);
  const two = new Message(2, 0).header(8).finish(2);
  const both = Uint8Array.from([...one, ...two]);
  assert.deepEqual(
    messagesIn(both, both.length).map(({ type, sequence }) => [type, sequence]),
    [
      [3, 1],
      [2, 2],
    ],
  );
});

/** Names looked up over our own UDP: a name server on one stack, who asks on the other. */
import assert from 'node:assert/strict';
import dns from 'node:dns';
import { after, before, beforeEach, describe, test } from 'node:test';
import { node } from '../../src/node/internals.ts';
import { lookUpWith } from '../../src/node/lookup.ts';
import { EAI_AGAIN, EAI_NONAME, type Names, Resolver } from '../../src/node/resolver.ts';
import { parseIpv4 } from '../../src/wire/ipv4-text.ts';
import { CLIENT, layBed, SERVER } from './bed.ts';

const bed = layBed();
after(() => bed.close());

const TYPES: Record<number, 'A' | 'AAAA'> = { 1: 'A', 28: 'AAAA' };
const ZONE: Record<string, Record<string, number[][]>> = {
  'both.test': { A: [[192, 0, 2, 1]], AAAA: [[0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]] },
  'four.test': {
    A: [
      [192, 0, 2, 4],
      [192, 0, 2, 5],
    ],
  },
  'short.inner.test': { A: [[192, 0, 2, 6]] },
  'broken.test': {},
};
const PLACE_BYTES = 512;
const NO_NAME = 3;
const BROKEN = 2;

/** What was asked, and how many questions are left unanswered first. */
const asked: string[] = [];
let deaf = 0;

function nameIn(question: Buffer): string {
  const labels: string[] = [];
  for (let at = 12, length = 0; question[at]! > 0; at += 1 + length) {
    length = question[at]!;
    labels.push(question.toString('latin1', at + 1, at + 1 + length));
  }
  return labels.join('.');
}

function serveNames(): void {
  const { ix } = bed.server;
  const places = ix.alloc(256 * PLACE_BYTES);
  let answers = 0;
  ix.udp(53, {
    received: (socket, offset, length, address, port) => {
      const question = Buffer.from(ix.u8.subarray(offset, offset + length));
      const end = question.indexOf(0, 12) + 5;
      const name = nameIn(question);
      const type = TYPES[question.readUInt16BE(end - 4)]!;
      asked.push(`${type} ${name}`);
      if (deaf-- > 0) return;
      const known = ZONE[name];
      const found = known?.[type] ?? [];
      const header = Buffer.from(question.subarray(0, end));
      const rcode = known === undefined ? NO_NAME : name === 'broken.test' ? BROKEN : 0;
      [0x8180 | rcode, 1, found.length, 0, 0].forEach((word, i) => {
        header.writeUInt16BE(word, 2 + 2 * i);
      });
      const records = found.map((words) => {
        const data = Buffer.alloc(type === 'A' ? 4 : 16);
        words.forEach((word, i) => {
          if (type === 'A') data[i] = word;
          else data.writeUInt16BE(word, 2 * i);
        });
        return Buffer.concat([
          Buffer.from([0xc0, 12]),
          question.subarray(end - 4, end),
          Buffer.from([0, 0, 0, 60, 0, data.length]),
          data,
        ]);
      });
      const answer = Buffer.concat([header, ...records]);
      const out = places + (answers++ % 256) * PLACE_BYTES;
      ix.u8.set(answer, out);
      socket.send(out, answer.length, address, port);
    },
  });
}

const said: string[] = [];
const names: Names = {
  hosts: [{ name: 'known', addresses: ['10.1.2.3', 'fd00::3'] }],
  ...{ servers: [SERVER], search: ['inner.test'], ndots: 1, timeoutMs: 200, attempts: 2 },
};
const resolverOf = (given: Partial<Names> = {}): Resolver =>
  new Resolver(bed.client.ix, { ...names, ...given }, (line) => said.push(line));

before(serveNames);
beforeEach(() => {
  asked.length = said.length = deaf = 0;
});

describe('resolver', () => {
  test('names_areAskedByFamily_ipv4First', async () => {
    const resolver = resolverOf();
    assert.deepEqual(await resolver.lookup('Both.Test', 0), ['192.0.2.1', '2001:db8::1']);
    assert.deepEqual(await resolver.lookup('both.test.', 6), ['2001:db8::1']);
    assert.deepEqual(await resolver.lookup('four.test', 4), ['192.0.2.4', '192.0.2.5']);
    assert.deepEqual(asked, ['A both.test', 'AAAA both.test', 'AAAA both.test', 'A four.test']);
    await bed.settled();
  });

  test('hostsFile_andLocalhost_askNobody', async () => {
    const resolver = resolverOf();
    assert.deepEqual(await resolver.lookup('KNOWN', 0), ['10.1.2.3', 'fd00::3']);
    assert.deepEqual(await resolver.lookup('localhost', 0), ['127.0.0.1', '::1']);
    assert.deepEqual(await resolver.lookup('a.localhost', 6), ['::1']);
    assert.deepEqual(asked, []);
  });

  test('searchList_shortNamesLonger_longOnesAsTheyAreFirst', async () => {
    const resolver = resolverOf();
    assert.deepEqual(await resolver.lookup('short', 4), ['192.0.2.6']);
    assert.equal(await resolver.lookup('no.such', 4), EAI_NONAME);
    assert.equal(await resolver.lookup('absolute.', 4), EAI_NONAME);
    const all = ['short.inner.test', 'no.such', 'no.such.inner.test', 'absolute'];
    assert.deepEqual(
      asked,
      all.map((each) => `A ${each}`),
    );
  });

  test('noAddressOfTheFamily_isNoName', async () => {
    assert.equal(await resolverOf({ search: [] }).lookup('four.test', 6), EAI_NONAME);
  });

  test('answerIsLost_isAskedAgain_nobodyAnswers_isTryAgain', async () => {
    deaf = 1;
    assert.deepEqual(await resolverOf().lookup('four.test', 4), ['192.0.2.4', '192.0.2.5']);
    assert.equal(asked.length, 2);
    deaf = 9;
    assert.equal(await resolverOf().lookup('four.test', 4), EAI_AGAIN);
    assert.equal(asked.length, 4);
    deaf = 0;
    assert.equal(await resolverOf().lookup('broken.test', 4), EAI_AGAIN);
    await bed.settled();
  });

  test('serverThatNoWayLeadsTo_isPassedOver_andSaidOnce', async () => {
    const servers = ['198.51.100.1', SERVER];
    const resolver = resolverOf({ servers });
    assert.deepEqual(await resolver.lookup('four.test', 4), ['192.0.2.4', '192.0.2.5']);
    assert.deepEqual(await resolver.lookup('both.test', 4), ['192.0.2.1']);
    assert.match(said.join(), /^no way .* name server 198\.51\.100\.1; [^;]*--outbound nat[^;]*$/);
  });

  test('serversOnTheLoopback_areNotAsked_andThatIsSaidOnce', async () => {
    const resolver = resolverOf({ servers: ['127.0.0.53', '::1'] });
    assert.equal(await resolver.lookup('four.test', 0), EAI_AGAIN);
    assert.match(said.join(), /^names cannot be looked up: .*; [^;]*resolv\.conf[^;]*$/);
  });

  test('hundredNamesAtATime_allAreAnswered_andNothingIsLeft', async () => {
    const resolver = resolverOf();
    const all = await Promise.all(
      Array.from({ length: 100 }, (_v, i) => resolver.lookup(i % 2 ? 'four.test' : 'both.test', 4)),
    );
    assert.equal(all.filter((each) => typeof each === 'object').length, 100);
    await bed.settled();
  });

  test('answerOfSomebodyElse_isNotTaken', async () => {
    deaf = 9;
    const { ix } = bed.server;
    const stranger = ix.udp(5353, { received: () => {} });
    const waiting = resolverOf({ attempts: 1 }).lookup('four.test', 4);
    await new Promise((done) => setTimeout(done, 50));
    const forged = ix.text('forged');
    for (let port = 49_152; port < 49_200; port++) {
      stranger.send(forged.offset, forged.length, parseIpv4(CLIENT)!, port);
    }
    assert.equal(await waiting, EAI_AGAIN);
    stranger.close();
  });
});

describe('dns.lookup', () => {
  before(() => lookUpWith(node.names, resolverOf(), bed.network.keeper, () => [CLIENT]));

  test('optionsAndErrors_areNodesOwn', async () => {
    const { lookup } = dns.promises;
    assert.deepEqual(await lookup('both.test'), { address: '192.0.2.1', family: 4 });
    assert.deepEqual(await lookup('both.test', { all: true, order: 'ipv6first' }), [
      { address: '2001:db8::1', family: 6 },
      { address: '192.0.2.1', family: 4 },
    ]);
    assert.deepEqual(await lookup('192.0.2.9'), { address: '192.0.2.9', family: 4 });
    await assert.rejects(lookup('no.such'), {
      ...{ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'no.such', errno: -3008 },
      message: 'getaddrinfo ENOTFOUND no.such',
    });
    const called = await new Promise((done) => dns.lookup('four.test', 4, (...all) => done(all)));
    assert.deepEqual(called, [null, '192.0.2.4', 4]);
  });
});

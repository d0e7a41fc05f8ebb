/** hosts(5) and resolv.conf(5), as people write them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseHosts, parseResolver, resolverFrom } from '../../../src/control/link/names.ts';

test('hosts_namesInAnyCase_commentsAndNonsenseLeftOut', () => {
  const text = `# all\n127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # both\n
    10.0.0.1  Db.Example db\nnonsense here\n10.0.0.2 db\n`;
  assert.deepEqual(parseHosts(text), [
    { name: 'localhost', addresses: ['127.0.0.1', '::1'] },
    { name: 'ip6-localhost', addresses: ['::1'] },
    { name: 'db.example', addresses: ['10.0.0.1'] },
    { name: 'db', addresses: ['10.0.0.1', '10.0.0.2'] },
  ]);
});

test('resolver_withoutAnything_isWhatTheManSays', () => {
  const { servers, ...rest } = parseResolver('');
  assert.deepEqual(servers, ['127.0.0.1']);
  assert.deepEqual(rest, { search: [], ndots: 1, timeoutMs: 5000, attempts: 2 });
});

test('resolver_lastSearchCounts_threeServers_optionsWithinBounds', () => {
  const text = `; made by dhcp\nnameserver 10.0.0.53\nnameserver fd00::53 # two
nameserver not.an.address\nnameserver 10.0.0.54\nnameserver 10.0.0.55
domain old.test\nsearch a.test. b.test\noptions ndots:99 timeout:0 attempts:3 edns0\n`;
  assert.deepEqual(parseResolver(text), {
    servers: ['10.0.0.53', 'fd00::53', '10.0.0.54'],
    ...{ search: ['a.test', 'b.test'], ndots: 15, timeoutMs: 1000, attempts: 3 },
  });
});

test('resolverOnLoopback_whoItAsksItselfIsTaken_elseItStays', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ix-names-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const stub = file('stub', 'nameserver 127.0.0.53\nsearch a.test\n');
  const uplink = file('uplink', 'nameserver 192.0.2.53\n');
  assert.deepEqual(resolverFrom([stub, uplink]).servers, ['192.0.2.53']);
  assert.deepEqual(resolverFrom([uplink, stub]).servers, ['192.0.2.53']);
  assert.deepEqual(resolverFrom([stub, join(directory, 'none')]).servers, ['127.0.0.53']);
});

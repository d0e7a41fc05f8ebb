import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesOf } from '../../src/cli/explain.ts';

test('counterAsStatOrPrometheusWritesIt_isFound', () => {
  for (const name of ['tcpNoFlow', 'TCPNOFLOW', 'ix_tcp_no_flow_total']) {
    assert.deepEqual(namesOf(name), ['tcpNoFlow']);
  }
  assert.deepEqual(namesOf('ix_tcp_flows'), ['tcpFlows']);
  assert.ok(namesOf('all').length > 200);
});

test('counterThatIsNone_isRefusedWithThoseLikeIt_andShownAsEscapes', () => {
  assert.throws(() => namesOf('tcpListenOverflow'), /no counter tcpListenOverflow; see: bin\/ix/);
  assert.throws(() => namesOf('backlog'), /no counter backlog; there is tcpBacklogFull/);
  assert.throws(() => namesOf('\x1b[2J'), /no counter \\x1b\[2J/);
});

/** What a refused connect or listen says: Node's own fields, and behind its words the remedy. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { constants } from 'node:os';
import { after, describe, test } from 'node:test';
import { CODE, DEAD } from '../../src/gate/abi.ts';
import { advise, errnoOfDead, errnoOfListen, systemError } from '../../src/node/errno.ts';
import { layBed } from './bed.ts';

const bed = layBed();
after(() => bed.close());

const { errno } = constants;
/** RFC 5737: nobody, and no way leads there. */
const NOWHERE = '192.0.2.1';

test('noWayLeadsThere_errorIsEnetunreach_withNodesFields_andTheRemedy', async () => {
  const socket = net.connect({ port: 80, host: NOWHERE });
  const [error] = await once(socket, 'error');
  assert.deepEqual(
    { ...error },
    {
      errno: -errno.ENETUNREACH,
      code: 'ENETUNREACH',
      syscall: 'connect',
      address: NOWHERE,
      port: 80,
    },
  );
  assert.match(error.message, /^connect ENETUNREACH 192\.0\.2\.1:80\b.*; .*--outbound nat$/);
  assert.ok(error.stack.startsWith(`Error: ${error.message}\n`));
  await bed.settled();
});

test('severalAddresses_noWayToAny_eachErrorHasTheRemedyOnce', async () => {
  const lookup: net.LookupFunction = (_name, _options, callback) =>
    callback(null, [
      { address: NOWHERE, family: 4 },
      { address: '192.0.2.2', family: 4 },
    ]);
  const socket = net.connect({ port: 80, host: 'two.test', lookup, autoSelectFamily: true });
  const [error] = await once(socket, 'error');
  assert.equal(error.code, 'ENETUNREACH');
  const remedies = error.errors.map(({ message }: Error) => message.split('--outbound').length);
  assert.deepEqual(remedies, [2, 2]);
  await bed.settled();
});

describe('codes', () => {
  test('endsOfAConnect_areWhatTheKernelSays', () => {
    const said = Object.entries(DEAD).map(([name, reason]) => [name, errnoOfDead(reason)]);
    assert.deepEqual(Object.fromEntries(said), {
      closed: 0,
      reset: -errno.ECONNRESET,
      timeout: -errno.ETIMEDOUT,
      refused: -errno.ECONNREFUSED,
      unreachable: -errno.EHOSTUNREACH,
      aborted: -errno.ECONNABORTED,
      denied: -errno.EACCES,
      inUse: -errno.EADDRNOTAVAIL,
      exhausted: -errno.ENOBUFS,
      quota: -errno.EMFILE,
      noRoute: -errno.ENETUNREACH,
    });
  });

  test('refusalsOfAListen_areToldApart', () => {
    const codes = [CODE.IN_USE, CODE.NO_ROUTE, CODE.QUOTA, CODE.NO_FLOW, CODE.BAD_CALL];
    const { EADDRINUSE, EADDRNOTAVAIL, EMFILE, ENOBUFS, EINVAL } = errno;
    const expected = [EADDRINUSE, EADDRNOTAVAIL, EMFILE, ENOBUFS, EINVAL];
    assert.deepEqual(
      codes.map((code) => -errnoOfListen(code)),
      expected,
    );
  });

  test('remedy_isOnlyForWhatHasOne_andNotSaidTwice', () => {
    const inUse = systemError(-errno.EADDRINUSE, 'listen', '::', 80);
    assert.equal(inUse.message, 'listen EADDRINUSE: address already in use :::80');
    const quota = systemError(-errno.EMFILE, 'listen', '::', 80);
    assert.match(quota.message, /^listen EMFILE: too many open files :::80; .*--quota$/);
    const { message } = quota;
    advise(quota);
    assert.equal(quota.message, message);
    const own = Object.assign(new Error('read'), { errno: -errno.EACCES, syscall: 'read' });
    advise(own);
    assert.equal(own.message, 'read');
  });
});

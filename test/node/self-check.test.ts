/** A Node in which something undocumented has changed: one line names it, before any program. */
import assert from 'node:assert/strict';
import dns from 'node:dns';
import http from 'node:http';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import tls from 'node:tls';
import { layBed } from './bed.ts';

const bed = layBed();
after(() => bed.close());

const IS_REMEDY = /^this Node \(v[\d.]+\) is not as 26\.10 is: (.*); run the program with/;
let copies = 0;

/** The internals as another module would find them now. */
const fetched = (): Promise<unknown> => import(`../../src/node/internals.ts?copy=${copies++}`);

type Loose = Record<string, unknown>;

/** Runs with `object[name]` replaced. */
async function without<T>(object: object, name: string, value: unknown, run: () => Promise<T>) {
  const own = Object.getOwnPropertyDescriptor(object, name);
  Object.defineProperty(object, name, { value, configurable: true, writable: true });
  try {
    return await run();
  } finally {
    if (own) Object.defineProperty(object, name, own);
    else delete (object as Loose)[name];
  }
}

const refusal = async (run: () => Promise<unknown>, code = 'IX_NODE'): Promise<string> => {
  const error = await run().then(
    () => assert.fail('nothing was missed'),
    (reason) => reason,
  );
  assert.equal(error.code, code);
  return IS_REMEDY.exec(error.message)?.[1] ?? `no remedy: ${error.message}`;
};

const { binding } = process as unknown as { binding(name: string): Loose };
const bindingWith = (name: string, value: Loose) => (asked: string) =>
  asked === name ? value : binding.call(process, asked);

describe('self-check', () => {
  test('thisNode_hasAll', async () => {
    await fetched();
    const { checkNode } = await import('../../src/node/self-check.ts');
    checkNode(bed.network);
  });

  for (const [object, name, value, says] of [
    [process, 'binding', undefined, /process\.binding is missing/],
    [process, 'binding', bindingWith('js_stream', {}), /JSStream is missing/],
    [process, 'binding', bindingWith('tcp_wrap', {}), /TCP is missing/],
    [process, 'binding', bindingWith('stream_wrap', {}), /streamBaseState/],
    [process, 'binding', bindingWith('cares_wrap', {}), /getaddrinfo/],
    [process, '_tickCallback', undefined, /_tickCallback is missing/],
    [net.Server.prototype, '_listen2', undefined, /_listen2/],
    [tls.TLSSocket.prototype, '_wrapHandle', undefined, /_wrapHandle/],
  ] as const) {
    test(`${name}_${says.source.replace(/\W+/g, '')}_isNamed`, async () => {
      assert.match(await without(object, name, value, () => refusal(fetched)), says);
    });
  }

  test('httpThatReadsOtherwise_isNamed', async () => {
    const { checkNode } = await import('../../src/node/self-check.ts');
    const check = async (): Promise<void> => checkNode(bed.network);
    const deaf = () => new net.Server();
    assert.match(await without(http, 'createServer', deaf, () => refusal(check)), /http reads/);
  });

  test('lookupThatAsksAnotherWay_isNamed', async () => {
    const { checkNode } = await import('../../src/node/self-check.ts');
    const check = async (): Promise<void> => checkNode(bed.network);
    assert.match(
      await without(
        dns,
        'lookup',
        () => {},
        () => refusal(check),
      ),
      /dns\.lookup/,
    );
  });

  test('tlsThatMakesAHandleOfItsOwn_isNamed', async () => {
    const { checkNode } = await import('../../src/node/self-check.ts');
    const check = async (): Promise<void> => checkNode(bed.network);
    const other = () => ({ reading: true, close() {} });
    const broken = () => without(tls.TLSSocket.prototype, '_wrapHandle', other, check);
    assert.match(await refusal(broken), /^TLS /);
  });
});

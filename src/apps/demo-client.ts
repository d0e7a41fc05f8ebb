/**
 * demo-client: something to see where no network may be touched. Talks to a server over the cable:
 * a few requests word for word, then a closed loop for two seconds, and the rate.
 *
 * - `options`: address, port, app ('kv' or anything that echoes), seconds.
 * - Reports a line each as { kind: 'transcript', line } and stops its dataplane at the end; or says
 *   once why it cannot (not connected, left alone, no answer), as { kind: 'failed', line }.
 */
import { DEAD } from '../gate/abi.ts';
import type { Application, Connection, Handlers, Ix } from '../libix/index.ts';

const CONNECTIONS = 16;
/** For all answers that are shown: microseconds on a cable, where nothing is lost. */
const PATIENCE_S = 10;
const KV_SCRIPT = [
  'set greeting 0 0 5\r\nhello\r\n',
  'get greeting\r\n',
  'append greeting 0 0 7\r\n, world\r\n',
  'gets greeting\r\n',
  'incr counter 1\r\n',
  'version\r\n',
];
const ECHO_SCRIPT = ['hello\r\n', 'is anybody there?\r\n'];

const failed = (ix: Ix, line: string) => ix.report({ kind: 'failed', line });

/** Why a connection ended, as src/gate/abi.ts calls it. */
const nameOf = (reason: number): string =>
  Object.entries(DEAD).find(([, value]) => value === reason)?.[0] ?? `${reason}`;

/** One request after the other on one connection, each answer shown. */
function talk(ix: Ix, address: string, port: number, script: readonly string[], done: () => void) {
  let next = 0;
  const isOver = (): boolean => next > script.length;
  const show = (mark: string, text: string): void => {
    for (const line of text.trimEnd().split('\r\n'))
      ix.report({ kind: 'transcript', line: `${mark} ${line}` });
  };
  const say = (c: Connection): void => {
    const request = script[next];
    next += 1;
    if (request === undefined) {
      c.close();
      return done();
    }
    show('>', request);
    c.writeText(request);
  };
  ix.connect(address, port, {
    opened: say,
    received(c, offset, length) {
      const text = Buffer.from(ix.u8.subarray(offset, offset + length)).toString('latin1');
      if (!text.endsWith('\r\n')) return 0;
      show(' ', text);
      say(c);
      return length;
    },
    closed(_c, reason) {
      if (isOver()) return;
      failed(
        ix,
        `the built-in client lost its connection to ${address}:${port} (${nameOf(reason)})`,
      );
    },
  });
  ix.timer(PATIENCE_S * 1_000_000, () => {
    if (!isOver()) failed(ix, `the built-in client got no whole line within ${PATIENCE_S} s`);
  });
}

/** Of the line by which a store that has no room for a connection says so, before it closes it. */
const REFUSAL = 'ERROR Too many';

/** Request, answer, request ... on several connections: as many of them as the server takes. */
function load(ix: Ix, address: string, port: number, request: string, seconds: number) {
  const span = ix.text(request);
  let messages = 0;
  let opened = 0;
  const isRefusal = (offset: number): boolean => {
    for (let i = 0; i < REFUSAL.length; i++) {
      if (ix.u8[offset + i] !== REFUSAL.charCodeAt(i)) return false;
    }
    return true;
  };
  const handlers: Handlers = {
    opened(c) {
      opened += 1;
      c.send(span.offset, span.length);
    },
    received(c, offset, length) {
      if (ix.u8[offset + length - 1] !== 10) return 0;
      if (isRefusal(offset)) {
        opened -= 1;
        c.state = REFUSAL;
        return length;
      }
      messages += 1;
      c.send(span.offset, span.length);
      return length;
    },
    closed(c, reason) {
      if (c.state === REFUSAL) return;
      failed(ix, `the built-in client lost a connection under load (${nameOf(reason)})`);
    },
  };
  for (let i = 0; i < CONNECTIONS; i++) ix.connect(address, port, handlers);
  ix.timer(seconds * 1_000_000, () => {
    const rate = Math.round(messages / seconds).toLocaleString('en');
    const line = `${rate} requests a second over ${opened} connections, one core a side`;
    ix.report({ kind: 'transcript', line });
    ix.stop(0);
  });
}

const demoClient: Application = (ix, options) => {
  const address = options['address'] ?? '10.77.0.2';
  const port = Number(options['port'] ?? 11211);
  const seconds = Number(options['seconds'] ?? 2);
  const isKv = options['app'] === 'kv';
  talk(ix, address, port, isKv ? KV_SCRIPT : ECHO_SCRIPT, () =>
    load(ix, address, port, isKv ? 'get greeting\r\n' : 'hello\r\n', seconds),
  );
};

export default demoClient;

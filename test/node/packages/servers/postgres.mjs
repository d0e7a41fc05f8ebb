// As much of PostgreSQL as pg asks for: the change to TLS, the extended query protocol (each query
// answers its parameter), a query that fails and one that ends the connection.
import net from 'node:net';
import tls from 'node:tls';
import { framed } from '../framed.mjs';

const SSL_REQUEST = 80_877_103;
const int32 = (value) => Buffer.from([value >> 24, value >> 16, value >> 8, value]);
const int16 = (value) => Buffer.from([value >> 8, value]);
const text = (value) => Buffer.from(`${value}\0`);
const message = (type, ...parts) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
};
const ready = message('Z', Buffer.from('I'));
const greeting = Buffer.concat([
  message('R', int32(0)),
  message('S', text('server_version'), text('16.0')),
  message('K', int32(1), int32(2)),
  ready,
]);
const BYTEA = 17;
const column = message(
  'T',
  ...[int16(1), text('value'), int32(0), int16(0), int32(BYTEA), int16(-1), int32(-1), int16(0)],
);
const failed = message(
  'E',
  text('SERROR'),
  text('C22012'),
  text('Mdivision by zero'),
  Buffer.of(0),
);

/** The first parameter of a Bind message, as bytes. */
function parameterOf(body) {
  let at = body.indexOf(0) + 1; // portal
  at = body.indexOf(0, at) + 1; // statement
  at += 2 + 2 * body.readInt16BE(at); // formats
  const count = body.readInt16BE(at);
  const length = count > 0 ? body.readInt32BE(at + 2) : -1;
  return length < 0 ? undefined : body.subarray(at + 6, at + 6 + length);
}

function row(value) {
  if (value === undefined) return message('D', int16(1), int32(-1));
  const hex = Buffer.from(`\\x${value.toString('hex')}`);
  return message('D', int16(1), int32(hex.length), hex);
}

/** Answers to messages of a session, by their types. */
function answersOf(socket) {
  let parameter;
  let query = '';
  return {
    P: (body) => {
      query = `${body}`;
      return message('1');
    },
    B: (body) => {
      parameter = parameterOf(body);
      return message('2');
    },
    D: () => column,
    E: () => {
      if (query.includes('1/0')) return failed;
      if (query.includes('terminate')) return void socket.destroy();
      return Buffer.concat([row(parameter), message('C', text('SELECT 1'))]);
    },
    S: () => ready,
    X: () => void socket.end(),
  };
}

function session(socket) {
  const answers = answersOf(socket);
  let isStarted = false;
  const stop = framed(socket, (bytes) => {
    for (let used = 0; ; ) {
      const start = used + (isStarted ? 1 : 0);
      const size = bytes.length < start + 4 ? 4 : bytes.readInt32BE(start);
      if (bytes.length < start + size || bytes.length < start + 4)
        return [used, start - used + size];
      const body = bytes.subarray(start + 4, start + size);
      const type = String.fromCharCode(bytes[used]);
      used = start + size;
      if (isStarted) {
        const answer = answers[type]?.(body);
        if (answer) socket.write(answer);
      } else if (body.readInt32BE(0) === SSL_REQUEST) {
        stop();
        socket.write('S');
        const { KEY: key, CERTIFICATE: cert } = process.env;
        session(new tls.TLSSocket(socket, { isServer: true, key, cert }));
        return [used, 1];
      } else {
        isStarted = true;
        socket.write(greeting);
      }
    }
  });
}

net.createServer(session).listen(3017);

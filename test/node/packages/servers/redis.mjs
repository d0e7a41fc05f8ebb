// As much of Redis as ioredis asks for: RESP2, values, publish and subscribe.
import net from 'node:net';
import { framed } from '../framed.mjs';

const values = new Map();
const subscribers = new Map();
const bulk = (value) =>
  value === undefined
    ? Buffer.from('$-1\r\n')
    : Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]);
const array = (items) => Buffer.concat([Buffer.from(`*${items.length}\r\n`), ...items.map(bulk)]);

const commands = {
  info: () => bulk(Buffer.from('redis_version:7.2.0\r\nloading:0\r\n')),
  ping: () => '+PONG\r\n',
  client: () => '+OK\r\n',
  quit: (socket) => void socket.end('+OK\r\n'),
  set: (_socket, key, value) => {
    values.set(`${key}`, value);
    return '+OK\r\n';
  },
  get: (_socket, key) => bulk(values.get(`${key}`)),
  incr: (_socket, key) => {
    const next = Number(values.get(`${key}`) ?? 0) + 1;
    values.set(`${key}`, Buffer.from(`${next}`));
    return `:${next}\r\n`;
  },
  subscribe: (socket, channel) => {
    subscribers.set(`${channel}`, socket);
    return Buffer.concat([
      Buffer.from('*3\r\n'),
      bulk(Buffer.from('subscribe')),
      bulk(channel),
      Buffer.from(':1\r\n'),
    ]);
  },
  publish: (_socket, channel, message) => {
    subscribers.get(`${channel}`)?.write(array([Buffer.from('message'), channel, message]));
    return ':1\r\n';
  },
};

/** The first command's words, and where it ends; without words: how many bytes it has at least. */
function parse(bytes) {
  const line = (at) => bytes.indexOf('\r\n', at);
  let at = line(0);
  if (at < 0) return { end: bytes.length + 1 };
  const words = [];
  let left = Number(bytes.subarray(1, at));
  for (at += 2; left > 0; left--) {
    const end = line(at);
    if (end < 0) return { end: bytes.length + 1 };
    const length = Number(bytes.subarray(at + 1, end));
    const from = end + 2;
    at = from + length + 2;
    if (bytes.length < at) return { end: at };
    words.push(bytes.subarray(from, from + length));
  }
  return { words, end: at };
}

function answer(socket, [name, ...words]) {
  const command = commands[`${name}`.toLowerCase()];
  const said = command ? command(socket, ...words) : `-ERR unknown command '${name}'\r\n`;
  if (said) socket.write(said);
}

net
  .createServer((socket) => {
    framed(socket, (bytes) => {
      for (let used = 0; ; ) {
        const { words, end } = parse(bytes.subarray(used));
        if (words === undefined) return [used, end];
        answer(socket, words);
        used += end;
      }
    });
  })
  .listen(3016);

// As much of MongoDB as its driver asks for: the handshake, ping, insert and find.
import net from 'node:net';
import { deserialize, serialize } from 'bson';
import { framed } from '../framed.mjs';

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const HEADER_BYTES = 16;
const documents = [];

const commands = {
  hello: () => ({
    ...{ isWritablePrimary: true, ismaster: true, helloOk: true, readOnly: false },
    ...{ maxBsonObjectSize: 16 * 2 ** 20, maxMessageSizeBytes: 48_000_000 },
    ...{ maxWriteBatchSize: 100_000, minWireVersion: 0, maxWireVersion: 21, localTime: new Date() },
  }),
  ping: () => ({}),
  insert: ({ documents: given }) => {
    documents.push(...given);
    return { n: given.length };
  },
  find: ({ find, $db, filter }) => ({
    cursor: {
      id: 0n,
      ns: `${$db}.${find}`,
      firstBatch: documents.filter(({ name }) => name === filter.name),
    },
  }),
  endSessions: () => ({}),
};
commands.isMaster = commands.ismaster = commands.hello;

function answerTo(command) {
  const known = commands[Object.keys(command)[0]];
  return known ? { ...known(command), ok: 1 } : { ok: 0, code: 59, errmsg: 'no such command' };
}

/** Body and document sequences of an OP_MSG. */
function commandOf(bytes) {
  let command = {};
  for (let at = HEADER_BYTES + 4; at < bytes.length; ) {
    const kind = bytes[at++];
    const size = bytes.readInt32LE(at);
    const section = bytes.subarray(at, at + size);
    at += size;
    if (kind === 0) command = { ...deserialize(section), ...command };
    else {
      const end = section.indexOf(0, 4);
      const list = [];
      for (let from = end + 1; from < size; from += section.readInt32LE(from)) {
        list.push(deserialize(section.subarray(from, from + section.readInt32LE(from))));
      }
      command[`${section.subarray(4, end)}`] = list;
    }
  }
  return command;
}

function reply(bytes) {
  const code = bytes.readInt32LE(12);
  const name = bytes.indexOf(0, HEADER_BYTES + 4);
  const command = code === OP_QUERY ? deserialize(bytes.subarray(name + 9)) : commandOf(bytes);
  const body = Buffer.from(serialize(answerTo(command), { ignoreUndefined: true }));
  const isOld = code === OP_QUERY;
  const middle = Buffer.alloc(isOld ? 20 : 5);
  if (isOld) middle.writeInt32LE(1, 16); // one document
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeInt32LE(HEADER_BYTES + middle.length + body.length, 0);
  header.writeInt32LE(bytes.readInt32LE(4), 8);
  header.writeInt32LE(isOld ? OP_REPLY : OP_MSG, 12);
  return Buffer.concat([header, middle, body]);
}

net
  .createServer((socket) => {
    framed(socket, (bytes) => {
      for (let used = 0; ; ) {
        const left = bytes.length - used;
        const size = left < HEADER_BYTES ? HEADER_BYTES : bytes.readInt32LE(used);
        if (left < size || left < HEADER_BYTES) return [used, size];
        socket.write(reply(bytes.subarray(used, used + size)));
        used += size;
      }
    });
  })
  .listen(3019);

// mysql2's own server: answers a number, ten megabytes of text, an error.
import mysql from 'mysql2';

const long = 'mysql'.repeat(2 * 2 ** 20);
const column = (name, columnType) => ({
  ...{ catalog: 'def', schema: '', table: '', orgTable: '', name, orgName: name },
  ...{ characterSet: 63, columnLength: 2 ** 24, columnType, flags: 128, decimals: 0 },
});
const TEXT = 253;
const LONG = 3;
let ids = 1;

const server = mysql.createServer();
server.on('connection', (connection) => {
  // Each command's packets are counted from 0 again: as a server, mysql2 leaves that to us.
  const nextCommand = () => {
    connection.sequenceId = 0;
  };
  connection.serverHandshake({
    protocolVersion: 10,
    serverVersion: '8.0.0-toy',
    connectionId: ids++,
    statusFlags: 2,
    characterSet: 8,
    capabilityFlags: 0xffffff ^ 0x800,
    authCallback: (_parameters, done) => {
      done(null, null);
      setImmediate(nextCommand);
    },
  });
  connection.on('error', () => {});
  connection.on('packet', nextCommand);
  connection.on('query', (sql) => {
    if (sql === 'SELECT 1/0') return connection.writeError({ code: 1365, message: 'by zero' });
    const [name, type, value] =
      sql === 'SELECT long' ? ['data', TEXT, long] : ['length', LONG, sql.length];
    connection.writeTextResult([{ [name]: value }], [column(name, type)]);
  });
  connection.on('ping', () => connection.writeOk());
  connection.on('quit', () => connection.close());
});
server.listen(3018);

// An ordinary CommonJS program, for tests: serves when it is the main module.
const net = require('node:net');

if (require.main === module) net.createServer((socket) => socket.pipe(socket)).listen(7);

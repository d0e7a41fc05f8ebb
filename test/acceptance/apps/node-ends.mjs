// A Node program that ends in the way of its first argument, after the ms of its second ('top': at
// once; 0: it does not listen). For tests.
import net from 'node:net';

const [how, ms] = process.argv.slice(2);
const endings = {
  exit: () => process.exit(7),
  exitCode: () => process.on('exit', () => Object.assign(process, { exitCode: 6 })),
  throw: () => {
    throw new TypeError('thrown by a program');
  },
  reject: () => void Promise.reject(new TypeError('rejected by a program')),
  caught: () => {
    process.on('uncaughtException', ({ message }) => process.exit(message === 'mine' ? 8 : 1));
    throw new Error('mine');
  },
};
if (ms !== '0') net.createServer((socket) => socket.resume()).listen(8080);
if (ms === 'top') endings[how]();
else setTimeout(endings[how], Number(ms));

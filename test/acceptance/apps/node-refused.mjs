// A Node program that is refused in every way, says how, and ends. For tests.
import { once } from 'node:events';
import net from 'node:net';

const say = (error) => console.log(JSON.stringify({ ...error, message: error.message }));
for (const host of ['10.77.0.1', '192.0.2.1', '2001:db8::1']) {
  const [error] = await once(net.connect(9, host), 'error');
  say(error);
}
net.createServer().listen(8080);
const [error] = await once(net.createServer().listen(8081), 'error');
say(error);
process.exit();

// MQTT.js: what one publishes, the other hears, at each quality of service.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import mqtt from 'mqtt';
import { BODY, failure, isBody, REFUSED } from '../checks.mjs';

export async function ask(host) {
  const url = `mqtt://${host}:3014`;
  const [one, other] = await Promise.all([mqtt.connectAsync(url), mqtt.connectAsync(url)]);
  await other.subscribeAsync('news/#', { qos: 2 });
  for (const qos of [0, 1, 2]) {
    const heard = once(other, 'message');
    await one.publishAsync(`news/${qos}`, `${qos}`, { qos });
    const [topic, payload] = await heard;
    assert.deepEqual([topic, `${payload}`], [`news/${qos}`, `${qos}`]);
  }
  const heard = once(other, 'message');
  await one.publishAsync('news/all', BODY, { qos: 1 });
  isBody((await heard)[1]);
  await Promise.all([one.endAsync(), other.endAsync()]);
  const refused = mqtt.connect(`mqtt://${host}:${REFUSED}`, { reconnectPeriod: 0 });
  assert.equal((await failure(once(refused, 'connect'))).code, 'ECONNREFUSED');
  refused.end(true);
}

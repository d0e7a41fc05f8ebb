// ioredis: pipelines, ten megabytes, publish and subscribe, a server that is not there.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { BODY, failure, isBody, REFUSED, RESETS, times } from '../checks.mjs';

export async function ask(host) {
  const redis = new Redis({ host, port: 3016 });
  await redis.set('body', BODY);
  isBody(await redis.getBuffer('body'));
  const first = await redis.incr('count');
  const pipeline = redis.pipeline();
  for (let i = 0; i < 100; i++) pipeline.incr('count');
  const counts = (await pipeline.exec()).map(([, count]) => count);
  assert.deepEqual(
    counts,
    times(100, (i) => first + 1 + i),
  );
  const subscriber = redis.duplicate();
  await subscriber.subscribe('news');
  const heard = once(subscriber, 'message');
  await redis.publish('news', 'hello');
  assert.deepEqual(await heard, ['news', 'hello']);
  subscriber.disconnect();
  await redis.quit();
  for (const port of [REFUSED, RESETS]) {
    const away = new Redis({ host, port, lazyConnect: true, retryStrategy: null });
    const error = once(away, 'error').then(([{ code }]) => code);
    await failure(away.connect());
    assert.match(
      await Promise.race([error, once(away, 'end').then(() => 'end')]),
      port === REFUSED ? /ECONNREFUSED/ : /ECONNRESET|end/,
    );
    away.disconnect();
  }
}

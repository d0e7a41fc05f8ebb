// What clients/ share: ten megabytes that do not repeat soon, and what must go wrong.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

export const BODY = Buffer.alloc(10 * 2 ** 20);
for (let i = 0, x = 1; i < BODY.length; i++) {
  x = (Math.imul(x, 1_103_515_245) + 12_345) | 0;
  BODY[i] = x >>> 16;
}

export const MANY = 1000;
/** Nobody listens there. */
export const REFUSED = 3099;
/** servers/net.mjs: resets whoever says something. */
export const RESETS = 3012;

export const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
const BODY_DIGEST = digest(BODY);

export function isBody(bytes) {
  assert.equal(bytes.length, BODY.length);
  assert.equal(digest(bytes), BODY_DIGEST);
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export const times = (count, make) => Array.from({ length: count }, (_v, i) => make(i));

/** The error of what must fail. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('it was to fail');
}

/**
 * What kv says of itself to who starts it (src/libix/wants.ts), without any of its code.
 *
 * - It answers and never speaks first.
 * - It asks silent clients whether they are there, as memcached does, which sets SO_KEEPALIVE and
 *   leaves the times to Linux.
 * - Its memory for `-m M` is at least what kv.ts `kvBytes` says of M: pages, at most 1/32 of them
 *   for hash buckets, and the keys of unfinished lines.
 */
export const wants = {
  connect: 'none',
  keepalive: 7200,
  memory: { perMiB: 33 / 32, fixedMiB: 16 },
  oneThread: 'kv keeps its values in one thread, where every connection must find them',
  settings: ['m', 'port', 'p', 'idle_timeout'],
  tries: [
    "printf 'set a 0 0 5\\r\\nhello\\r\\nget a\\r\\nquit\\r\\n' | nc ADDRESS PORT",
    'bin/ix stat',
  ],
} as const;

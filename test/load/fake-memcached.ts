/**
 * Enough of memcached for a generator: set, and get of any number of keys, requests in any pieces.
 * What a get is answered may be distorted.
 */
import assert from 'node:assert/strict';
import type { FakeServer } from './fake-ix.ts';

export function memcachedServer(
  values = new Map<string, string>(),
  distort = (answer: string) => answer,
): FakeServer {
  const lookUp = (key: string): string => {
    const value = values.get(key);
    return value === undefined ? '' : `VALUE ${key} 0 ${value.length}\r\n${value}\r\n`;
  };
  return () => {
    let text = '';
    return (bytes) => {
      text += bytes.toString('latin1');
      let answer = '';
      for (;;) {
        const set = /^set (\S+) 0 0 (\d+)\r\n/.exec(text);
        const get = /^get ([^\r]+)\r\n/.exec(text);
        if (set) {
          const end = set[0].length + Number(set[2]);
          if (text.length < end + 2) break;
          assert.equal(text.slice(end, end + 2), '\r\n');
          values.set(set[1]!, text.slice(set[0].length, end));
          text = text.slice(end + 2);
          answer += 'STORED\r\n';
        } else if (get) {
          text = text.slice(get[0].length);
          answer += distort(`${get[1]!.split(' ').map(lookUp).join('')}END\r\n`);
        } else break;
      }
      return Buffer.from(answer, 'latin1');
    };
  };
}

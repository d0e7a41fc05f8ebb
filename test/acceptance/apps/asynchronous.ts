/**
 * Answers lines late, from Node's event loop: `timer N`, `file N` and `promise N` with what they
 * say, after a timer, after a file has been read, after a chain of promises; `echo N` at once. It
 * reads its own source, which it may.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Application, Connection } from '../../../src/libix/index.ts';

const LATER: Record<string, () => Promise<unknown>> = {
  timer: () => sleep(5),
  file: () => readFile(import.meta.filename),
  promise: async () => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  },
};

const asynchronous: Application = (ix) => {
  const answer = async (c: Connection, line: string): Promise<void> => {
    await LATER[line.split(' ')[0]!]?.();
    if (!c.writeText(`${line}\n`) && c.isOpen) throw new Error('no room for an answer');
  };
  ix.listen(7, {
    received(c, offset, length) {
      const text = Buffer.from(ix.u8.subarray(offset, offset + length)).toString('latin1');
      const lines = text.slice(0, text.lastIndexOf('\n') + 1);
      for (const line of lines.split('\n').slice(0, -1)) {
        if (line.startsWith('echo')) c.writeText(`${line}\n`);
        else void answer(c, line);
      }
      return lines.length;
    },
  });
};

export default asynchronous;

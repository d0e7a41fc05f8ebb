/**
 * Does what each line says half a second later, when its client may be gone and another one there:
 * `write WORD`, `close`, `abort`; by a timer of Node, of libix, or an await. `report KIND` reports
 * what cannot be, at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Application, Connection, Ix } from '../../../src/libix/index.ts';

const LATE_MS = 500;
const LATER: ((ix: Ix, deed: () => void) => void)[] = [
  (_ix, deed) => setTimeout(deed, LATE_MS),
  (ix, deed) => ix.timer(LATE_MS * 1000, deed),
  (_ix, deed) => void sleep(LATE_MS).then(deed),
];

const circle: unknown[] = [];
circle.push(circle);
const REPORTS: Record<string, (ix: Ix) => void> = {
  big: (ix) => ix.report('x'.repeat(2 ** 21)),
  circle: (ix) => ix.report(circle),
  bigint: (ix) => ix.report(1n),
  // As many as no queue should hold: about 200 MB.
  flood: (ix) => {
    for (let i = 0; i < 200_000; i++) ix.report('flood'.repeat(200));
  },
};

const late: Application = (ix) => {
  let asked = 0;
  const deed = (c: Connection, what: string, line: string): void => {
    if (what === 'close') c.close();
    else if (what === 'abort') c.abort();
    else c.writeText(`${line}\n`);
  };
  ix.listen(7, {
    received(c, offset, length) {
      const text = Buffer.from(ix.u8.subarray(offset, offset + length)).toString('latin1');
      const lines = text.split('\n').slice(0, -1);
      for (const line of lines) {
        const [what = '', kind = ''] = line.split(' ');
        if (what === 'report') {
          REPORTS[kind]!(ix);
          c.writeText(`${line}\n`);
        } else LATER[asked++ % LATER.length]!(ix, () => deed(c, what, line));
      }
      return text.lastIndexOf('\n') + 1;
    },
  });
};

export default late;

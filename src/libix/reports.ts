/**
 * What an application reports to whoever started its service: one line of JSON each.
 *
 * - A value that is no JSON, longer than REPORT_BYTES_MAX or nested too deep is refused to the
 *   caller, with one line on standard error; nothing of it is cut, because half a value is none.
 * - What is not read does not pile up: with REPORTS_BYTES_MAX under way (src/dataplane/reports.ts)
 *   further ones are refused.
 *
 * Called by ix.ts.
 */
import { DEPTH_MAX, depthOf } from '../json-depth.ts';
import { REPORT_BYTES_MAX } from '../limits.ts';
import { describe, type Faults, Seldom } from './guard.ts';

const refusal = (why: string): string => `a report was not sent: ${why}`;

export class Reports {
  readonly #send: (json: string) => boolean;
  readonly #faults: Faults;
  /** Who has no room for one has none for the next. */
  readonly #noRoom: Seldom;

  /** `send` answers false when there is no room. */
  constructor(send: (json: string) => boolean, faults: Faults) {
    this.#send = send;
    this.#faults = faults;
    this.#noRoom = new Seldom(faults);
  }

  report(value: unknown): boolean {
    let json: string | undefined;
    try {
      json = JSON.stringify(value);
    } catch (error) {
      return this.#refuse(`it cannot be said as JSON (${describe(error).split('\n')[0]})`);
    }
    if (json === undefined) return this.#refuse(`${typeof value} is no JSON`);
    const bytes = Buffer.from(json);
    if (bytes.length > REPORT_BYTES_MAX) {
      return this.#refuse(
        `${bytes.length} bytes of JSON, at most ${REPORT_BYTES_MAX} go; split it`,
      );
    }
    if (depthOf(bytes) >= DEPTH_MAX) {
      return this.#refuse(`it is nested deeper than ${DEPTH_MAX - 1}; make it flatter`);
    }
    if (this.#send(json)) return true;
    this.#noRoom.tell(refusal('earlier ones have not been read yet; report less often'));
    return false;
  }

  #refuse(why: string): false {
    this.#faults.tell(refusal(why));
    return false;
  }
}

/**
 * Packet scripts: their syntax. A file holds scenarios, each one a conversation with one host, line
 * by line.
 *
 *     == established_threeDuplicates_fastRetransmit a scenario begins (and ends the one before)
 *     host congestion=newReno choices: congestion, ecn, mtu, flows, keepalive, timeWait (ms); first
 *     line
 *     listen                                             a call of the application
 *     +0 < S 0 <mss 1000, sack> the peer sends: flags, sequence number, options +0 > SA 0 ack 1 the
 *     host must send that, at that time +10 < A 1 ack 1 win 50000 accept write 3000 the next 3000
 *     bytes of the stream +0 > A 1:1001 > A 1001:2001 no time: at the same time > PA 2001:3001
 *     quiet 100 nothing for 100 ms field cwnd 10000..12000 a word of the control block: N, N..M,
 *     <N, >N
 *
 * - Times are milliseconds after the line before; `+200..250` is a span; what must leave may do so
 *   1 ms or 2 % late.
 * - Numbers are relative to the SYNs, as in tcpdump. `ack` left out: everything that has come
 *   (`<`), anything (`>`).
 * - What leaves must be in the script, in order, and nothing else. Flags are compared letter by
 *   letter (F S R P A U E W), options only when given: `<>` none, `<mss N, scale N, sack, ts ECR,
 *   sack A:B C:D>`; from the peer `ts VAL ECR`.
 * - `A 1:5001 each 1000` are five segments. From the peer, `ts VAL -N` echoes what came N ms before
 *   the latest.
 * - `ecn ce`, `ecn ect0`, `ecn no` behind a segment: its IP header's bits. `bad` behind one of the
 *   peer's: its checksum.
 * - `< icmp TYPE CODE [MTU]` is about the first (`about last`: the last) segment that left since
 *   the peer last spoke.
 * - `open RTT <options>`: the peer opens with that round trip, the application accepts.
 * - Calls: listen [backlog N], connect, accept, reject, write N, read N, close, shutdown, abort,
 *   keepalive MS, userTimeout MS. Questions: state NAME, field NAME N, count COUNTER N, events
 *   NAME..., dead REASON, gone.
 * - `skip` forgets what has left.
 * - `peer N` goes on with another peer (port 40000 + N) of the same host. `sink MS rtt MS [more MS]
 *   [mark]` lets the application write and the peer acknowledge every segment for a while; `more`
 *   adds to the round trip each round.
 * - `#` begins a comment.
 *
 * Used by player.ts. Read first: Cardwell et al., "packetdrill: scriptable network stack testing"
 * (USENIX ATC 2013).
 */

export interface Line {
  readonly file: string;
  readonly number: number;
  readonly text: string;
  /** Milliseconds after the line before, from and to. */
  readonly wait: readonly [number, number];
  /** '<', '>', or the name of a call or question. */
  readonly verb: string;
  readonly words: readonly string[];
  readonly segment?: ScriptSegment;
}

export interface ScriptSegment {
  readonly flags: string;
  readonly seq: number;
  readonly length: number;
  readonly ack?: number;
  readonly window?: number;
  readonly ecn?: number;
  readonly isBad: boolean;
  /** Several segments of so many bytes. */
  readonly each?: number;
  /** Not there: not looked at. */
  readonly options?: ScriptOptions;
}

export interface ScriptOptions {
  mss?: number;
  scale?: number;
  sack?: boolean;
  /** One number: the echo. */
  ts?: number[];
  blocks?: [number, number][];
}

export interface Scenario {
  readonly name: string;
  readonly file: string;
  readonly choices: Readonly<Record<string, string>>;
  readonly lines: readonly Line[];
}

export class ScriptError extends Error {
  readonly code = 'IX_SCRIPT';

  constructor(line: Pick<Line, 'file' | 'number' | 'text'>, message: string) {
    super(`${line.file}:${line.number}: ${message}\n    ${line.text}`);
  }
}

const ECN_BITS: Record<string, number> = { no: 0, ect1: 1, ect0: 2, ce: 3 };

/** The scenarios of a file. */
export function parse(file: string, source: string): Scenario[] {
  const scenarios: {
    name: string;
    file: string;
    choices: Record<string, string>;
    lines: Line[];
  }[] = [];
  source.split('\n').forEach((raw, index) => {
    const text = raw.replace(/#.*/, '').trim();
    if (text === '') return;
    const where = { file, number: index + 1, text };
    const begins = /^== *(\w+)$/.exec(text);
    if (begins) {
      scenarios.push({ name: begins[1]!, file, choices: {}, lines: [] });
      return;
    }
    const scenario = scenarios.at(-1);
    if (!scenario) throw new ScriptError(where, 'a line before the first == name');
    if (text.startsWith('host ')) {
      for (const choice of text.slice(5).trim().split(/\s+/)) {
        const [name, value] = choice.split('=');
        if (!name || !value) throw new ScriptError(where, `${choice} is not name=value`);
        scenario.choices[name] = value;
      }
    } else scenario.lines.push(parseLine(where));
  });
  return scenarios;
}

function parseLine(where: { file: string; number: number; text: string }): Line {
  const time = /^\+(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?\s+/.exec(where.text);
  const rest = time ? where.text.slice(time[0].length) : where.text;
  const from = Number(time?.[1] ?? 0);
  const to = time?.[2] === undefined ? from : Number(time[2]);
  const wait: [number, number] = [from, to];
  if (!(from <= to)) throw new ScriptError(where, 'a time is +MS or +MS..MS');
  const [verb = '', ...words] = rest.split(/\s+/);
  if (verb === 'open') {
    const options = parseOptions(where, rest.slice(rest.indexOf('<')));
    const segment = { flags: 'S', seq: 0, length: 0, isBad: false, options };
    return { ...where, wait, verb, words, segment };
  }
  const isSegment = (verb === '<' || verb === '>') && words[0] !== 'icmp';
  if (!isSegment) return { ...where, wait, verb, words };
  const segment = parseSegment(where, rest.slice(1).trim());
  return { ...where, wait, verb, words, segment };
}

function parseSegment(where: Pick<Line, 'file' | 'number' | 'text'>, text: string): ScriptSegment {
  const angle = text.indexOf('<');
  const options = angle < 0 ? undefined : parseOptions(where, text.slice(angle));
  const words = (angle < 0 ? text : text.slice(0, angle) + text.slice(text.indexOf('>') + 1)).split(
    /\s+/,
  );
  const [flags = '', range = '', ...more] = words.filter((word) => word !== '');
  const span = /^(-?\d+)(?::(-?\d+))?$/.exec(range);
  if (!/^[FSRPAUEW-]+$/.test(flags) || !span) {
    throw new ScriptError(where, 'a segment is FLAGS SEQ[:END] ...');
  }
  const seq = Number(span[1]);
  const fields: { ack?: number; window?: number; ecn?: number; each?: number; isBad: boolean } = {
    isBad: false,
  };
  for (let i = 0; i < more.length; i++) {
    const word = more[i]!;
    if (word === 'ack') fields.ack = Number(more[++i]);
    else if (word === 'each') fields.each = Number(more[++i]);
    else if (word === 'win') fields.window = Number(more[++i]);
    else if (word === 'ecn') fields.ecn = ECN_BITS[more[++i]!] ?? Number.NaN;
    else if (word === 'bad') fields.isBad = true;
    else throw new ScriptError(where, `unknown word ${word}`);
  }
  if (Object.values(fields).includes(Number.NaN)) throw new ScriptError(where, 'not a number');
  return {
    flags: flags.replace('-', ''),
    seq,
    length: Number(span[2] ?? seq) - seq,
    ...fields,
    ...(options ? { options } : {}),
  };
}

/** `text` begins with < and holds the matching >. */
function parseOptions(where: Pick<Line, 'file' | 'number' | 'text'>, text: string): ScriptOptions {
  const options: ScriptOptions = {};
  const inside = text.slice(1, text.indexOf('>')).trim();
  for (const part of inside === '' ? [] : inside.split(',')) {
    const [name, ...values] = part.trim().split(/\s+/);
    if (name === 'mss') options.mss = Number(values[0]);
    else if (name === 'scale') options.scale = Number(values[0]);
    else if (name === 'ts') options.ts = values.map(Number);
    else if (name === 'sack' && values.length === 0) options.sack = true;
    else if (name === 'sack') {
      options.blocks = values.map((value) => value.split(':').map(Number) as [number, number]);
    } else throw new ScriptError(where, `unknown option ${name}`);
  }
  return options;
}

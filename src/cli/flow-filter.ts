/**
 * Which flows are meant: `dport 11211 src 10.77.0.0/24 state established`.
 *
 * - A condition is a word and its value; all of them must hold, and `and` may stand between them.
 * - Source and destination are those of a packet that comes in: `src` and `sport` are the peer's,
 *   `dst` and `dport` ours. `host` and `port` are of either end.
 * - What is none throws OptionError with the words that there are.
 *
 * Called by flows.ts.
 */
import { BlockList, isIP } from 'node:net';
import type { Flow } from '../control/record/flows.ts';
import { OptionError } from '../errors.ts';
import { printable } from '../printable.ts';
import { STATE_NAMES } from '../tcp/flow-facts.ts';

export type FlowFilter = (flow: Flow) => boolean;

const FORM = 'src|dst|host ADDRESS[/N], sport|dport|port N, state NAME, thread N';

const CONDITIONS: Readonly<Record<string, (value: string) => FlowFilter>> = {
  src: (value) => inside(value, ({ remote }) => [remote]),
  dst: (value) => inside(value, ({ local }) => [local]),
  host: (value) => inside(value, ({ remote, local }) => [remote, local]),
  sport: (value) => equals(portOf(value), ({ remotePort }) => [remotePort]),
  dport: (value) => equals(portOf(value), ({ localPort }) => [localPort]),
  port: (value) => equals(portOf(value), ({ remotePort, localPort }) => [remotePort, localPort]),
  state: (value) => {
    const wanted = stateOf(value);
    return ({ state }) => state === wanted;
  },
  thread: (value) => equals(numberOf(value, 63, 'a thread'), ({ thread }) => [thread]),
};

/** Whether a filter begins with this word. */
export const isCondition = (word: string): boolean => Object.hasOwn(CONDITIONS, word);

export function parseFlowFilter(words: readonly string[]): FlowFilter {
  const conditions: FlowFilter[] = [];
  for (let i = 0; i < words.length; ) {
    if (words[i] === 'and' && conditions.length > 0 && i + 1 < words.length) i++;
    const word = words[i]!;
    if (!isCondition(word)) {
      throw new OptionError(`'${printable(word)}' is no condition of a filter`, `write: ${FORM}`);
    }
    const value = words[i + 1];
    if (value === undefined) throw new OptionError(`${word} needs a value`, `write: ${FORM}`);
    conditions.push(CONDITIONS[word]!(value));
    i += 2;
  }
  return (flow) => conditions.every((holds) => holds(flow));
}

const equals =
  (wanted: number, of: (flow: Flow) => number[]): FlowFilter =>
  (flow) =>
    of(flow).includes(wanted);

function inside(text: string, of: (flow: Flow) => string[]): FlowFilter {
  const [address = '', length, more] = text.split('/');
  const version = isIP(address);
  const most = version === 6 ? 128 : 32;
  const isLength = length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= most);
  if (version === 0 || !isLength || more !== undefined || address.includes('%')) {
    const problem = `'${printable(text)}' is neither an address nor a network`;
    throw new OptionError(problem, 'write it like 10.77.0.1, 10.77.0.0/24 or fd77::/64');
  }
  const list = new BlockList();
  const family = (of: number): 'ipv4' | 'ipv6' => (of === 6 ? 'ipv6' : 'ipv4');
  list.addSubnet(address, length === undefined ? most : Number(length), family(version));
  const isIn = (each: string): boolean =>
    isIP(each) === version && list.check(each, family(version));
  return (flow) => of(flow).some(isIn);
}

const portOf = (value: string): number => numberOf(value, 65_535, 'a port');

function numberOf(value: string, most: number, what: string): number {
  if (/^\d{1,5}$/.test(value) && Number(value) <= most) return Number(value);
  throw new OptionError(`'${printable(value)}' is not ${what}`, `write a number from 0 to ${most}`);
}

const plain = (state: string): string => state.toLowerCase().replace(/[-_]/g, '');

function stateOf(value: string): string {
  const found = STATE_NAMES.slice(1).find((name) => plain(name) === plain(value));
  if (found !== undefined) return found;
  const names = STATE_NAMES.slice(1).join(', ').toLowerCase();
  throw new OptionError(`'${printable(value)}' is not a state of TCP`, `there is ${names}`);
}

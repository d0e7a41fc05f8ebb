/**
 * Generators on other machines: `bin/ix load --agent [HOST:]PORT` waits there, `--agents
 * HOST:PORT,...` uses them.
 *
 * - One TCP connection a load point, one line of JSON each way: what to run, then its result (or
 *   one sentence why not). The agent chooses its own carrier (its --via, --nic, --ip, --cpu); what
 *   it is sent are checked settings and nothing that names a file or a program.
 * - An agent makes load for whoever may ask it. So it listens on the loopback unless it is given a
 *   host, and then it needs a token, which the asker must send: `--token`, or IX_LOAD_TOKEN. One
 *   point at a time.
 * - A caller that goes away ends its point.
 */
import { timingSafeEqual } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import * as v from 'valibot';
import { OptionError, UserError } from '../errors.ts';
import type { GeneratorSettings } from './generator/options.ts';
import type { LoadResult } from './result/result.ts';
import type { Member } from './together.ts';

const VERSION = 1;
/** Until a connection stands; a point itself may take as long as it takes. */
const REACH_MS = 5000;
/** Of who has not said its token yet, too: longer than any request. */
const LINE_BYTES_MAX = 1 << 16;

const Request = v.strictObject({
  version: v.literal(VERSION, `the agent speaks version ${VERSION} only`),
  token: v.string(),
  settings: v.record(v.string(), v.union([v.string(), v.number()])),
  /** From now until the warm-up begins; null: as soon as it is ready. */
  startInMs: v.nullable(v.number()),
});

export interface AgentAddress {
  host: string;
  port: number;
}

/** '[HOST:]PORT' */
export function parseAgentAddress(text: string): AgentAddress {
  const [, host = '127.0.0.1', port] = /^(?:([^:]+):)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new OptionError(`'${text}' is not the address of an agent`, 'write HOST:PORT');
  }
  return { host, port: Number(port) };
}

const isLoopback = (host: string): boolean => /^127\./.test(host) || host === 'localhost';

/** Listens; every request is run by `member`. */
export function serveAgent(address: AgentAddress, token: string, member: Member): Promise<Server> {
  if (!isLoopback(address.host) && token === '') {
    const remedy = 'give one with --token or IX_LOAD_TOKEN';
    throw new OptionError('an agent that others can reach needs a token', remedy);
  }
  let isBusy = false;
  const answer = async (line: string, signal: AbortSignal): Promise<unknown> => {
    const parsed = v.safeParse(Request, parseJson(line));
    if (!parsed.success) return { error: parsed.issues[0].message };
    const { settings, startInMs } = parsed.output;
    if (!isEqual(parsed.output.token, token)) return { error: 'the token is not the one it wants' };
    if (isBusy) return { error: 'it is running another load' };
    isBusy = true;
    try {
      const startIn = startInMs ?? undefined;
      const result = await member.run(settings as GeneratorSettings, startIn, signal);
      return { result };
    } catch (error) {
      return { error: (error as Error).message };
    } finally {
      isBusy = false;
    }
  };
  const server = createServer((socket) => {
    const gone = new AbortController();
    socket.on('error', () => {}).on('close', () => gone.abort());
    firstLine(socket, (line) => {
      answer(line, gone.signal).then((reply) => socket.end(`${JSON.stringify(reply)}\n`));
    });
  });
  const listening = Promise.withResolvers<Server>();
  server.once('error', (error: NodeJS.ErrnoException) =>
    listening.reject(new OptionError(`--agent ${address.host}:${address.port}: ${error.code}`)),
  );
  server.listen(address.port, address.host, () => listening.resolve(server));
  return listening.promise;
}

/** Who sends more than a line, or none for REACH_MS, makes nobody keep it. */
export function firstLine(socket: Socket, heard: (line: string) => void): void {
  let text = '';
  const stop = (): unknown => socket.off('data', take).setTimeout(0).resume();
  const take = (piece: string): void => {
    text += piece;
    const end = text.indexOf('\n');
    if (end < 0 && text.length <= LINE_BYTES_MAX) return;
    stop();
    if (end < 0 || end > LINE_BYTES_MAX) socket.destroy();
    else heard(text.slice(0, end));
    text = '';
  };
  socket.setTimeout(REACH_MS, () => socket.destroy());
  socket.setEncoding('utf8').on('data', take);
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function isEqual(given: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)];
  return one.length === other.length && timingSafeEqual(one, other);
}

/** An agent as a generator of ours. */
export function remoteMember({ host, port }: AgentAddress, token: string): Member {
  const name = `agent ${host}:${port}`;
  const run: Member['run'] = async (settings, startInMs) => {
    const socket = connect({ host, port });
    socket.setTimeout(REACH_MS, () => socket.destroy(new Error('it does not answer')));
    const request = { version: VERSION, token, settings, startInMs: startInMs ?? null };
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.write(`${JSON.stringify(request)}\n`);
    });
    try {
      const reply = (await lastLine(socket)) as { result?: LoadResult; error?: string };
      if (reply.result) return reply.result;
      throw new Error(reply.error ?? 'it said nothing that can be understood');
    } catch (error) {
      throw new UserError('IX_LOAD_AGENT', (error as Error).message, '');
    } finally {
      socket.destroy();
    }
  };
  return { name, run };
}

function lastLine(socket: Socket): Promise<unknown> {
  const heard = Promise.withResolvers<unknown>();
  socket.once('error', heard.reject);
  socket.once('close', () => heard.reject(new Error('it went away')));
  createInterface({ input: socket })
    .once('line', (line) => heard.resolve(parseJson(line) ?? {}))
    .on('error', () => {});
  return heard.promise;
}

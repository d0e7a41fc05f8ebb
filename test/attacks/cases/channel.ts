/**
 * What it shares with its control plane and its dataplane besides memory: the channel, and the
 * descriptors that wake.
 */
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, writeSync } from 'node:fs';
import { CHANNEL_FD } from '../../../src/child/channel.ts';
import { type CallName, callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { CALL, CODE } from '../../../src/gate/abi.ts';
import { GATE_AGAIN, GATE_WAITING, WAITING } from '../../../src/gate/arrays.ts';
import { sys } from '../../../src/native/sys.ts';
import { type Case, sleep } from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';

const call = (name: CallName, ...args: (number | Uint8Array)[]): number =>
  sys.syscall(callNumber(name), ...args);

const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const FIONBIO = 0x5421;

const say = (line: string): void => {
  for (let rest = Buffer.from(line); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(CHANNEL_FD, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      sleep(1);
    }
  }
};
const tell = (message: unknown): void => say(`${JSON.stringify(message)}\n`);

/** Makes writes to a descriptor that both sides have wait, if it can. */
function makeBlocking(fd: number): void {
  call('fcntl', fd, F_SETFL, 0);
  call('ioctl', fd, FIONBIO, new Uint8Array(8));
}

/**
 * As much as fits: the next write would wait. By its name, too, should it be an end to read only.
 */
function fill(fd: number): void {
  call('fcntl', fd, F_SETFL, O_NONBLOCK);
  const most = new Uint8Array(BigUint64Array.of(0xffff_ffff_ffff_fffen).buffer);
  const flood = (each: number): void => {
    for (let i = 0; i < 100_000 && call('write', each, most, 8) > 0; i++);
  };
  flood(fd);
  try {
    const again = openSync(`/proc/self/fd/${fd}`, 'r+');
    call('fcntl', again, F_SETFL, O_NONBLOCK);
    flood(again);
    closeSync(again);
  } catch {} // refused: nothing to fill it by
}

/** Sockets that it holds besides its own end of the channel. */
const otherSockets = (): number[] =>
  readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => {
      const link = `/proc/self/fd/${fd}`;
      const isThere = lstatSync(link, { throwIfNoEntry: false }) !== undefined;
      return fd > CHANNEL_FD && isThere && readlinkSync(link).startsWith('socket:');
    });

const stillAnswers = (gate: HostileGate): boolean => gate.call(0) === CODE.BAD_CALL;

export const cases: Case[] = [
  {
    name: 'wakeDescriptor_filledAndMadeToBlock_dataplaneDoesNotWait',
    run: (gate) => {
      // Now the dataplane wakes us by writing to it: with a timer, and from our "event loop".
      gate.calls([
        [CALL.timer, 1, 20_000],
        [CALL.timer, 1, 40_000],
      ]);
      gate.give();
      fill(gate.shared.wake);
      makeBlocking(gate.shared.wake);
      Atomics.store(gate.i32, gate.callHeader + GATE_WAITING, WAITING.eventLoop);
      sleep(400);
      call('fcntl', gate.shared.wake, F_SETFL, O_NONBLOCK);
      return stillAnswers(gate);
    },
    expects: true,
  },
  {
    name: 'bellDescriptor_madeToBlockAndStolenFrom_dataplaneDoesNotWait',
    run: (gate) => {
      makeBlocking(gate.shared.bell);
      const byte = new Uint8Array(8);
      for (const end = performance.now() + 300; performance.now() < end; ) {
        gate.ring();
        call('fcntl', gate.shared.bell, F_SETFL, O_NONBLOCK);
        call('read', gate.shared.bell, byte, 8); // before the dataplane can
        makeBlocking(gate.shared.bell);
      }
      call('fcntl', gate.shared.bell, F_SETFL, O_NONBLOCK);
      return stillAnswers(gate);
    },
    expects: true,
  },
  {
    name: 'bellDescriptor_rungWithoutEnd_doesNotStarveTheRest',
    run: (gate) => {
      gate.hold();
      gate.give();
      Atomics.store(gate.i32, gate.callHeader + GATE_AGAIN, 0);
      for (const end = performance.now() + 200; performance.now() < end; ) gate.ring();
      return stillAnswers(gate);
    },
    expects: true,
  },
  {
    name: 'channel_messagesOfOthers_areNotBelieved',
    run: (gate) => {
      const pid = 1;
      tell({ type: 'attached', layouts: [], flows: 1, nic: 'forged' });
      tell({ type: 'dropped', question: 0 });
      tell({ type: 'state', question: 0, threads: [] });
      tell({ type: 'confined', done: ['everything'], missing: ['\u001b[2J'] });
      tell({ type: 'incident', incident: { event: 'ended', application: 'kv', pid } });
      tell({ type: 'ready', ports: [11_211] });
      tell({ type: 'ready', ports: 'all' });
      tell({ type: 'ready', ports: [-1, 70_000] });
      for (const exitCode of [1.5, -1, 1e9, null, '0']) tell({ type: 'stopped', exitCode });
      return stillAnswers(gate);
    },
    expects: true,
  },
  {
    name: 'channel_linesThatAreNoMessages_areDropped',
    run: (gate) => {
      const lines = [
        '',
        '{',
        'null',
        '[]',
        '0',
        '"x"',
        '{"type":null}',
        '{"__proto__":{"type":"ready"}}',
        '\0\u00ff',
        '1e999',
      ];
      for (const line of lines) say(`${line}\n`);
      writeSync(CHANNEL_FD, Uint8Array.of(0xff, 0xfe, 0xc0, 0x80, 10));
      return stillAnswers(gate);
    },
    expects: true,
  },
  {
    name: 'channel_reportNestedDeeply_isTakenOrDropped',
    run: (gate) => {
      const depth = 100_000; // within the longest line
      say(`{"type":"report","value":${'['.repeat(depth)}${']'.repeat(depth)}}\n`);
      say(`{"type":"report","value":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}\n`);
      // With keys that are indices V8 reads it without recursion, and writes it with.
      say(`{"type":"report","value":${'{"0":'.repeat(depth)}1${'}'.repeat(depth)}}\n`);
      return stillAnswers(gate);
    },
    expects: true,
  },
  {
    name: 'channel_reportsByTheThousand_doNotStopTheControlPlane',
    run: (gate) => {
      const line = `${JSON.stringify({ type: 'report', value: 'x'.repeat(100) })}\n`;
      for (let i = 0; i < 200; i++) say(line.repeat(100));
      return stillAnswers(gate);
    },
    expects: true,
  },
  {
    name: 'channel_otherEndMadeToBlock_controlPlaneDoesNotWait',
    run: (gate) => {
      const others = otherSockets();
      for (const fd of others) makeBlocking(fd);
      // Reports as long as a reader's buffer: who believes the flags asks for more, and waits.
      for (const bytes of [65_535, 65_536, 65_537, 131_072, 65_536, 65_536]) {
        const head = '{"type":"report","value":"';
        say(`${head}${'x'.repeat(bytes - head.length - 3)}"}\n`);
      }
      sleep(50);
      return [others.length <= 1, stillAnswers(gate)];
    },
    expects: [true, true],
  },
  {
    name: 'channel_otherEndDrainedAndShut_controlPlaneStillSeesItsEnd',
    run: () => {
      for (const fd of otherSockets()) {
        call('fcntl', fd, F_SETFL, O_NONBLOCK);
        for (let i = 0; i < 100; i++) call('read', fd, new Uint8Array(4096), 4096);
        call('shutdown', fd, 2);
      }
      return call('exit_group', 9);
    },
    ends: { cause: 'exit', exitCode: 9 },
  },
  {
    name: 'channel_failureAsLongAsALine_isCutAndNamed',
    run: () => {
      tell({ type: 'failed', code: 'c'.repeat(100_000), message: 'm'.repeat(900_000) });
      return call('exit_group', 9);
    },
    ends: { cause: 'failure', message: 'm'.repeat(8192) },
  },
  {
    name: 'channel_aLineWithoutEnd_endsTheApplication',
    run: () => {
      const part = 'x'.repeat(2 ** 20);
      for (let i = 0; i < 16; i++) say(part);
      return 'it was taken';
    },
    ends: { cause: 'failure', message: 'it said a line without an end' },
  },
  {
    name: 'channel_closed_controlPlaneStillSeesItsEnd',
    run: () => {
      call('close', CHANNEL_FD);
      return call('exit_group', 9);
    },
    ends: { cause: 'exit', exitCode: 9 },
  },
];

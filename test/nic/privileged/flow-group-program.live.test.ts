/**
 * The hash in eBPF against the one in TypeScript: the program runs in the kernel over frames of our
 * own (BPF_PROG_TEST_RUN), no link is needed. Frames cut in their IP header are refused there; they
 * are in steering.live.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must, SYS, sys } from '../../../src/native/sys.ts';
import { FlowGroups, spreadGroups } from '../../../src/nic/flow-groups.ts';
import { Assembler, loadProgram, PROGRAM, register } from '../../../src/nic/privileged/bpf.ts';
import { CONTEXT, emitFlowGroup, GROUP } from '../../../src/nic/privileged/flow-group-program.ts';
import { Struct } from '../../../src/nic/struct.ts';
import { randomFrom, SEED } from '../../arena/property.ts';
import { needsRoot } from '../../control/namespace.ts';
import { flowFrom, frameOf, groupOf, keyFrom, type Shape, TCP, UDP } from '../flow-frames.ts';

const BPF_PROG_TEST_RUN = 10;
const ATTRIBUTE_BYTES = 128;
const NO_GROUP = 1000;

/** Returns the frame's group, or NO_GROUP. */
function loadGroupProgram(key: readonly number[]): number {
  const program = new Assembler().alu('mov', CONTEXT, register(1));
  const code = emitFlowGroup(program, key)
    .alu('mov', 0, register(GROUP))
    .exit()
    .label('no group')
    .alu('mov', 0, NO_GROUP)
    .exit()
    .assemble();
  return loadProgram(PROGRAM.classifier, code, 'ix_group');
}

function runOver(programFd: number, frame: Uint8Array): number {
  const attribute = new Struct(ATTRIBUTE_BYTES)
    .u32(0, programFd)
    .u32(8, frame.length)
    .pointer(16, Uint8Array.from(frame));
  must(sys.syscall(SYS.bpf, BPF_PROG_TEST_RUN, attribute.bytes, ATTRIBUTE_BYTES), 'test run');
  return attribute.readU32(4);
}

function withProgram(key: readonly number[], work: (run: (frame: Buffer) => number) => void): void {
  const fd = loadGroupProgram(key);
  try {
    work((frame) => runOver(fd, frame));
  } finally {
    sys.syscall(SYS.close, fd);
  }
}

const KEYS: readonly (readonly number[])[] = [
  ...Array.from({ length: 8 }, (_, i) => keyFrom(SEED + i)),
  new Array<number>(19).fill(-1),
  new Array<number>(19).fill(0x7fffffff),
  new Array<number>(19).fill(-0x80000000),
];

test('anyFlow_bothVersionsAndProtocols_theGroupThatTypeScriptFinds', { skip: needsRoot }, () => {
  const next = randomFrom(SEED);
  for (const key of KEYS) {
    const groups = new FlowGroups({ key, threads: spreadGroups(2) });
    withProgram(key, (run) => {
      for (let i = 0; i < 100; i++) {
        const flow = flowFrom(next, i % 2 === 0 ? 4 : 16);
        const shape: Shape = { protocol: i % 4 < 2 ? TCP : UDP };
        assert.equal(run(frameOf(flow, shape)), groupOf(groups, flow), JSON.stringify(flow));
      }
    });
  }
});

test('optionsOfIpv4AndDontFragment_theSameGroup', { skip: needsRoot }, () => {
  const key = keyFrom(SEED);
  const groups = new FlowGroups({ key, threads: spreadGroups(2) });
  const next = randomFrom(SEED);
  withProgram(key, (run) => {
    for (let options = 0; options <= 10; options++) {
      const flow = flowFrom(next, 4);
      assert.equal(run(frameOf(flow, { options })), groupOf(groups, flow), `${options} words`);
      assert.equal(run(frameOf(flow, { options, fragment: 0x4000 })), groupOf(groups, flow));
    }
  });
});

test('whatHasNoPortsToBeSure_hasNoGroup', { skip: needsRoot }, () => {
  const next = randomFrom(SEED);
  const four = flowFrom(next, 4);
  const six = flowFrom(next, 16);
  const none = Buffer.alloc(0);
  const arp = frameOf(four);
  arp.writeUInt16BE(0x0806, 12);
  const tagged = Buffer.concat([arp.subarray(0, 12), Buffer.from('81000000', 'hex')]);
  const cases: [string, Buffer][] = [
    ['first fragment', frameOf(four, { fragment: 0x2000 })],
    ['middle fragment', frameOf(four, { fragment: 0x2010 })],
    ['last fragment', frameOf(four, { fragment: 1 })],
    ['last fragment, far', frameOf(four, { fragment: 0x1f00 })],
    ['ICMP', frameOf(four, { protocol: 1 })],
    ['a protocol of its own', frameOf(four, { protocol: 132 })],
    ['ICMPv6', frameOf(six, { protocol: 58 })],
    [
      'IPv6 fragment',
      frameOf(six, { protocol: 44, extension: Buffer.from('0600000100000001', 'hex') }),
    ],
    [
      'hop-by-hop options',
      frameOf(six, { protocol: 0, extension: Buffer.from('0600010400000000', 'hex') }),
    ],
    ['ARP', arp],
    ['a priority tag', Buffer.concat([tagged, frameOf(four).subarray(12)])],
    ['IPv4 cut in its ports', frameOf(four, { payload: none }).subarray(0, 14 + 23)],
    ['IPv6 cut in its ports', frameOf(six, { payload: none }).subarray(0, 14 + 43)],
    ['options longer than the frame', frameOf(four, { options: 10 }).subarray(0, 14 + 60)],
    ['another type', Buffer.concat([arp.subarray(0, 12), Buffer.from('88b5', 'hex'), arp])],
  ];
  withProgram(keyFrom(SEED), (run) => {
    for (const [name, frame] of cases) assert.equal(run(frame), NO_GROUP, name);
    assert.notEqual(run(frameOf(four, { payload: none })), NO_GROUP, 'ports at the very end');
    assert.notEqual(run(frameOf(six, { payload: none })), NO_GROUP, 'ports at the very end');
  });
});

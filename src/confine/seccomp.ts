/**
 * seccomp filters: an assembler for classic BPF over `struct seccomp_data`, and the call that
 * installs what it made.
 *
 * - A filter is a list of rules, first match first: a rule names a call, what its arguments must
 *   be, and the answer. What no rule names gets `otherwise`. Calls of another architecture (32-bit,
 *   x32) end the process: their numbers mean something else.
 * - Conditions compare the lower 32 bits of an argument: they are for descriptors, commands, flags,
 *   what the kernel itself looks at in an `int`, not for pointers and sizes. All conditions of a
 *   rule must hold, else the next rule is asked.
 * - A call that some rule allows whatever its arguments are costs a bitmap look-up
 *   (kernel/seccomp.c, seccomp_cache_check_allow, Linux 5.11), if every filter of the process
 *   allows it so; the others run the programs of all of them, so nothing that the loop calls has
 *   conditions.
 * - `install` is for all threads at once (TSYNC) and for ever; it needs no_new_privs or
 *   CAP_SYS_ADMIN. SPEC_ALLOW: kernels before 5.16 would switch off store speculation otherwise,
 *   which costs tens of per cent and protects a process from itself only.
 *
 * Called by src/confine/list.ts (rules) and child/lock.ts. Read first: man 2 seccomp;
 * Documentation/userspace-api/seccomp_filter.rst; include/uapi/linux/filter.h.
 */
import { EAGAIN, must, sys } from '../native/sys.ts';
import { type CallName, callNumber } from './seccomp-numbers.ts';

/** What the kernel does with a call. */
export type Answer = 'allow' | 'kill' | { errno: number };

/** One condition on argument `argument` (0 to 5). */
export interface Condition {
  argument: number;
  /** The lower 32 bits are one of these. */
  oneOf?: readonly number[];
  /** All of these bits are set. */
  has?: number;
  /** At least one of these bits is set. */
  any?: number;
  /** None of these bits is set. */
  lacks?: number;
}

export interface Rule {
  call: CallName;
  when?: readonly Condition[];
  answer: Answer;
}

// linux/bpf_common.h: LD|W|ABS, JMP|JEQ|K, JMP|JSET|K, RET|K
const LOAD = 0x20;
const IF_EQUAL = 0x15;
const IF_SET = 0x45;
const RETURN = 0x06;
const INSTRUCTION_BYTES = 8;
/** A conditional jump of classic BPF has one byte for its distance. */
const JUMP_MAX = 255;
/** BPF_MAXINSNS: the kernel takes no longer program. */
const INSTRUCTIONS_MAX = 4096;

// struct seccomp_data: int nr, u32 arch, u64 instruction_pointer, u64 args[6]; both machines are
// little-endian.
const NR = 0;
const ARCH = 4;
const lowOf = (argument: number): number => 16 + 8 * argument;

const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
const X32_BIT = 0x40000000;

const RET_KILL_PROCESS = 0x80000000;
const RET_ERRNO = 0x00050000;
const RET_ALLOW = 0x7fff0000;

function returnOf(answer: Answer): number {
  if (answer === 'allow') return RET_ALLOW;
  return answer === 'kill' ? RET_KILL_PROCESS : RET_ERRNO | answer.errno;
}

/** struct sock_filter, jumps counted from the next instruction. */
type Instruction = [code: number, whenTrue: number, whenFalse: number, value: number];

/** Instructions of one condition; jumps to `failed` (relative to its end) when it does not hold. */
function conditionCode(condition: Condition): Instruction[] {
  const { argument, oneOf, has, any, lacks } = condition;
  const FAIL = -1; // patched by `ruleCode`
  const code: Instruction[] = [[LOAD, 0, 0, lowOf(argument)]];
  if (oneOf) {
    oneOf.forEach((value, i) => {
      const left = oneOf.length - 1 - i;
      code.push([IF_EQUAL, left, left === 0 ? FAIL : 0, value]);
    });
  }
  // Each bit of `has` must be set: JSET asks for any of them, so one at a time.
  for (let bit = 0; bit < 32; bit++) {
    if (((has ?? 0) >>> bit) & 1) code.push([IF_SET, 0, FAIL, (1 << bit) >>> 0]);
  }
  if (any) code.push([IF_SET, 0, FAIL, any]);
  if (lacks) code.push([IF_SET, FAIL, 0, lacks]);
  return code;
}

/** `nr` is in the accumulator before; after a failed condition it is loaded again. */
function ruleCode(rule: Rule, number: number): Instruction[] {
  const conditions = (rule.when ?? []).flatMap(conditionCode);
  const body: Instruction[] = [...conditions, [RETURN, 0, 0, returnOf(rule.answer)]];
  if (conditions.length > 0) {
    const end = body.length;
    body.forEach(([code, whenTrue, whenFalse, value], i) => {
      const there = end - i - 1;
      body[i] = [
        code,
        whenTrue === -1 ? there : whenTrue,
        whenFalse === -1 ? there : whenFalse,
        value,
      ];
    });
    body.push([LOAD, 0, 0, NR]);
  }
  if (body.length > JUMP_MAX) throw new Error(`seccomp: the rule for ${rule.call} is too long`);
  return [[IF_EQUAL, 0, body.length, number], ...body];
}

/** The program: an array of struct sock_filter. */
export function assembleFilter(
  rules: readonly Rule[],
  otherwise: Answer,
  architecture: string = process.arch,
): Uint8Array {
  const isArm = architecture === 'arm64';
  const code: Instruction[] = [
    [LOAD, 0, 0, ARCH],
    [IF_EQUAL, 1, 0, isArm ? AUDIT_ARCH.arm64 : AUDIT_ARCH.x64],
    [RETURN, 0, 0, RET_KILL_PROCESS],
    [LOAD, 0, 0, NR],
  ];
  if (!isArm) code.push([IF_SET, 0, 1, X32_BIT], [RETURN, 0, 0, RET_KILL_PROCESS]);
  for (const rule of rules) {
    const number = callNumber(rule.call, architecture);
    if (number >= 0) code.push(...ruleCode(rule, number));
  }
  code.push([RETURN, 0, 0, returnOf(otherwise)]);
  if (code.length > INSTRUCTIONS_MAX) throw new Error('seccomp: the filter is too long');
  const bytes = new Uint8Array(code.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  code.forEach(([opcode, whenTrue, whenFalse, value], i) => {
    const at = i * INSTRUCTION_BYTES;
    view.setUint16(at, opcode, true);
    view.setUint8(at + 2, whenTrue);
    view.setUint8(at + 3, whenFalse);
    view.setUint32(at + 4, value >>> 0, true);
  });
  return bytes;
}

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_GET_ACTION_AVAIL = 2;
const FLAG_TSYNC = 1;
const FLAG_SPEC_ALLOW = 4;

/** From now on, for every thread and for ever. */
export function installFilter(program: Uint8Array): void {
  // struct sock_fprog: u16 count, pointer
  const fprog = new DataView(new ArrayBuffer(16));
  fprog.setUint16(0, program.length / INSTRUCTION_BYTES, true);
  fprog.setBigUint64(8, sys.address(program), true);
  const flags = FLAG_TSYNC | FLAG_SPEC_ALLOW;
  const result = sys.syscall(callNumber('seccomp'), SECCOMP_SET_MODE_FILTER, flags, fprog);
  // Above 0 it is the thread that could not be brought along, because it has a filter of its own.
  const remedy = 'needs a kernel with CONFIG_SECCOMP_FILTER; or --unconfined';
  must(result > 0 ? -EAGAIN : result, 'installing the seccomp filter', remedy);
}

/** Whether this kernel has filters that end a process (Linux 4.14 with CONFIG_SECCOMP_FILTER). */
export function hasSeccomp(): boolean {
  const action = Uint32Array.of(RET_KILL_PROCESS);
  return sys.syscall(callNumber('seccomp'), SECCOMP_GET_ACTION_AVAIL, 0, action) === 0;
}

/**
 * eBPF: a small assembler, and the system call that makes maps, loads programs and attaches them.
 *
 * - Registers are numbers: 0 result, 1-5 arguments (lost by a call), 6-9 kept, 10 frame pointer.
 * - Jump targets are labels; one that is missing is an error of `assemble`, not of the verifier.
 * - A program that the verifier refuses throws with the verifier's log in the message.
 * - Needs CAP_BPF, and CAP_NET_ADMIN for what sees frames. Set-up code only.
 *
 * Called by xdp-program.ts, attach.ts, flow-group-program.ts and steering.ts. Read first: RFC 9669
 * (BPF instruction set), bpf(2).
 */
import { EAGAIN, SYS, sys } from '../../native/sys.ts';
import { granted, NicError } from '../errors.ts';
import { Struct } from '../struct.ts';

// RFC 9669 section 3 and 4: instruction classes, modes, sources.
const CLASS_LDX = 1;
const CLASS_ST = 2;
const CLASS_STX = 3;
const CLASS_ALU = 4;
const CLASS_JUMP = 5;
const CLASS_JUMP32 = 6;
const CLASS_ALU64 = 7;
const MODE_MEMORY = 0x60;
const FROM_REGISTER = 0x08;
const LOAD_64_IMMEDIATE = 0x18;
const PSEUDO_MAP_FD = 1;

const SIZE = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 } as const;
const ALU = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  or: 0x40,
  and: 0x50,
  shl: 0x60,
  shr: 0x70,
  xor: 0xa0,
  mov: 0xb0,
};
const JUMP = { eq: 0x10, gt: 0x20, ge: 0x30, set: 0x40, ne: 0x50, lt: 0xa0, le: 0xb0 };
const ALWAYS = 0x00;
const CALL = 0x80;
const EXIT = 0x90;

export type Bytes = keyof typeof SIZE;
export type AluOperation = keyof typeof ALU;
export type Condition = keyof typeof JUMP;
/** A register operand, as against an immediate number. */
export interface Register {
  readonly register: number;
}
/** The register that names the end of a program's stack. */
export const FRAME_POINTER = 10;

export const register = (number: number): Register => ({ register: number });
export type Operand = number | Register;

const INSTRUCTION_BYTES = 8;

export class Assembler {
  readonly #code: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #jumps: { at: number; label: string }[] = [];

  #emit(
    opcode: number,
    destination: number,
    source: number,
    offset: number,
    immediate: number,
  ): this {
    const bytes = new Struct(INSTRUCTION_BYTES);
    bytes.u16(0, opcode | ((destination | (source << 4)) << 8)).u16(2, offset & 0xffff);
    this.#code.push(...bytes.u32(4, immediate >>> 0).bytes);
    return this;
  }

  #emitOperand(opcode: number, destination: number, operand: Operand, offset = 0): this {
    return typeof operand === 'number'
      ? this.#emit(opcode, destination, 0, offset, operand)
      : this.#emit(opcode | FROM_REGISTER, destination, operand.register, offset, 0);
  }

  #jump(label: string): void {
    this.#jumps.push({ at: this.#code.length / INSTRUCTION_BYTES, label });
  }

  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`bpf: label ${name} stands twice`);
    this.#labels.set(name, this.#code.length / INSTRUCTION_BYTES);
    return this;
  }

  /** destination = destination OP operand, 64 bits; an immediate is sign-extended. */
  alu(operation: AluOperation, destination: number, operand: Operand): this {
    return this.#emitOperand(CLASS_ALU64 | ALU[operation], destination, operand);
  }

  /** The same on the lower 32 bits; the upper ones are 0 afterwards. */
  alu32(operation: AluOperation, destination: number, operand: Operand): this {
    return this.#emitOperand(CLASS_ALU | ALU[operation], destination, operand);
  }

  /** destination = *(uN *)(source + offset), native byte order, zero-extended. */
  load(bytes: Bytes, destination: number, source: number, offset: number): this {
    return this.#emit(CLASS_LDX | MODE_MEMORY | SIZE[bytes], destination, source, offset, 0);
  }

  /** *(uN *)(destination + offset) = operand */
  store(bytes: Bytes, destination: number, offset: number, operand: Operand): this {
    return typeof operand === 'number'
      ? this.#emit(CLASS_ST | MODE_MEMORY | SIZE[bytes], destination, 0, offset, operand)
      : this.#emit(CLASS_STX | MODE_MEMORY | SIZE[bytes], destination, operand.register, offset, 0);
  }

  /** destination = the map behind a descriptor */
  loadMap(destination: number, mapFd: number): this {
    this.#emit(LOAD_64_IMMEDIATE, destination, PSEUDO_MAP_FD, 0, mapFd);
    return this.#emit(0, 0, 0, 0, 0);
  }

  /** Jumps if (left CONDITION operand), unsigned, all 64 bits. */
  jumpIf(condition: Condition, left: number, operand: Operand, label: string): this {
    this.#jump(label);
    return this.#emitOperand(CLASS_JUMP | JUMP[condition], left, operand);
  }

  /** The same on the lower 32 bits: an immediate above 0x7fffffff means what it says. */
  jumpIf32(condition: Condition, left: number, operand: Operand, label: string): this {
    this.#jump(label);
    return this.#emitOperand(CLASS_JUMP32 | JUMP[condition], left, operand);
  }

  jump(label: string): this {
    this.#jump(label);
    return this.#emit(CLASS_JUMP | ALWAYS, 0, 0, 0, 0);
  }

  call(helper: number): this {
    return this.#emit(CLASS_JUMP | CALL, 0, 0, 0, helper);
  }

  exit(): this {
    return this.#emit(CLASS_JUMP | EXIT, 0, 0, 0, 0);
  }

  assemble(): Uint8Array {
    const code = Uint8Array.from(this.#code);
    const view = new DataView(code.buffer);
    for (const { at, label } of this.#jumps) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new Error(`bpf: no label ${label}`);
      view.setInt16(at * INSTRUCTION_BYTES + 2, target - at - 1, true);
    }
    return code;
  }
}

const BPF_MAP_CREATE = 0;
const BPF_MAP_LOOKUP_ELEM = 1;
const BPF_MAP_UPDATE_ELEM = 2;
const BPF_MAP_DELETE_ELEM = 3;
const BPF_PROG_LOAD = 5;
const BPF_LINK_CREATE = 28;
const BPF_ATTACH_XDP = 37;
const BPF_ATTACH_TCX_EGRESS = 47;
const ATTRIBUTE_BYTES = 128;
/** Room for what the verifier says of a program. */
const LOG_BYTES = 65_536;
/** EAGAIN: a signal (a profiler's timer) came while the verifier ran; libbpf tries again, too. */
const LOAD_ATTEMPTS = 100;

export const MAP_TYPE_ARRAY = 2;
export const MAP_TYPE_XSKMAP = 17;

const bpf = (command: number, attribute: Struct): number =>
  sys.syscall(SYS.bpf, command, attribute.bytes, ATTRIBUTE_BYTES);

/** A map with 4-byte keys and values: its descriptor. */
export function createMap(type: number, entries: number, name: string): number {
  const attribute = new Struct(ATTRIBUTE_BYTES).u32(0, type).u32(4, 4).u32(8, 4).u32(12, entries);
  return granted(bpf(BPF_MAP_CREATE, attribute.text(28, name, 16)), `BPF map ${name}`);
}

const element = (mapFd: number, key: number): Struct =>
  new Struct(ATTRIBUTE_BYTES).u32(0, mapFd).pointer(8, Uint32Array.of(key));

export function updateMap(mapFd: number, key: number, value: number): void {
  const attribute = element(mapFd, key).pointer(16, Uint32Array.of(value));
  granted(bpf(BPF_MAP_UPDATE_ELEM, attribute), `BPF map entry ${key}`);
}

export function readMap(mapFd: number, key: number): number {
  const value = new Uint32Array(1);
  const attribute = element(mapFd, key).pointer(16, value);
  granted(bpf(BPF_MAP_LOOKUP_ELEM, attribute), `BPF map entry ${key}`);
  return value[0]!;
}

/** True if there was such an entry. */
export const deleteFromMap = (mapFd: number, key: number): boolean =>
  bpf(BPF_MAP_DELETE_ELEM, element(mapFd, key)) === 0;

/** Program types: it sees frames as a driver gets them, or as the kernel has them (__sk_buff). */
export const PROGRAM = { classifier: 3, xdp: 6 } as const;

/** Loads a program of one of PROGRAM's types: its descriptor. */
export function loadProgram(type: number, code: Uint8Array, name: string): number {
  const log = new Uint8Array(LOG_BYTES);
  const attribute = new Struct(ATTRIBUTE_BYTES)
    .u32(0, type)
    .u32(4, code.length / INSTRUCTION_BYTES)
    .pointer(8, code)
    .pointer(16, Buffer.from('GPL\0'))
    .u32(24, 1)
    .u32(28, LOG_BYTES)
    .pointer(32, log)
    .text(48, name, 16);
  let result = -EAGAIN;
  for (let i = 0; i < LOAD_ATTEMPTS && result === -EAGAIN; i++) {
    result = bpf(BPF_PROG_LOAD, attribute);
  }
  try {
    return granted(result, `loading BPF program ${name}`);
  } catch (error) {
    const text = Buffer.from(log.subarray(0, Math.max(0, log.indexOf(0))))
      .toString('latin1')
      .trim();
    if (text && error instanceof NicError) error.message += `\nverifier: ${text}`;
    throw error;
  }
}

export const XDP_MODE = { generic: 2, native: 4 } as const;

/** Attaches a program to an interface until the returned descriptor is closed; or -errno. */
export const linkXdp = (programFd: number, ifindex: number, mode: number): number =>
  link(programFd, ifindex, BPF_ATTACH_XDP, mode);

/** The same where frames leave it; before Linux 6.6 -EINVAL. */
export const linkTcxEgress = (programFd: number, ifindex: number): number =>
  link(programFd, ifindex, BPF_ATTACH_TCX_EGRESS, 0);

const link = (programFd: number, ifindex: number, where: number, flags: number): number =>
  bpf(
    BPF_LINK_CREATE,
    new Struct(ATTRIBUTE_BYTES).u32(0, programFd).u32(4, ifindex).u32(8, where).u32(12, flags),
  );

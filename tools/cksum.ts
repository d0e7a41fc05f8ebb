/**
 * cksum(1) for systems that have none, busybox's for instance: `cksum.ts [FILE...]`, standard input
 * without one.
 *
 * - The same sums as everywhere (POSIX: CRC-32 of the bytes, then of their count), so that a copy
 *   of the repository that was set up on another machine is set up here, too.
 * - A file that cannot be read is left out.
 *
 * Called by bin/ix.
 */
import { readFileSync } from 'node:fs';

const POLYNOMIAL = 0x04c11db7;

function tableOf(): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let word = byte << 24;
    for (let bit = 0; bit < 8; bit++) word = word < 0 ? (word << 1) ^ POLYNOMIAL : word << 1;
    table[byte] = word;
  }
  return table;
}

const TABLE = tableOf();

export function cksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum = (sum << 8) ^ TABLE[(sum >>> 24) ^ byte]!;
  for (let count = bytes.length; count > 0; count = Math.floor(count / 256)) {
    sum = (sum << 8) ^ TABLE[(sum >>> 24) ^ (count & 255)]!;
  }
  return ~sum >>> 0;
}

function line(file: string | 0): string {
  try {
    const bytes = readFileSync(file);
    return `${cksum(bytes)} ${bytes.length}${file === 0 ? '' : ` ${file}`}\n`;
  } catch {
    return '';
  }
}

if (import.meta.main) {
  const files = process.argv.slice(2);
  process.stdout.write(files.length === 0 ? line(0) : files.map(line).join(''));
}

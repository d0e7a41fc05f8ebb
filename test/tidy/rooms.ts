/**
 * The plan of rooms as docs/ARCHITECTURE.md draws it: the drawing is the list, there is no other.
 *
 * - One floor a line, the top one first; on a floor rooms stand side by side and do not know each
 *   other.
 * - A room is a folder of src, without the folders inside it, or a file of src itself.
 * - A room may use what stands on a lower floor, and itself.
 */
import { dirname } from 'node:path';
import type { Tree } from './source.ts';

export class Plan {
  readonly #floors = new Map<string, number>();

  constructor(drawing: string) {
    const lines = drawing.trim().split('\n').reverse();
    for (const [floor, line] of lines.entries()) {
      const rooms = line
        .replace(/ {2,}.*$/, '')
        .trim()
        .split(' ');
      for (const room of rooms) this.#floors.set(room, floor);
    }
  }

  static drawnIn({ documents }: Tree): Plan {
    const [, text = ''] = documents.find(([path]) => path === 'docs/ARCHITECTURE.md') ?? [];
    const drawing = /^```rooms\n([\s\S]*?)^```$/m.exec(text);
    if (!drawing) throw new Error('docs/ARCHITECTURE.md has no block of rooms');
    return new Plan(drawing[1]!);
  }

  get rooms(): string[] {
    return [...this.#floors.keys()];
  }

  has(room: string): boolean {
    return this.#floors.has(room);
  }

  /** What is wrong with an import, as what to do about it; empty: nothing. */
  judge(from: string, to: string): string {
    const [user, used] = [roomOf(from), roomOf(to)];
    if (user === used || user === '' || used === '') return '';
    for (const room of [user, used]) {
      if (!this.#floors.has(room)) return `give ${room} a floor in docs/ARCHITECTURE.md`;
    }
    if (this.#floors.get(used)! < this.#floors.get(user)!) return '';
    return `${from} imports ${to}: move what it needs of it to a floor below ${user}`;
  }
}

/**
 * 'src/net/v4/arp.ts' is in net/v4, 'src/limits.ts' is limits; what is outside of src is in no room
 * of the plan.
 */
export function roomOf(path: string): string {
  if (!path.startsWith('src/')) return '';
  const folder = dirname(path);
  return folder === 'src' ? path.slice(4).replace(/\.\w+$/, '') : folder.slice(4);
}

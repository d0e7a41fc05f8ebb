/**
 * Memories of arenas, used again from run to run: making a shared WebAssembly.Memory costs more than a short run.
 *
 * - `take` gives an arena of the asked size whose bytes are all zero; `giveBack` takes all of them back.
 */
import { Arena } from '../src/arena/arena.ts';

export class Memories {
  readonly #free = new Map<number, WebAssembly.Memory[]>();
  readonly #taken: { pages: number; arena: Arena }[] = [];

  take(bytes: number): Arena {
    const pages = Math.ceil(bytes / 65_536);
    const memory = this.#free.get(pages)?.pop();
    const arena = memory ? new Arena(pages * 65_536, memory, []) : new Arena(pages * 65_536);
    this.#taken.push({ pages, arena });
    return arena;
  }

  giveBack(): void {
    for (const { pages, arena } of this.#taken.splice(0)) {
      const used = arena.segments.reduce((end, s) => Math.max(end, s.offset + s.bytes), 0);
      arena.u8.fill(0, 0, used);
      const free = this.#free.get(pages) ?? [];
      free.push(arena.memory);
      this.#free.set(pages, free);
    }
  }
}

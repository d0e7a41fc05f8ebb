/**
 * Memories of arenas, used again from run to run: making a shared WebAssembly.Memory costs more than a short run.
 *
 * - `take` gives an arena of the asked size whose bytes are zero, except where nobody reads what he has not
 *   written; `giveBack` takes all of them back.
 */
import { Arena } from '../src/arena/arena.ts';

const WRITTEN_FIRST: ReadonlySet<string> = new Set(['frames', 'network slots', 'application']);

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
      for (const { name, offset, bytes } of arena.segments) {
        if (!WRITTEN_FIRST.has(name)) arena.u8.fill(0, offset, offset + bytes);
      }
      const free = this.#free.get(pages) ?? [];
      free.push(arena.memory);
      this.#free.set(pages, free);
    }
  }
}

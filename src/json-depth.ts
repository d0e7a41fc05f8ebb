/**
 * How deep JSON is nested. Node parses deeper than it can walk: who prints or copies such a message
 * of a hostile process would end by it.
 *
 * - Asked of bytes, before they are parsed.
 *
 * Used by src/control/children/channel-end.ts, which hears such processes, and by
 * src/libix/reports.ts, so that an honest application is told.
 */

/** Of a message: our own have four levels, the rest is for what an application reports. */
export const DEPTH_MAX = 64;

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** How deep arrays and objects are nested in a line of JSON; of what is none, some number. */
export function depthOf(line: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let isText = false;
  for (let i = 0; i < line.length; i++) {
    const byte = line[i];
    if (isText && byte === BACKSLASH) i += 1;
    else if (byte === QUOTE) isText = !isText;
    else if (isText) continue;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) deepest = Math.max(deepest, ++depth);
    else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth -= 1;
  }
  return deepest;
}

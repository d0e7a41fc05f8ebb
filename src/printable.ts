/**
 * Text that others wrote (a record, a child, a file name), as it may reach a terminal or our lines.
 *
 * - Control characters would move the cursor, set the title or type an answer (ESC and the C1 range
 *   start sequences), a line end would forge a line of ours, marks of direction would turn it
 *   round: all of them are shown as escapes, nothing is left out.
 * - JSON.stringify does the same for JSON, but not for C1 and DEL.
 */

/**
 * C0, DEL, C1; soft hyphen; marks of direction; line and paragraph separators; invisible and
 * private ones; lone surrogates.
 */
const UNPRINTABLE =
  /[\p{Cc}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\p{Cs}\p{Co}]/gu;
/** The same, but a text of several lines keeps its lines, and what is indented stays so. */
const UNPRINTABLE_IN_TEXT = new RegExp(`(?![\\n\\t])${UNPRINTABLE.source}`, 'gu');

const escaped = (character: string): string => {
  const code = character.codePointAt(0) ?? 0;
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
};

/** On one line. */
export const printable = (text: string): string => text.replace(UNPRINTABLE, escaped);

/** With its line ends and tabs. */
export const printableText = (text: string): string => text.replace(UNPRINTABLE_IN_TEXT, escaped);

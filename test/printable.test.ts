import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, printableText } from '../src/printable.ts';

test('printable_whatMovesTerminalsAndForgesLines_isShownAsEscapes', () => {
  assert.equal(
    printable('kv\x1b]0;pwned\x07\x9b2J\r\nix: all is well'),
    'kv\\x1b]0;pwned\\x07\\x9b2J\\x0d\\x0aix: all is well',
  );
  assert.equal(
    printable('a\u202eb\u2028c\u200bd\ud800'),
    'a\\u{202e}b\\u{2028}c\\u{200b}d\\u{d800}',
  );
  assert.equal(printable('\x7f\t'), '\\x7f\\x09');
});

test('printable_ordinaryTextOfAnyScript_isItself', () => {
  for (const text of ['kv at 10.77.0.2', 'Größe 12 µs', '日本語 😀', ''])
    assert.equal(printable(text), text);
});

test('printableText_lines_stayLines', () => {
  assert.equal(printableText('Error: x\n\tat y\x1b[2J\n'), 'Error: x\n\tat y\\x1b[2J\n');
});
